package chatcore

import (
	"context"
	"errors"
	"iter"

	"chatcore/adapters/pubsub"
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
	// processes end with [ErrGroupDeleted]; a process subscribes to the group again, as a new one, when it is started again. [ErrGroupNotFound]
	// is returned if there is none of that name.
	Delete(ctx context.Context, group string) error
}

// BlockReason is the reason why a chat is blocked.
type BlockReason = pubsub.BlockReason

// Reasons why a chat is blocked.
const (
	// BlockedTransient is a chat whose handler keeps failing with transient errors.
	BlockedTransient = pubsub.BlockedTransient
	// BlockedNewer is a chat whose next event was written by a later version of the program.
	BlockedNewer = pubsub.BlockedNewer
	// BlockedSlow is a chat whose handler runs for long.
	BlockedSlow = pubsub.BlockedSlow
)

// Errors of consumer groups.
var (
	// ErrGroupNotFound is returned when there is no consumer group of a name.
	ErrGroupNotFound = pubsub.ErrGroupNotFound
	// ErrDeadLetterNotFound is returned when there is no dead letter of an id.
	ErrDeadLetterNotFound = pubsub.ErrDeadLetterNotFound
	// ErrGroupDeleted is returned by Run when a consumer group was deleted while the process ran it.
	ErrGroupDeleted = pubsub.ErrGroupDeleted
	// ErrGroupsUnsupported is returned by the [Groups] of a core on a custom event log.
	ErrGroupsUnsupported = errors.New("a custom event log administers its consumer groups itself: use the log that WithEventLog was given")
)

// Groups returns the administration of the consumer groups on Redis or, of a core in memory, in the process. On a custom event log its calls return
// [ErrGroupsUnsupported].
func (c *Core) Groups() Groups {
	if g := c.backend.groups; g != nil {
		return administration{g}
	}
	return unsupportedGroups{}
}

// unsupportedGroups is the administration of groups on a custom event log.
type unsupportedGroups struct{}

func (unsupportedGroups) List(context.Context) ([]GroupState, error) {
	return nil, ErrGroupsUnsupported
}

func (unsupportedGroups) Rebuild(context.Context, string) error { return ErrGroupsUnsupported }

func (g unsupportedGroups) DeadLetters(ctx context.Context, group string) iter.Seq2[DeadLetter, error] {
	return g.DeadLettersAfter(ctx, group, "")
}

func (unsupportedGroups) DeadLettersAfter(context.Context, string, string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) { yield(DeadLetter{}, ErrGroupsUnsupported) }
}

func (unsupportedGroups) DeadLetter(context.Context, string, string) (DeadLetter, error) {
	return DeadLetter{}, ErrGroupsUnsupported
}

func (unsupportedGroups) Retry(context.Context, string, string) error { return ErrGroupsUnsupported }

func (unsupportedGroups) Drop(context.Context, string, string) error { return ErrGroupsUnsupported }

func (unsupportedGroups) Delete(context.Context, string) error { return ErrGroupsUnsupported }
