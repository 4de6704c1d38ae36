package projection

import "time"

// Small has the counts of chats of few members kept, and remembers what it has written of few chats.
func (u *UnreadCounts) Small(most, chats int) *UnreadCounts {
	u.most, u.written = most, newWrittenCounts(chats)
	return u
}

// Large has the counts of chats of more than small members written once an hour by the given time.
func (u *UnreadCounts) Large(small int, now func() time.Time) *UnreadCounts {
	u.small, u.every, u.now = small, time.Hour, now
	return u
}

// Alone has one chat handled after another, on the caller's goroutine.
func (b *Builtins) Alone() *Builtins {
	b.together = 1
	return b
}

// Unread returns the unread counts of the built-in group.
func (b *Builtins) Unread() *UnreadCounts { return b.unread }

// Remembered is the number of chats of which is known what was written.
func (u *UnreadCounts) Remembered() int { return len(u.written.chats) }

// NewChatActivity is newChatActivity.
func NewChatActivity(log Log) *ChatActivity { return newChatActivity(log) }
