package pull

import (
	"cmp"
	"context"
	"slices"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/internal/backoff"
	"chatcore/ports/groups"
)

// membership is one membership of the process in a group.
type membership struct {
	group.Membership // nil until the process has joined

	group    *Group
	watching bool
}

// joined reports whether the process is a member. The group's mutex is held.
func (m *membership) joined() bool { return m != nil && m.Membership != nil }

// watch has the membership's deliveries returned when the handlers' context ends, shortly before the end of the drain. The group's mutex is held.
func (m *membership) watch(handlers context.Context) {
	if !m.watching {
		m.watching = true
		context.AfterFunc(handlers, m.returnAll)
	}
}

// returnAll ends the membership's deliveries without an attempt.
func (m *membership) returnAll() {
	g := m.group
	var all []*delivery
	g.mu.Lock()
	for c := range g.consumers {
		for _, l := range []*list{&c.pending, &c.taken} {
			for e := l.first; e != nil; e = e.next {
				if e.member == m {
					all = append(all, e)
				}
			}
		}
	}
	g.mu.Unlock()
	g.endAll(group.ErrNotBegun, all...)
}

// joinPauses are the pauses between two attempts to join.
func joinPauses() backoff.Policy {
	return backoff.Policy{First: 100 * time.Millisecond, Max: 5 * time.Second}
}

// run is a member of the group while there are consumers, until the group is stopped.
func (g *Group) run(ctx context.Context) {
	defer close(g.ended)
	defer g.broker.remove(g)
	defer g.endConsumers()
	halted, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-g.halt:
			cancel()
		case <-halted.Done():
		}
	}()
	for failed := 0; g.awaitConsumers(halted); {
		m, err := g.joinGroup(halted)
		if err == nil {
			err = g.stay(halted, m)
			g.leave(ctx, m)
		}
		if err == nil {
			failed = 0
			continue
		}
		if halted.Err() != nil {
			return
		}
		failed++
		pause := joinPauses().Pause(failed)
		g.broker.config.Logger.WarnContext(ctx, "the membership of a pull group has ended, joining again", "group", g.name, "wait", pause, "error", err)
		if backoff.Sleep(halted, pause) != nil {
			return
		}
	}
}

// awaitConsumers waits for the first consumer. It returns false if the group is stopped before.
func (g *Group) awaitConsumers(halted context.Context) bool {
	for {
		g.mu.Lock()
		some := len(g.consumers) > 0
		g.mu.Unlock()
		if halted.Err() != nil {
			return false
		}
		if some {
			return true
		}
		select {
		case <-g.wake:
		case <-halted.Done():
		}
	}
}

// joinGroup joins the group as its definition says.
func (g *Group) joinGroup(ctx context.Context) (*membership, error) {
	m := &membership{group: g}
	g.mu.Lock()
	d := g.definition
	g.restart, g.member = false, m
	g.applied = max(g.concurrency(), 1)
	c := subscribers.GroupConfig(d)
	c.Concurrency = g.applied
	g.mu.Unlock()
	handler := group.Handler(g)
	if wants := subscribers.Wants(d.Filter); wants != nil {
		handler = group.Filtered(g, wants)
	}
	joined, err := g.join(ctx, c, handler)
	g.mu.Lock()
	if err != nil {
		g.member = nil
		g.mu.Unlock()
		return nil, err
	}
	m.Membership = joined
	g.unlockAndFinish(nil)
	return m, nil
}

// stay waits until the membership has to end: the group is stopped, its definition has changed, or there has been no consumer for the linger. It returns an
// error if the membership has ended by itself.
func (g *Group) stay(halted context.Context, m *membership) error {
	var lingers <-chan time.Time
	for {
		g.mu.Lock()
		idle, restart := len(g.consumers) == 0, g.restart
		g.mu.Unlock()
		switch {
		case restart:
			return nil
		case !idle:
			lingers = nil
		case lingers == nil:
			lingers = time.After(g.broker.config.Linger)
		}
		select {
		case <-g.wake:
		case <-lingers:
			return nil
		case <-m.Done():
			return cmp.Or(m.Err(), group.ErrClosed)
		case <-halted.Done():
			return nil
		}
	}
}

// leaveGrace is how long the release of partitions may take after the drain.
const leaveGrace = 5 * time.Second

// leave ends a membership. Consumers may settle its deliveries within the drain; those that remain are returned.
func (g *Group) leave(ctx context.Context, m *membership) {
	drain := g.broker.config.Drain
	ctx, cancel := context.WithTimeout(ctx, drain+leaveGrace)
	defer cancel()
	late := time.AfterFunc(drain, m.returnAll)
	defer late.Stop()
	if err := m.Leave(ctx); err != nil {
		g.broker.config.Logger.WarnContext(ctx, "a pull group was not left in time", "group", g.name, "error", err)
	}
	m.returnAll()
	g.mu.Lock()
	g.member = nil
	g.mu.Unlock()
}

// endConsumers ends all consumers with the reason why the group has ended.
func (g *Group) endConsumers() {
	g.mu.Lock()
	if g.stopped == nil {
		g.stopped = ErrStopping
	}
	why := g.stopped
	all := make([]*Consumer, 0, len(g.consumers))
	for c := range g.consumers {
		all = append(all, c)
	}
	g.mu.Unlock()
	for _, c := range all {
		c.close(why, errReturned)
	}
}

// equalFilters reports whether two filters select the same events.
func equalFilters(a, b groups.Filter) bool {
	return slices.Equal(a.Types, b.Types) && slices.Equal(a.Chats, b.Chats)
}
