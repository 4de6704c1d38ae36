package pull

import (
	"context"
	"sync"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/ports/groups"
)

// Group is a pull group that runs in a process. It implements [group.Handler] for the process's membership.
type Group struct {
	broker *Broker
	name   string
	join   group.Joiner
	wake   chan struct{} // the membership has to be checked
	halt   chan struct{} // closed by Stop
	halted sync.Once
	ended  chan struct{} // closed when the group has ended

	adjusting sync.Mutex // orders changes of the concurrency; taken before mu

	mu sync.Mutex
	// mu guards all below, the consumers and the deliveries. It is never held while the delivery core is called: that calls Handle.
	definition groups.Definition
	restart    bool        // the membership has to begin anew, with another definition
	stopped    error       // why it takes no further consumers; nil as long as it does
	member     *membership // nil while the process is no member
	consumers  map[*Consumer]struct{}
	roomy      ring                 // of consumers with room
	queue      list                 // of deliveries without a consumer
	open       map[uint64]*delivery // by dispatch, those that consumers have taken
	leases     leases
	shares     int         // sum of the consumers' shares
	applied    int         // concurrency of the member
	waiting    int         // calls that wait for settled
	settled    *sync.Cond  // of mu: an outcome has been applied
	holding    int         // calls of settle that apply outcomes
	held       []*Consumer // they are woken at the end of such a call
}

func newGroup(b *Broker, d groups.Definition, join group.Joiner) *Group {
	g := &Group{
		broker: b, name: d.Group, join: join, wake: make(chan struct{}, 1), halt: make(chan struct{}), ended: make(chan struct{}),
		definition: d.WithDefaults(), consumers: make(map[*Consumer]struct{}), open: make(map[uint64]*delivery),
	}
	g.settled = sync.NewCond(&g.mu)
	return g
}

// Handle implements [group.Handler]: it gives a delivery to a consumer with room.
func (g *Group) Handle(d group.Delivery) {
	e := &delivery{Delivery: d, index: -1, size: len(d.Payload())}
	e.in, e.unread = d.Read() // before anything can end the delivery
	g.mu.Lock()
	e.member = g.member
	g.member.watch(d.Context())
	c := g.roomy.pop()
	if c == nil {
		g.queue.push(e)
		g.mu.Unlock()
		return
	}
	c.assign(e)
	c.noteRoom()
	if g.holding > 0 {
		g.hold(c)
	} else {
		c.wake()
	}
	g.mu.Unlock()
}

// hold has a consumer woken by wakeHeld. The mutex is held.
func (g *Group) hold(c *Consumer) {
	if !c.held {
		c.held = true
		g.held = append(g.held, c)
	}
}

// wakeHeld wakes the consumers that were given deliveries meanwhile. The mutex is held.
func (g *Group) wakeHeld() {
	for i, c := range g.held {
		c.held = false
		c.wake()
		g.held[i] = nil
	}
	g.held = g.held[:0]
}

// Reclaim implements [group.Handler]: it returns the deliveries that no consumer has taken.
func (g *Group) Reclaim() (reclaimed []group.Delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.queue.pop(); e != nil; e = g.queue.pop() {
		reclaimed = append(reclaimed, e.Delivery)
	}
	for c := range g.consumers {
		for e := c.pending.first; e != nil; e = c.pending.first {
			g.close(e)
			reclaimed = append(reclaimed, e.Delivery)
		}
	}
	return reclaimed
}

// close takes a delivery from its consumer, which then has room: its outcome is decided. The mutex is held.
func (g *Group) close(e *delivery) {
	e.closed = true
	g.end(e)
	c := e.consumer
	if c == nil {
		g.queue.remove(e)
		return
	}
	c.change(func() {
		if e.begun {
			c.taken.remove(e)
		} else {
			c.pending.remove(e)
		}
		c.outstanding--
	})
	if e.begun && !e.settling {
		delete(g.open, e.dispatch)
	}
	c.noteRoom()
}

// ending is a delivery with its outcome for the delivery core.
type ending struct {
	*delivery
	err error
}

// unlockAndFinish unlocks the mutex, adjusts the concurrency, and reports outcomes to the delivery core.
func (g *Group) unlockAndFinish(ended []ending) {
	off := g.isOff()
	g.mu.Unlock()
	if off {
		g.adjust()
	}
	for _, e := range ended {
		e.Done(e.err)
	}
}

// isOff reports whether the concurrency of the member is not what it has to be, or deliveries wait for a consumer that has no room. The mutex is held.
func (g *Group) isOff() bool {
	return g.member.joined() && g.applied != g.concurrency() || g.queue.first != nil
}

// concurrency returns the concurrency that the member has to have. The mutex is held.
func (g *Group) concurrency() int {
	return min(g.shares, g.definition.Concurrency)
}

// adjust sets the concurrency of the member to the sum of the shares of its consumers. Deliveries that have been started beyond it, and have no consumer, are
// returned without an attempt.
func (g *Group) adjust() {
	g.adjusting.Lock()
	defer g.adjusting.Unlock()
	g.mu.Lock()
	m, n := g.member, g.concurrency()
	changed := m.joined() && g.applied != n
	if changed {
		g.applied = n
	}
	g.mu.Unlock()
	if changed {
		m.SetConcurrency(n)
	}
	var surplus []*delivery
	g.mu.Lock()
	for e := g.queue.pop(); e != nil; e = g.queue.pop() {
		if c := g.roomy.pop(); c != nil {
			c.assign(e)
			c.noteRoom()
			c.wake()
		} else {
			e.closed = true
			surplus = append(surplus, e)
		}
	}
	g.mu.Unlock()
	for _, e := range surplus {
		e.Done(group.ErrNotBegun)
	}
}

// Update has a group run by a new version of its definition. Changes that need another membership take effect when the process has left and joined
// again, which the group does by itself. Update returns true.
func (g *Group) Update(d groups.Definition) bool {
	g.mu.Lock()
	before := g.definition
	g.definition = d.WithDefaults()
	g.restart = g.restart || subscribers.NeedsRejoin(before, d) || !equalFilters(before.Filter, d.Filter)
	g.unlockAndFinish(nil)
	g.check()
	return true
}

// Done implements [subscribers.Running]: a group ends by Stop alone.
func (g *Group) Done() <-chan struct{} { return nil }

// Err implements [subscribers.Running].
func (g *Group) Err() error { return nil }

// check has the membership checked.
func (g *Group) check() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Stop ends a group in this process: its consumers get no further deliveries, and may settle what they have, until ctx ends and for [Config].Drain at most.
// They then end with the reason: the group is deleted or paused, or the process stops. Deliveries that are not settled by then are returned without an attempt.
func (g *Group) Stop(ctx context.Context) error {
	g.halted.Do(func() {
		cause := g.broker.endOf(ctx, g.name)
		g.mu.Lock()
		g.stopped = cause
		g.mu.Unlock()
		close(g.halt)
	})
	select {
	case <-g.ended:
	case <-ctx.Done():
		g.endConsumers()
		<-g.ended
	}
	return nil
}
