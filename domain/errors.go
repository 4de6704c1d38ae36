package domain

import (
	"errors"
	"fmt"
)

// Reasons for which a command is refused. Branch on them with [errors.Is]; the error itself is a [*Refusal], whose text names the refused command.
var (
	// ErrInvalid is input that no state would make acceptable; the error is an [*InvalidError].
	ErrInvalid = errors.New("invalid input")
	// ErrChatNotFound is a command for a chat that was never created.
	ErrChatNotFound = errors.New("chat not found")
	// ErrChatExists is the creation of a chat whose id is taken.
	ErrChatExists = errors.New("chat exists")
	// ErrArchived is a command that an archived chat does not take.
	ErrArchived = errors.New("chat is archived")
	// ErrChatDeleted is a command that a deleted chat does not take.
	ErrChatDeleted = errors.New("chat is deleted")
	// ErrNotMember is returned for a command by, or about, a user that is not a current member of the chat.
	ErrNotMember = errors.New("not a member")
	// ErrForbidden is a command for which the actor's role is too low.
	ErrForbidden = errors.New("role too low")
	// ErrLastOwner is a command that would leave the chat without an owner.
	ErrLastOwner = errors.New("last owner")
	// ErrMessageNotFound is a command for a message that the chat does not have.
	ErrMessageNotFound = errors.New("message not found")
	// ErrMessageExists is a send under a message id that someone else has used.
	ErrMessageExists = errors.New("message id taken")
	// ErrMessageDeleted is a command for a message that was deleted.
	ErrMessageDeleted = errors.New("message deleted")
	// ErrNotAuthor is an edit of someone else's message.
	ErrNotAuthor = errors.New("not the author")
	// ErrEditWindow is an edit that comes too late.
	ErrEditWindow = errors.New("edit window passed")
	// ErrSeqRange is returned for a seq that the chat has not reached; the error is a [*SeqRangeError].
	ErrSeqRange = errors.New("sequence number out of range")
	// ErrTooSoon is a read mark within the coalescing window of the one before; the error is a [*TooSoonError].
	ErrTooSoon = errors.New("too soon")
	// ErrCommandReused is returned when the actor has used the commandId for another command, or for the same command with other arguments.
	ErrCommandReused = errors.New("command id used for another command")
	// ErrRefused is returned when a gate refuses a command.
	ErrRefused = errors.New("refused by the gate")
	// ErrDirect is a command that direct chats do not take.
	ErrDirect = errors.New("not in a direct chat")
	// ErrPeerGone is a command in a direct chat that the other participant has left.
	ErrPeerGone = errors.New("the other participant has left")
	// ErrBanned is a command that would make a banned user a member; the error is a [*RestrictedError].
	ErrBanned = errors.New("banned")
	// ErrMuted is a command of a muted user; the error is a [*RestrictedError].
	ErrMuted = errors.New("muted")
	// ErrBlocked is a command in a direct chat in which one participant blocks the other; the error is a [*RestrictedError].
	ErrBlocked = errors.New("blocked")
	// ErrLegalHold is an erasure of something under a legal hold; the error is a [*LegalHoldError].
	ErrLegalHold = errors.New("under a legal hold")
	// ErrHoldExists is a legal hold under an id that the subject has already, with another reason.
	ErrHoldExists = errors.New("hold exists")
	// ErrHoldNotFound is returned for a legal hold that its subject does not have.
	ErrHoldNotFound = errors.New("hold not found")
	// ErrThread is returned for a thread of a message that is itself a reply in a thread.
	ErrThread = errors.New("no thread")
	// ErrTooManyMembers is a query that small chats answer alone.
	ErrTooManyMembers = errors.New("too many members")
	// ErrNoSession is returned for a token that opens no session: unknown, malformed, expired, closed or rotated. The error does not distinguish
	// these.
	ErrNoSession = errors.New("no such session")
)

// InvalidError names the wrong input, the problem and the allowed values.
type InvalidError struct {
	Field   string // name of the input, such as "chatId" or "content"
	Problem string // such as "is empty"
	Allowed string // accepted values
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s %s; allowed: %s", e.Field, e.Problem, e.Allowed)
}

// Is reports that an InvalidError is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// Refusal is a rule that said no.
type Refusal struct {
	Reason error  // one of this package's sentinels
	Detail string // a sentence with the ids involved; never message contents
}

func (e *Refusal) Error() string { return e.Reason.Error() + ": " + e.Detail }

// Unwrap gives the reason.
func (e *Refusal) Unwrap() error { return e.Reason }

// NotMember returns [ErrNotMember] about a user and a chat.
func NotMember(chat ChatID, user UserID) error {
	return refuse(ErrNotMember, "user %q is not a member of chat %q", user, chat)
}

func refuse(reason error, format string, args ...any) error {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
