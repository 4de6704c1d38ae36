package ports

import (
	"context"
	"iter"
	"time"

	"chatcore/domain"
)

// Presence stores the presence of users, as [domain.Presence] defines it, by the store's own clock. Each call is one atomic step. It publishes a
// transition to live listeners in the same step, at most once and in the user's order, and returns it; it returns nil if there was none. An error
// beside a transition does not undo the transition. After [ErrUnavailable] the step may have been done or not; repeating it publishes nothing twice.
// A chosen status ends when the user was absent for [PresenceTTL].Kept: since the last heartbeat ended, or since the choice if that was later.
type Presence interface {
	// Heartbeat records a heartbeat of one connection of the user.
	Heartbeat(ctx context.Context, user domain.UserID, c domain.Connection, m Meta) (*domain.UserStatus, error)
	// Leave ends the heartbeat of one connection. It does nothing if there is none.
	Leave(ctx context.Context, user domain.UserID, c domain.Connection, m Meta) (*domain.UserStatus, error)
	// SetStatus sets the status that the user shows while online.
	SetStatus(ctx context.Context, user domain.UserID, s domain.Status, m Meta) (*domain.UserStatus, error)
}

// Statuses returns statuses of users, including those that other programs stored. A user whose last heartbeat has ended is offline from then on, also
// if no process sweeps and nothing was published yet; a user without heartbeats here has the status that other programs stored. Of and AreOnline take
// one round trip for any number of users.
type Statuses interface {
	// Statuses returns the users' statuses, in the order of users. A user that is not known, or whose stored status is unreadable, is Offline and has no
	// LastSeen. At is zero: the store does not keep it.
	Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error)
	// AreOnline reports for each user, in the order of users, whether the user is online and not hidden.
	AreOnline(ctx context.Context, users ...domain.UserID) ([]bool, error)
	// Online yields the users that are online and not hidden, in no order and a page at a time. A user that is online all the time is yielded once or
	// twice; a user that is online for a part of it may be. Iteration stops at the first error.
	Online(ctx context.Context) iter.Seq2[domain.UserID, error]
}

// PresenceSweep finds heartbeats that have ended, and corrects the stored presence. Any number of processes may do it at once, and no transition is
// published twice; Lead spares them the work.
type PresenceSweep interface {
	// AcquireLease acquires or renews the lease of the sweeper, and reports whether this store holds it. The lease ends after the given time; 0 releases it.
	AcquireLease(ctx context.Context, lease time.Duration) (bool, error)
	// Expire checks about limit users whose heartbeats may have ended, the earliest first. It returns the published transitions, and reports whether
	// more are due. With an error, further transitions may have been published.
	Expire(ctx context.Context, limit int) (published []domain.UserStatus, more bool, err error)
	// Repair checks the next users that are listed as online, about limit of them, and corrects those whose records disagree. Many calls cover all
	// users.
	Repair(ctx context.Context, limit int) (published []domain.UserStatus, err error)
}

// OnlineCounter is a store of presence that can count. It costs one round trip.
type OnlineCounter interface {
	// CountOnline returns how many users are published as online and not hidden. A user whose last heartbeat has ended is counted until that is
	// published, or swept.
	CountOnline(ctx context.Context) (int, error)
}

// PresenceTTL holds the lifetimes of presence. All processes that share a store must use the same values.
type PresenceTTL struct {
	Heartbeat time.Duration // of a heartbeat
	Kept      time.Duration // of a choice, after the last heartbeat has ended, and of the list of online devices; at least twice Heartbeat
	Status    time.Duration // of a status that is not renewed; at least twice Heartbeat
}

// PresenceStore is all that a core needs of presence.
type PresenceStore interface {
	Presence
	Statuses
	PresenceSweep
}
