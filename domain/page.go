package domain

// Span selects a page of a chat by seq. The zero value selects the chat's last page. At most one of Before, After and First is set. A page is in the
// order of seqs, oldest first, regardless of the field that selects it. The seq of a page's first item is the Before of the previous page, that of its last
// item the After of the next one.
type Span struct {
	Before Seq  // the last items below this seq
	After  Seq  // the first items above this seq; none if the chat has not reached it
	First  bool // the first items of the chat
	Limit  int  // items at most, from 1. Defaults to 50

	// Changes has a history show changes of the chat and of its members, policy, pins and restrictions among the messages. Its cost then follows the number of all events
	// of the page. Other queries ignore it.
	Changes bool
}

// Page selects a part of a list.
type Page struct {
	Limit  int    // items at most, 1 to 256. Defaults to 50
	Cursor string // "" for the first page, and the Next of the page before for a later one
}

// Audit selects events of a chat: all of them, those about one message, or those by and about one user.
type Audit struct {
	Message MessageID // or
	User    UserID    // or neither
	After   Seq       // only events above this seq, of any selection. Defaults to all
}
