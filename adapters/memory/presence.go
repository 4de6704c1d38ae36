package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.PresenceStore = (*Presence)(nil)

// Presence keeps who is there, by a clock.
type Presence struct {
	clock ports.Clock
	live  ports.LiveBus
	ttl   ports.PresenceTTL

	mu    sync.Mutex
	users map[domain.UserID]kept
}

type kept struct {
	domain.Presence
	until time.Time // when nothing is known any more; zero while a device is there
}

// NewPresence knows nobody yet. It tells transitions on the bus.
func NewPresence(clock ports.Clock, live ports.LiveBus, ttl ports.PresenceTTL) *Presence {
	return &Presence{clock: clock, live: live, ttl: ttl, users: make(map[domain.UserID]kept)}
}

// Beat implements [ports.Presence].
func (p *Presence) Beat(ctx context.Context, user domain.UserID, device domain.DeviceID, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, user, m, func(p domain.Presence, life time.Duration, at time.Time) (domain.Presence, []domain.Ephemeral) {
		return p.Beat(device, life, at)
	})
}

// Leave implements [ports.Presence].
func (p *Presence) Leave(ctx context.Context, user domain.UserID, device domain.DeviceID, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, user, m, func(p domain.Presence, _ time.Duration, at time.Time) (domain.Presence, []domain.Ephemeral) {
		return p.Leave(device, at)
	})
}

// Choose implements [ports.Presence].
func (p *Presence) Choose(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, user, m, func(p domain.Presence, _ time.Duration, at time.Time) (domain.Presence, []domain.Ephemeral) {
		return p.Set(s, at)
	})
}

type move func(p domain.Presence, life time.Duration, at time.Time) (domain.Presence, []domain.Ephemeral)

// move tells under the lock, so that a user's transitions are told in their order.
func (p *Presence) move(ctx context.Context, user domain.UserID, m ports.Meta, step move) (*domain.UserStatus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.step(ctx, user, m, step)
}

func (p *Presence) step(ctx context.Context, user domain.UserID, m ports.Meta, step move) (*domain.UserStatus, error) {
	now := domain.Instant(p.clock.Now())
	before := p.known(user, now)
	after, told := step(before.Presence, p.ttl.Heartbeat, now)
	switch {
	case len(after.Devices) > 0:
		p.users[user] = kept{Presence: after}
	case after.Told == before.Told && after.Chosen == before.Chosen && before.until.IsZero() && len(before.Devices) == 0:
		delete(p.users, user) // nothing was known, and is not now
	default:
		p.users[user] = kept{Presence: after, until: now.Add(p.ttl.Kept)}
	}
	if len(told) == 0 {
		return nil, nil
	}
	status, _ := told[0].(domain.UserStatus)
	return &status, p.live.Publish(ctx, status, m)
}

func (p *Presence) known(user domain.UserID, now time.Time) kept {
	k, known := p.users[user]
	if last := now.Add(p.ttl.Heartbeat); k.Ends().After(last) { // the clock was set back
		k.Devices = maps.Clone(k.Devices)
		for device, end := range k.Devices {
			if end.After(last) {
				k.Devices[device] = last
			}
		}
		p.users[user] = k
	}
	if !known || !k.until.IsZero() && !now.Before(k.until) {
		return kept{Presence: domain.Presence{User: user}}
	}
	return k
}

// Of implements [ports.Statuses].
func (p *Presence) Of(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	statuses := make([]domain.UserStatus, len(users))
	for i, user := range users {
		k := p.known(user, now)
		statuses[i] = domain.UserStatus{User: user, Status: k.Told, LastSeen: k.LastSeen}
	}
	return statuses, nil
}

// AreOnline implements [ports.Statuses].
func (p *Presence) AreOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	statuses, err := p.Of(ctx, users...)
	if err != nil {
		return nil, err
	}
	online := make([]bool, len(users))
	for i, s := range statuses {
		online[i] = s.Status != domain.Offline
	}
	return online, nil
}

// Online implements [ports.Statuses], as of when iteration begins.
func (p *Presence) Online(ctx context.Context) iter.Seq2[domain.UserID, error] {
	return func(yield func(domain.UserID, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", err)
			return
		}
		p.mu.Lock()
		var online []domain.UserID
		for user, k := range p.users {
			if k.Told != domain.Offline {
				online = append(online, user)
			}
		}
		p.mu.Unlock()
		for _, user := range online {
			if !yield(user, nil) {
				return
			}
		}
	}
}

// Lead implements [ports.PresenceSweep]: there is no other process.
func (p *Presence) Lead(ctx context.Context, _ time.Duration) (bool, error) { return true, ctx.Err() }

// Expire implements [ports.PresenceSweep].
func (p *Presence) Expire(ctx context.Context, limit int) (told []domain.UserStatus, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := domain.Instant(p.clock.Now())
	var due []domain.UserID
	for user, k := range p.users {
		switch {
		case !k.until.IsZero() && !now.Before(k.until):
			delete(p.users, user)
		case k.until.IsZero() && (!k.Ends().After(now) || k.Ends().After(now.Add(p.ttl.Heartbeat))):
			due = append(due, user)
		}
	}
	slices.SortFunc(due, func(a, b domain.UserID) int { return p.users[a].Ends().Compare(p.users[b].Ends()) })
	for _, user := range due[:min(limit, len(due))] {
		status, err := p.step(ctx, user, ports.Meta{}, func(p domain.Presence, _ time.Duration, at time.Time) (domain.Presence, []domain.Ephemeral) {
			return p.Expire(at)
		})
		if status != nil {
			told = append(told, *status)
		}
		if err != nil {
			return told, false, err
		}
	}
	return told, len(due) > limit, nil
}

// Repair implements [ports.PresenceSweep]: nothing here can be wrong.
func (p *Presence) Repair(ctx context.Context, _ int) ([]domain.UserStatus, error) {
	return nil, ctx.Err()
}
