package ports

import (
	"context"
	"iter"
	"time"

	"chatcore/domain"
)

// Presence keeps who is there, as [domain.Presence] says, by the store's own time. Each call is one step, of which all others see all or
// nothing. A transition is told to live listeners in the same step, at most once, a user's in their order; it is given back too, nil if
// there was none. With an error beside a transition, that was told. Of a step that ended with [ErrUnavailable] nothing is known: made again, it
// tells nothing twice. Of someone who is not there nothing need be known after
// a while, the choice neither.
type Presence interface {
	// Beat records a heartbeat of one of the user's devices.
	Beat(ctx context.Context, user domain.UserID, device domain.DeviceID, m Meta) (*domain.UserStatus, error)
	// Leave ends a device's heartbeat; there need be none.
	Leave(ctx context.Context, user domain.UserID, device domain.DeviceID, m Meta) (*domain.UserStatus, error)
	// Choose sets what the user shows while there.
	Choose(ctx context.Context, user domain.UserID, s domain.Status, m Meta) (*domain.UserStatus, error)
}

// Statuses tells who is there, as it was told last: also what other programs stored. Questions about many users are one round trip.
type Statuses interface {
	// Of gives the users' last statuses, in the order of users. One who is not known, or of whom something unreadable is kept, is Offline
	// and was never seen. At is zero: when it became so is not kept. While someone is there, LastSeen may be half a heartbeat's life old.
	Of(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error)
	// AreOnline reports for each user, in the order of users, whether it is there and not hidden.
	AreOnline(ctx context.Context, users ...domain.UserID) ([]bool, error)
	// Online yields who is there and not hidden, in no order. Who is for all of the time is yielded, maybe twice; who is for a part of
	// it may be. Iteration stops at the first error.
	Online(ctx context.Context) iter.Seq2[domain.UserID, error]
}

// PresenceSweep finds heartbeats that have ended, and makes right what is kept of who is online. Any number of processes may do it at once, and
// no transition is told twice; Lead spares them the work.
type PresenceSweep interface {
	// Lead takes or renews the lease of who sweeps; it reports whether this store's it is. It ends after the given time, 0 gives it back.
	Lead(ctx context.Context, lease time.Duration) (bool, error)
	// Expire looks at about limit users whose heartbeats may have ended, those that end first in front. It gives the transitions told, and
	// reports whether more are due. After an error others may have been told.
	Expire(ctx context.Context, limit int) (told []domain.UserStatus, more bool, err error)
	// Repair looks at the next users who are said to be online, about limit of them, and makes right what is kept of those of whom it does not
	// agree. Over many calls all come up.
	Repair(ctx context.Context, limit int) (told []domain.UserStatus, err error)
}

// PresenceTTL says how long what is kept of presence lives. Processes that share a store have to agree.
type PresenceTTL struct {
	Heartbeat time.Duration // a device is there after a heartbeat
	Kept      time.Duration // the devices that are there, and a choice after the last one; at least twice Heartbeat
	Status    time.Duration // a status that is not told anew; at least twice Heartbeat
}

// PresenceStore is all that a core needs of presence.
type PresenceStore interface {
	Presence
	Statuses
	PresenceSweep
}
