package domain

import (
	"errors"
	"fmt"
)

// Cap names a bound on one message, user or command.
type Cap string

// The caps.
const (
	CapEmojis    Cap = "emojis-per-message"         // distinct emojis among the reactions to a message
	CapReactions Cap = "reactions-per-user-message" // reactions of one user to a message
	CapChats     Cap = "chats-per-user"             // chats that a user is in
	CapMembers   Cap = "members-per-command"        // users that one command makes members, beside the actor
	CapPins      Cap = "pins-per-chat"              // pinned messages of a chat
)

// ErrCapReached is returned when a command would exceed a cap; the error is a [*CapError].
var ErrCapReached = errors.New("cap reached")

// CapError names the cap that a command would exceed, and its value. It is a [*Refusal] for [errors.As]; of [CapMembers] it is [ErrInvalid] too,
// because no state would make the command acceptable.
type CapError struct {
	Cap    Cap
	Max    int
	Detail string // a sentence with the ids involved
}

func (e *CapError) Error() string {
	return fmt.Sprintf("%v: %s; allowed: at most %d %s", ErrCapReached, e.Detail, e.Max, e.Cap)
}

// Is reports that a CapError is [ErrCapReached] and, of [CapMembers], [ErrInvalid].
func (e *CapError) Is(target error) bool {
	return target == ErrCapReached || target == ErrInvalid && e.Cap == CapMembers
}

// Unwrap returns the refusal.
func (e *CapError) Unwrap() error { return &Refusal{Reason: ErrCapReached, Detail: e.Detail} }
