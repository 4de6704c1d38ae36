package chatcore

import (
	"context"
	"iter"

	"chatcore/ports/groups"
)

// Groups is the administration of consumer groups and their dead letters, also of groups that other processes run. Their members notice a change
// within a third of [DeliveryConfig.Lease].
type Groups interface {
	// List returns the state of every group.
	List(ctx context.Context) ([]GroupState, error)
	// Rebuild has a group begin again with the first event of every chat; its dead letters go.
	Rebuild(ctx context.Context, group string) error
	// DeadLetters yields a group's dead letters, partition by partition, each in the order in which they were added. Iteration stops at the first error.
	DeadLetters(ctx context.Context, group string) iter.Seq2[DeadLetter, error]
	// DeadLettersAfter yields the dead letters that DeadLetters yields after the one of an id, which may be retried or dropped meanwhile; "" yields all.
	// Its cost does not depend on those before. It yields [domain.ErrInvalid] if the id has not the form of one.
	DeadLettersAfter(ctx context.Context, group, id string) iter.Seq2[DeadLetter, error]
	// DeadLetter returns one dead letter, or [ErrDeadLetterNotFound] if there is none of that id.
	DeadLetter(ctx context.Context, group, id string) (DeadLetter, error)
	// Retry has a dead letter given to a handler again: in order if its chat is parked for it, which then flows again; otherwise out of
	// order, and it stays a dead letter until a handler succeeds.
	Retry(ctx context.Context, group, id string) error
	// Drop removes a dead letter. A chat that is parked for it flows again, with the event after it.
	Drop(ctx context.Context, group, id string) error
	// Delete removes a group with its dead letters: events that it has not finished are never delivered to it. Its subscriptions in running
	// processes end with [ErrGroupDeleted]; a process subscribes to the group again, as a new one, when it is started again. The definition of a
	// group goes as well. [ErrGroupNotFound] is returned if there is none of that name.
	Delete(ctx context.Context, group string) error
}

// BlockReason is the reason why a chat is blocked.
type BlockReason = groups.BlockReason

// Reasons why a chat is blocked.
const (
	// BlockedTransient is a chat whose handler keeps failing with transient errors.
	BlockedTransient = groups.BlockedTransient
	// BlockedNewer is a chat whose next event was written by a later version of the program.
	BlockedNewer = groups.BlockedNewer
	// BlockedSlow is a chat whose handler runs for long.
	BlockedSlow = groups.BlockedSlow
	// BlockedPostponed is a chat whose handler keeps postponing its event ([NotNow]).
	BlockedPostponed = groups.BlockedPostponed
)

// Errors of consumer groups.
var (
	// ErrGroupNotFound is returned when there is no consumer group of a name.
	ErrGroupNotFound = groups.ErrGroupNotFound
	// ErrDeadLetterNotFound is returned when there is no dead letter of an id.
	ErrDeadLetterNotFound = groups.ErrDeadLetterNotFound
	// ErrGroupDeleted is returned by Run when a consumer group was deleted while the process ran it.
	ErrGroupDeleted = groups.ErrGroupDeleted
)

// Groups returns the administration of the consumer groups of the log: on Redis, in the process's memory, or those of [EventLog].Groups.
func (c *Core) Groups() Groups {
	return administration{c.backend.groups, c.definitions, c.backend.backlog}
}
