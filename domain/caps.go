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

	CapMetadataKeys  Cap = "metadata-keys"        // keys of a chat's metadata
	CapMetadataValue Cap = "metadata-value-bytes" // bytes of a value of a chat's metadata
	CapMetadata      Cap = "metadata-bytes"       // bytes of all keys and values of a chat's metadata
)

// ErrCapReached is returned when a command would exceed a cap; the error is a [*CapError].
var ErrCapReached = errors.New("cap reached")

// CapError names the cap that a command would exceed, and its value. It is a [*Refusal] for [errors.As]; of [CapMembers] and of the metadata it is
// [ErrInvalid] too: the command itself is too large.
type CapError struct {
	Cap    Cap
	Max    int
	Detail string // a sentence with the ids involved
}

func (e *CapError) Error() string {
	return fmt.Sprintf("%v: %s; allowed: at most %d %s", ErrCapReached, e.Detail, e.Max, e.Cap)
}

// Is reports that a CapError is [ErrCapReached] and, of [CapMembers] and of the metadata, [ErrInvalid].
func (e *CapError) Is(target error) bool {
	return target == ErrCapReached || target == ErrInvalid && e.Cap.ofInput()
}

// ofInput reports whether the cap bounds what a command brings with it.
func (c Cap) ofInput() bool {
	return c == CapMembers || c == CapMetadataKeys || c == CapMetadataValue || c == CapMetadata
}

// Unwrap returns the refusal.
func (e *CapError) Unwrap() error { return &Refusal{Reason: ErrCapReached, Detail: e.Detail} }
