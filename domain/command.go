package domain

import "time"

// Create starts a chat.
type Create struct {
	Chat    ChatID
	Actor   UserID // becomes owner
	Title   string
	Members []UserID // become plain members
	Command CommandID

	Metadata map[string]string // key → JSON
}

// OpenDirect opens the direct chat of two users.
type OpenDirect struct {
	Actor UserID
	With  UserID // the actor itself for notes
}

// Join makes the actor a plain member of a public chat.
type Join struct {
	Chat    ChatID
	Actor   UserID
	Command CommandID
}

// SetPolicy changes who may see and join a group, and which roles actions take.
type SetPolicy struct {
	Chat    ChatID
	Actor   UserID
	Policy  PolicyChange
	Command CommandID
}

// UpdateMetadata changes the metadata of a chat.
type UpdateMetadata struct {
	Chat      ChatID
	Actor     UserID
	Set       map[string]string // key → JSON
	Unset     []string
	IfVersion Seq // the version that the metadata must still have; 0 for any
	Command   CommandID
}

// Restrict bans or mutes a user of a group, or lifts that.
type Restrict struct {
	Chat    ChatID
	Actor   UserID
	User    UserID
	Kind    RestrictionKind // Ban or Mute
	Until   time.Time       // when it ends; zero if it has no end
	Reason  string
	Lift    bool
	Command CommandID
}

// BlockUser has neither of two users reach the other in their direct chat, or lifts that. It opens the chat if there is none.
type BlockUser struct {
	Actor   UserID
	User    UserID
	Reason  string
	Lift    bool
	Command CommandID
}

// AddMembers makes users plain members, in one step.
type AddMembers struct {
	Chat    ChatID
	Actor   UserID
	Users   []UserID
	Command CommandID
}

// Rename gives a chat a title.
type Rename struct {
	Chat    ChatID
	Actor   UserID
	Title   string
	Command CommandID
}

// Archive closes a chat to new messages, reactions and members.
type Archive struct {
	Chat    ChatID
	Actor   UserID
	Command CommandID
}

// Unarchive opens an archived chat again.
type Unarchive struct {
	Chat    ChatID
	Actor   UserID
	Command CommandID
}

// Add makes a user a plain member.
type Add struct {
	Chat    ChatID
	Actor   UserID
	User    UserID
	Command CommandID
}

// Remove ends a user's membership.
type Remove struct {
	Chat    ChatID
	Actor   UserID
	User    UserID
	Command CommandID
}

// Promote raises a member's role.
type Promote struct {
	Chat    ChatID
	Actor   UserID
	User    UserID
	Role    Role // RoleAdmin or RoleOwner
	Command CommandID
}

// Demote lowers a member's role.
type Demote struct {
	Chat    ChatID
	Actor   UserID
	User    UserID
	Role    Role // RoleMember or RoleAdmin
	Command CommandID
}

// Leave ends the user's own membership.
type Leave struct {
	Chat    ChatID
	Actor   UserID
	Command CommandID
}

// Send posts a message.
type Send struct {
	Chat        ChatID
	Actor       UserID
	MessageID   MessageID // names the send; "" for a new id, but then a repetition is another message
	Content     string
	ReplyTo     MessageID // a message of the chat, or the tombstone of one; "" for none
	Mentions    []UserID  // mentions of non-members are not recorded
	Attachments []Attachment
	ClientMeta  string    // a JSON object, carried without white space
	Thread      MessageID // the message that it answers in a thread, the root; "" for a message of the main timeline
	InChat      bool      // whether a reply in a thread is in the main timeline too
	Broadcast   Broadcast // a mention of a group of members
}

// Edit gives a message new content and, if they are not nil, new mentions and attachments.
type Edit struct {
	Chat        ChatID
	Actor       UserID
	MessageID   MessageID
	Content     string       // may be empty if the message has attachments
	Mentions    []UserID     // nil leaves them as they are, an empty list removes them; mentions of non-members are not recorded
	Attachments []Attachment // nil leaves them as they are, an empty list removes them
	Command     CommandID

	RemoveBroadcast bool // takes the mention of a group of members back. An edit cannot add one
}

// Delete leaves a tombstone in a message's place.
type Delete struct {
	Chat      ChatID
	Actor     UserID
	MessageID MessageID
	Reason    string // may be empty
	Command   CommandID
}

// Erase removes the content of a message from the log.
type Erase struct {
	Chat      ChatID
	Actor     UserID // the author or an owner or, if Trusted is set, any user or service that asked for it
	MessageID MessageID
	Reason    string // may be empty; it stays in the log
	Command   CommandID
	Trusted   bool // the service itself erases: no membership is checked. Set it in trusted code only
}

// DeleteChat removes the content of all messages of a chat and closes the chat for good.
type DeleteChat struct {
	Chat    ChatID
	Actor   UserID // an owner or, if Trusted is set, any user or service that asked for it
	Reason  string // may be empty; it stays in the log
	Command CommandID
	Trusted bool // the service itself deletes: no membership is checked. Set it in trusted code only
}

// React puts a reaction to a message, or with Unreact takes it back.
type React struct {
	Chat      ChatID
	Actor     UserID
	MessageID MessageID
	Emoji     string // one emoji, or a :shortcode:
	Command   CommandID
}

// MarkRead says up to where a user has read a chat: by a message's id, or by a seq. One of the two is given.
type MarkRead struct {
	Chat      ChatID
	Actor     UserID
	MessageID MessageID // "": Seq counts
	Seq       Seq       // from 1 to the chat's last: the last message at or before it is the one that was read
	Command   CommandID
	// AwaitRecorded has the call return only once the log has the mark, after about a second at most. Defaults to false: a mark that comes within a
	// second of the one before is accepted at once and recorded later.
	AwaitRecorded bool
}

// MarkThread says up to which reply a user has read a thread, or whether the user follows it, or both.
type MarkThread struct {
	Chat      ChatID
	Actor     UserID
	Thread    MessageID // the root
	MessageID MessageID // the last reply read; "" leaves the mark as it is
	Following Following // FollowingUnchanged leaves it as it is
	Command   CommandID
}

// Typing names one user that starts or stops typing in one chat.
type Typing struct {
	Chat  ChatID
	Actor UserID
}

// CustomEvent is a custom event, or the error for which it cannot be recorded.
type CustomEvent interface {
	// Custom gives type, version and data; the rest is the command's.
	Custom() (Custom, error)
}

// Record is the command that records a custom event.
type Record struct {
	Chat   ChatID
	Actor  UserID
	Event  CustomEvent
	Entity CustomID // the entity that the event moves, such as a poll; "" if other commands do not depend on it
	// Conditions are versions that entities must still be at, beside the chat and the membership, on which the rules depend.
	Conditions []Condition
	Command    CommandID
}

// OpenSession logs in a user that was authenticated before.
type OpenSession struct {
	User   UserID
	Device Device
}

// Pin pins a message to its chat or, with Unpin, removes the pin.
type Pin struct {
	Chat      ChatID
	Actor     UserID
	MessageID MessageID
	Command   CommandID
}

// SetSettings changes the settings of the actor for a chat.
type SetSettings struct {
	Chat     ChatID
	Actor    UserID
	Settings SettingsChange
	Command  CommandID
}
