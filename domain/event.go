package domain

import "time"

// Event is something that happened. The set is closed: durable events and ephemeral ones, all declared in this file; teams add events of
// their own as [Custom].
type Event interface {
	// OccurredAt is when it happened, UTC, in whole milliseconds.
	OccurredAt() time.Time
	isEvent()
}

// Durable is an event that is recorded in its chat's log and delivered at least once.
type Durable interface {
	Event
	// ChatID is the chat whose log the event belongs to.
	ChatID() ChatID
	isDurable()
}

// Ephemeral is an event that current listeners receive at most once and that is not stored.
type Ephemeral interface {
	Event
	isEphemeral()
}

// MessageNew is a message that was sent.
type MessageNew struct {
	Chat        ChatID
	Message     MessageID
	Sender      UserID
	Content     Content
	ReplyTo     MessageID // "" if it answers none
	Mentions    []UserID
	Attachments []Attachment
	ClientMeta  ClientMeta
	Thread      MessageID // the root of the thread that it answers in; "" if it is in none
	InChat      bool      // whether a reply in a thread is in the main timeline too
	Broadcast   Broadcast // of the mentioned groups of members
	Mentioned   bool      // whether it moves the mentions of the chat
	Erased      bool      // whether its content was erased: content, ReplyTo, mentions, attachments, ClientMeta and Broadcast are empty then
	At          time.Time
}

// InTimeline reports whether the message is in the main timeline of its chat, and not in a thread alone.
func (e MessageNew) InTimeline() bool { return e.Thread == "" || e.InChat }

// MessageEdit is new content for a message, and new mentions and attachments if it has them.
type MessageEdit struct {
	Chat        ChatID
	Message     MessageID
	Editor      UserID
	Content     Content
	Mentions    []UserID     // all of them from now on; nil if they stay as they were
	Attachments []Attachment // all of them from now on; nil if they stay as they were
	Revision    int          // 1 for the first edit

	Sent             Seq       // of the send; 0 in events of older programs
	Thread           MessageID // that of the message
	InChat           bool      // that of the message
	MentionsAdded    []UserID  // those of Mentions whom the message did not mention before
	BroadcastRemoved bool      // whether the message no longer mentions a group of members
	Mentioned        bool      // whether it moves the mentions of the chat

	Erased bool // whether its content was erased: content, mentions and attachments are empty then
	At     time.Time
}

// InTimeline reports whether the edited message is in the main timeline of its chat.
func (e MessageEdit) InTimeline() bool { return e.Thread == "" || e.InChat }

// MessageDelete leaves a tombstone in a message's place.
type MessageDelete struct {
	Chat    ChatID
	Message MessageID
	By      UserID
	Reason  Reason

	Sent      Seq       // of the send; 0 in events of older programs
	Thread    MessageID // that of the message
	InChat    bool      // that of the message
	Pinned    bool      // whether the message was pinned
	Mentioned bool      // whether the message mentioned someone

	Erased bool // whether its reason was erased
	At     time.Time
}

// InTimeline reports whether the deleted message is in the main timeline of its chat.
func (e MessageDelete) InTimeline() bool { return e.Thread == "" || e.InChat }

// MessageErased removes the content of all earlier events of a message from the log: they are Erased from then on. The message is deleted before, by a
// [MessageDelete] of its own or of the same command, so that programs that know deletions only treat it as a tombstone.
type MessageErased struct {
	Chat    ChatID
	Message MessageID
	Sent    Seq // of the send
	By      UserID
	Reason  Reason
	At      time.Time
}

// MessageReaction is one user's reaction to a message, put or taken back.
type MessageReaction struct {
	Chat    ChatID
	Message MessageID
	User    UserID
	Emoji   Emoji
	Action  ReactionAction
	At      time.Time
}

// ReactionAction says whether a reaction was put or taken back.
type ReactionAction uint8

// The actions of a reaction.
const (
	ReactionAdd ReactionAction = iota + 1
	ReactionRemove
)

// ReadReceipt says up to where a user has read a chat.
type ReadReceipt struct {
	Chat    ChatID
	User    UserID
	Message MessageID // the last message read
	ReadSeq Seq       // its seq
	At      time.Time
}

// ChatUpdate is a change of a chat or of its members.
type ChatUpdate struct {
	Chat     ChatID
	Actor    UserID
	Change   Change
	Kind     ChatKind // created
	Title    Title    // created, renamed
	User     UserID   // member_added, member_removed, role_changed
	Role     Role     // member_added, role_changed: the role from now on
	Previous Role     // member_removed, role_changed: the role before
	Erased   bool     // whether its title was erased
	At       time.Time
}

