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

// Presence stores presence in memory, by a clock.
type Presence struct {
	clock ports.Clock
	live  ports.LiveBus
	ttl   ports.PresenceTTL

	mu    sync.Mutex
	users map[domain.UserID]domain.Presence // without users whose presence is the zero value
}

// NewPresence returns an empty store that publishes transitions on the bus.
func NewPresence(clock ports.Clock, live ports.LiveBus, ttl ports.PresenceTTL) *Presence {
	return &Presence{clock: clock, live: live, ttl: ttl, users: make(map[domain.UserID]domain.Presence)}
}

// Heartbeat implements [ports.Presence].
func (p *Presence) Heartbeat(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, user, m, func(before domain.Presence, at time.Time) (domain.Presence, []domain.Ephemeral) {
		return before.Heartbeat(c, p.ttl.Heartbeat, p.ttl.Kept, at)
	})
}

// Leave implements [ports.Presence].
func (p *Presence) Leave(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, user, m, func(before domain.Presence, at time.Time) (domain.Presence, []domain.Ephemeral) {
		return before.Leave(c, at)
	})
}

// SetStatus implements [ports.Presence].
func (p *Presence) SetStatus(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, user, m, func(before domain.Presence, at time.Time) (domain.Presence, []domain.Ephemeral) {
		return before.Set(s, at)
	})
}

type move func(before domain.Presence, at time.Time) (domain.Presence, []domain.Ephemeral)

// move publishes while it holds the mutex, so that a user's transitions are published in their order.
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
	after, published := step(p.known(user, now), now)
	if after.Forgotten(p.ttl.Kept, now) {
		delete(p.users, user)
	} else {
		p.users[user] = after
	}
	if len(published) == 0 {
		return nil, nil
	}
	status, _ := published[0].(domain.UserStatus)
	return &status, p.live.Publish(ctx, status, m)
}

// known returns the stored presence of a user. Heartbeats that end too late because the clock was set back are cut to those of now.
func (p *Presence) known(user domain.UserID, now time.Time) domain.Presence {
	known, ok := p.users[user]
	if last := now.Add(p.ttl.Heartbeat); known.Ends().After(last) {
		known.Connections = maps.Clone(known.Connections)
		for c, end := range known.Connections {
			if end.After(last) {
				known.Connections[c] = last
			}
		}
		p.users[user] = known
	}
	if !ok || known.Forgotten(p.ttl.Kept, now) {
		return domain.Presence{User: user}
	}
	return known
}

// Statuses implements [ports.Statuses].
func (p *Presence) Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := domain.Instant(p.clock.Now())
	statuses := make([]domain.UserStatus, len(users))
	for i, user := range users {
		known := p.known(user, now)
		statuses[i] = domain.UserStatus{User: user, Status: known.StatusAt(now), LastSeen: known.LastSeen}
	}
	return statuses, nil
}

// AreOnline implements [ports.Statuses].
func (p *Presence) AreOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	statuses, err := p.Statuses(ctx, users...)
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
		now := domain.Instant(p.clock.Now())
		var online []domain.UserID
		for user := range p.users {
			if p.known(user, now).StatusAt(now) != domain.Offline {
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

// CountOnline implements [ports.OnlineCounter].
func (p *Presence) CountOnline(ctx context.Context) (n int, err error) {
	for _, err := range p.Online(ctx) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// AcquireLease implements [ports.PresenceSweep]: there is no other process.
func (p *Presence) AcquireLease(ctx context.Context, _ time.Duration) (bool, error) {
	return true, ctx.Err()
}

// Expire implements [ports.PresenceSweep].
func (p *Presence) Expire(ctx context.Context, limit int) (published []domain.UserStatus, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := domain.Instant(p.clock.Now())
	var due []domain.UserID
	for user := range p.users {
		switch known := p.known(user, now); {
		case known.Forgotten(p.ttl.Kept, now):
			delete(p.users, user)
		case len(known.Connections) > 0 && !known.Ends().After(now):
			due = append(due, user)
		}
	}
	slices.SortFunc(due, func(a, b domain.UserID) int { return p.users[a].Ends().Compare(p.users[b].Ends()) })
	for _, user := range due[:min(limit, len(due))] {
		status, err := p.step(ctx, user, ports.Meta{}, domain.Presence.Expire)
		if status != nil {
			published = append(published, *status)
		}
		if err != nil {
			return published, false, err
		}
	}
	return published, len(due) > limit, nil
}

// Repair implements [ports.PresenceSweep]: nothing here can be wrong.
func (p *Presence) Repair(ctx context.Context, _ int) ([]domain.UserStatus, error) {
	return nil, ctx.Err()
}
