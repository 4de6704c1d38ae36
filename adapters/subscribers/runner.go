package subscribers

import (
	"context"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// Runner runs the groups of a kind in this process.
type Runner interface {
	// Run begins to run a group as its definition says, which has the defaults of its kind. It joins the group with join, at once or whenever it needs to, and
	// returns as soon as the group runs. ctx bounds the call alone. An error means that nothing runs; the call is repeated after a pause.
	//
	// A Joiner returns [groups.ErrNotDefined] for a group whose definition was removed meanwhile.
	Run(ctx context.Context, d groups.Definition, join group.Joiner) (Running, error)
}

// Running is a group that a [Runner] runs. Its Manager calls Update and Stop one after the other.
type Running interface {
	// Update applies changed options of the same group. It reports false if they need another start: the group is then stopped and run anew, which loses
	// no event.
	Update(d groups.Definition) bool
	// Stop ends what runs: no further handler starts, running ones may end until ctx ends or the drain of the group is over, and their outcomes are
	// committed. Afterwards nothing runs any more. It may be called after Done is closed.
	Stop(ctx context.Context) error
	// Done is closed when the group has ended by itself, and needs another start. It may return nil for a runner that never does.
	Done() <-chan struct{}
	// Err returns why it has ended by itself, such as [groups.ErrGroupDeleted].
	Err() error
}

// GroupConfig returns the configuration with which a runner joins a defined group; see [group.Joiner]. The definition has the defaults of its kind.
func GroupConfig(d groups.Definition) group.Config {
	c := group.Config{
		Group: d.Group, Start: d.Start, Concurrency: d.Concurrency,
		Retry: delivery.RetryPolicy{Attempts: d.Retry.Attempts, First: d.Retry.First, Max: d.Retry.Max},
	}
	if d.Unordered {
		c.Order = delivery.Unordered
	}
	if d.Park {
		c.OnPoison = delivery.Park
	}
	return c
}

// NeedsRejoin reports whether a change of a definition needs another membership: a running one cannot change its retry policy or its poison policy.
func NeedsRejoin(before, after groups.Definition) bool {
	return before.Retry != after.Retry || before.Park != after.Park || before.Unordered != after.Unordered
}

// Wants returns [groups.Filter.Wants] of a filter.
func Wants(f groups.Filter) func(chat domain.ChatID, typ string) bool { return f.Wants() }