// ChatDeleted closes a chat for good. Its members are removed, and its messages erased, by events that follow. Once all content of the chat is erased, a second event
// with ContentErased says so. The chat's id is never free again; a direct chat may be created anew under it by its participants.
type ChatDeleted struct {
	Chat          ChatID
	By            UserID
	Reason        Reason
	ContentErased bool // whether all earlier events of the chat have no content any more, but for those that a legal hold protects
	At            time.Time
}

// ChatPolicy changes who may see and join a chat, and which role an action takes. Fields that it does not have stay as they are.
type ChatPolicy struct {
	Chat        ChatID
	Actor       UserID
	Visibility  Visibility      // 0 if it stays as it is
	Permissions map[Action]Role // the changed ones; NoRole is the default
	At          time.Time
}

// ChatMetadata changes keys of a chat's metadata. Others stay as they are.
type ChatMetadata struct {
	Chat  ChatID
	Actor UserID
	Set   map[string]JSON
	Unset []string // sorted

	Erased bool // whether its keys and values were erased: it has none then
	At     time.Time
}

// ChatSettings changes the settings that one user has for a chat. Fields that are nil stay as they are.
type ChatSettings struct {
	Chat       ChatID
	User       UserID
	Notify     *NotifyLevel // NotifyDefault takes the choice back
	MutedUntil *time.Time   // zero if notifications are not muted
	Favourite  *bool
	Hidden     *Hiding // Shown takes it back
	HiddenSeq  Seq     // with HiddenUntilMessage: the last seq of the chat
	UnreadSeq  *Seq    // of the first message that counts as unread; 0 takes it back
	At         time.Time
}

// MessagePin pins a message to its chat, or removes the pin.
type MessagePin struct {
	Chat    ChatID
	Message MessageID
	Sent    Seq // of the send
	Actor   UserID
	Pinned  bool
	At      time.Time
}

// ThreadMark says up to where a user has read a thread, or whether the user follows it.
type ThreadMark struct {
	Chat      ChatID
	Thread    MessageID // the root
	User      UserID
	ReadSeq   Seq       // of the last reply read; 0 if it stays as it is
	Message   MessageID // that reply; "" if ReadSeq is 0
	Following Following
	At        time.Time
}

// MemberRestriction forbids a user something in a chat, or lifts that again.
type MemberRestriction struct {
	Chat   ChatID
	Actor  UserID
	User   UserID
	Kind   RestrictionKind
	Until  time.Time // zero if it has no end
	Lifted bool
	Reason Reason
	Erased bool // whether its reason was erased
	At     time.Time
}

// Custom is a custom durable event. The core records, orders and delivers it, and does not interpret its data.
type Custom struct {
	Chat    ChatID
	Actor   UserID
	Type    CustomType
	Version int      // of the data, from 1
	Entity  CustomID // the entity that it moves; "" if it moves only the command
	Data    string   // one JSON object
	Erased  bool     // whether its data were erased: they are {} then
	At      time.Time
}

// Unknown is a durable event that this program cannot read, because a newer one recorded it: of a type that this program does not know, or in a later
// version of a type that it knows. It is read from a log and never recorded. No state folds it.
type Unknown struct {
	Chat    ChatID
	Type    string
	Version int
	Newer   bool      // the type is known, its version is not
	Sent    bool      // it is a message that was sent
	Message MessageID // the message that it names; "" if it names none
	Data    string    // the whole event, one JSON object
	At      time.Time
}

// Change is the kind of change of a [ChatUpdate].
type Change uint8

// The changes of a chat.
const (
	Created Change = iota + 1 // the actor is the first member and owner
	Renamed
	MemberAdded
	MemberRemoved
	RoleChanged
	Archived
	Unarchived
)

// Role is the set of rights of a member. A higher role includes the rights of all lower ones.
type Role uint8

// The roles. NoRole means not a member.
const (
	NoRole Role = iota
	RoleMember
	RoleAdmin
	RoleOwner
)

func (r Role) String() string {
	switch r {
	case RoleMember:
		return "member"
	case RoleAdmin:
		return "admin"
	case RoleOwner:
		return "owner"
	case NoRole:
	}
	return "none"
}

// TypingStart says that a user is typing, until ExpiresAt or a [TypingStop], whichever comes first.
type TypingStart struct {
	Chat      ChatID
	User      UserID
	ExpiresAt time.Time
	At        time.Time
}

// TypingStop says that a user no longer types.
type TypingStop struct {
	Chat ChatID
	User UserID
	At   time.Time
}

// UserStatus says that a user's status changed.
type UserStatus struct {
	User     UserID
	Status   Status
	LastSeen time.Time // when the user was last known to be there
	At       time.Time
}

// Status is how available a user is.
type Status uint8

// The statuses of a user.
const (
	Offline Status = iota
	Online
	Away
	Busy
)

// Instant is t as events carry it: UTC, whole milliseconds.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func (e MessageNew) OccurredAt() time.Time        { return e.At }
func (e MessageEdit) OccurredAt() time.Time       { return e.At }
func (e MessageDelete) OccurredAt() time.Time     { return e.At }
func (e MessageErased) OccurredAt() time.Time     { return e.At }
func (e ChatDeleted) OccurredAt() time.Time       { return e.At }
func (e MessageReaction) OccurredAt() time.Time   { return e.At }
func (e ReadReceipt) OccurredAt() time.Time       { return e.At }
func (e ChatUpdate) OccurredAt() time.Time        { return e.At }
func (e ChatPolicy) OccurredAt() time.Time        { return e.At }
func (e MemberRestriction) OccurredAt() time.Time { return e.At }
func (e ChatMetadata) OccurredAt() time.Time      { return e.At }
func (e ChatSettings) OccurredAt() time.Time      { return e.At }
func (e MessagePin) OccurredAt() time.Time        { return e.At }
func (e ThreadMark) OccurredAt() time.Time        { return e.At }
func (e Custom) OccurredAt() time.Time            { return e.At }
func (e Unknown) OccurredAt() time.Time           { return e.At }
func (e TypingStart) OccurredAt() time.Time       { return e.At }
func (e TypingStop) OccurredAt() time.Time        { return e.At }
func (e UserStatus) OccurredAt() time.Time        { return e.At }

func (e MessageNew) ChatID() ChatID        { return e.Chat }
func (e MessageEdit) ChatID() ChatID       { return e.Chat }
func (e MessageDelete) ChatID() ChatID     { return e.Chat }
func (e MessageErased) ChatID() ChatID     { return e.Chat }
func (e ChatDeleted) ChatID() ChatID       { return e.Chat }
func (e MessageReaction) ChatID() ChatID   { return e.Chat }
func (e ReadReceipt) ChatID() ChatID       { return e.Chat }
func (e ChatUpdate) ChatID() ChatID        { return e.Chat }
func (e ChatPolicy) ChatID() ChatID        { return e.Chat }
func (e MemberRestriction) ChatID() ChatID { return e.Chat }
func (e ChatMetadata) ChatID() ChatID      { return e.Chat }
func (e ChatSettings) ChatID() ChatID      { return e.Chat }
func (e MessagePin) ChatID() ChatID        { return e.Chat }
func (e ThreadMark) ChatID() ChatID        { return e.Chat }
func (e Custom) ChatID() ChatID            { return e.Chat }
func (e Unknown) ChatID() ChatID           { return e.Chat }

func (MessageNew) isEvent()        {}
func (MessageEdit) isEvent()       {}
func (MessageDelete) isEvent()     {}
func (MessageErased) isEvent()     {}
func (ChatDeleted) isEvent()       {}
func (MessageReaction) isEvent()   {}
func (ReadReceipt) isEvent()       {}
func (ChatUpdate) isEvent()        {}
func (ChatPolicy) isEvent()        {}
func (MemberRestriction) isEvent() {}
func (ChatMetadata) isEvent()      {}
func (ChatSettings) isEvent()      {}
func (MessagePin) isEvent()        {}
func (ThreadMark) isEvent()        {}
func (Custom) isEvent()            {}
func (Unknown) isEvent()           {}
func (TypingStart) isEvent()       {}
func (TypingStop) isEvent()        {}
func (UserStatus) isEvent()        {}

func (MessageNew) isDurable()        {}
func (MessageEdit) isDurable()       {}
func (MessageDelete) isDurable()     {}
func (MessageErased) isDurable()     {}
func (ChatDeleted) isDurable()       {}
func (MessageReaction) isDurable()   {}
func (ReadReceipt) isDurable()       {}
func (ChatUpdate) isDurable()        {}
func (ChatPolicy) isDurable()        {}
func (MemberRestriction) isDurable() {}
func (ChatMetadata) isDurable()      {}
func (ChatSettings) isDurable()      {}
func (MessagePin) isDurable()        {}
func (ThreadMark) isDurable()        {}
func (Custom) isDurable()            {}
func (Unknown) isDurable()           {}

func (TypingStart) isEphemeral() {}
func (TypingStop) isEphemeral()  {}
func (UserStatus) isEphemeral()  {}
