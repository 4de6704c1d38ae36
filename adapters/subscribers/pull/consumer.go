package pull

import (
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/ports"
)

// Consumer is a consumer of a group. One goroutine takes its deliveries; all methods but Take are safe for concurrent use.
type Consumer struct {
	group *Group
	name  string
	lease time.Duration
	ready chan struct{}

	// The group's mutex guards all below.
	credit      int
	outstanding int  // deliveries in both lists
	pending     list // not taken yet
	taken       list
	inRing      bool // of consumers with room
	held        bool // it is woken when outcomes have been applied
	detached    bool // it has no credit again, and ends when everything is settled
	finishing   bool // it gets no further deliveries
	ended       error
}

// add adds a consumer. It returns nil if the group takes none.
func (g *Group) add(r Request) *Consumer {
	c := &Consumer{group: g, name: r.Name, lease: r.Lease, ready: make(chan struct{}, 1)}
	g.mu.Lock()
	if g.stopped != nil {
		g.mu.Unlock()
		return nil
	}
	g.consumers[c] = struct{}{}
	c.change(func() { c.credit = r.Credit })
	c.noteRoom()
	g.unlockAndFinish(nil)
	g.check()
	return c
}

// share is the part of the member's concurrency that is the consumer's.
func (c *Consumer) share() int { return max(c.credit, c.outstanding) }

// change changes the credit or the outstanding deliveries. The mutex is held.
func (c *Consumer) change(do func()) {
	before := c.share()
	do()
	c.group.shares += c.share() - before
}

// noteRoom notes whether the consumer has room. The mutex is held.
func (c *Consumer) noteRoom() {
	if c.outstanding < c.credit && !c.inRing {
		c.group.roomy.push(c)
	}
	if c.detached && c.outstanding == 0 {
		c.group.forget(c)
	}
	if c.finishing && c.outstanding == 0 {
		c.wake()
	}
}

// forget removes a consumer. The mutex is held.
func (g *Group) forget(c *Consumer) {
	delete(g.consumers, c)
	g.check()
}

// assign gives a delivery to the consumer. The mutex is held.
func (c *Consumer) assign(e *delivery) {
	e.consumer = c
	c.change(func() {
		c.pending.push(e)
		c.outstanding++
	})
}

func (c *Consumer) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// Lease returns the lease of each delivery.
func (c *Consumer) Lease() time.Duration { return c.lease }

// Ready receives when Take may have something to return. One receiver hears of it.
func (c *Consumer) Ready() <-chan struct{} { return c.ready }

// maxTakenBytes is about how many bytes of events Take returns.
const maxTakenBytes = 256 << 10

// Take appends deliveries to taken: those that are ready, at most so many and about 256 KiB. It waits for none. The lease of each begins now. It returns why
// the consumer has ended: [ErrPaused], [ErrDeleted], [ErrStopping], or [ErrClosed].
func (c *Consumer) Take(taken []Delivery, most int) ([]Delivery, error) {
	g := c.group
	var room [64]*delivery
	begun := room[:0]
	deadline := time.Now().Add(c.lease)
	g.mu.Lock()
	if c.ended != nil {
		g.mu.Unlock()
		return taken, c.ended
	}
	for size := 0; len(begun) < most && size < maxTakenBytes && c.pending.first != nil; {
		e := c.pending.pop()
		c.taken.push(e)
		e.begun, e.lease, e.dispatch = true, c.lease, g.broker.dispatch.Add(1)
		g.open[e.dispatch] = e
		g.begin(e, deadline)
		begun = append(begun, e)
		size += e.size
	}
	if c.pending.first != nil {
		c.wake()
	}
	g.mu.Unlock()
	for _, e := range begun {
		in, err := e.read()
		if err != nil {
			g.endAll(err, e)
			continue
		}
		taken = append(taken, Delivery{Delivery: in, Token: g.broker.tokens.make(g.name, e.dispatch), Until: deadline})
	}
	return taken, nil
}

// read returns the event of a delivery that a consumer has taken.
func (e *delivery) read() (ports.Delivery, error) {
	if !e.IsTimely() { // the process was suspended, and another may own the partition by now
		return ports.Delivery{}, group.ErrNotBegun
	}
	return e.in, e.unread
}

// endAll ends deliveries with an outcome that no settlement has decided.
func (g *Group) endAll(err error, deliveries ...*delivery) {
	var ended []ending
	g.mu.Lock()
	for _, e := range deliveries {
		if !e.closed {
			g.close(e)
			ended = append(ended, ending{e, err})
		}
	}
	g.unlockAndFinish(ended)
}

// SetCredit changes the most deliveries that the consumer has without having settled them. With 0 no further ones come; those that it has not taken are
// returned without an attempt.
func (c *Consumer) SetCredit(credit int) {
	c.group.mu.Lock()
	c.limit(credit)
}

// limit changes the credit, returns the deliveries that are beyond it and not taken, and unlocks the mutex.
func (c *Consumer) limit(credit int) {
	g := c.group
	if c.ended != nil || c.detached || c.finishing {
		credit = 0
	}
	c.change(func() { c.credit = credit })
	var ended []ending
	for c.outstanding > c.credit && c.pending.last != nil {
		e := c.pending.last
		g.close(e)
		ended = append(ended, ending{e, group.ErrNotBegun})
	}
	if c.outstanding >= c.credit && c.inRing {
		g.roomy.remove(c)
	}
	c.noteRoom()
	g.unlockAndFinish(ended)
}

// Detach ends the deliveries of a consumer, which keeps those that it has until they are settled or their leases end.
func (c *Consumer) Detach() {
	c.group.mu.Lock()
	if c.ended == nil {
		c.detached = true
	}
	c.limit(0)
}

// Finish has no further deliveries come. It returns how long the consumer should have to settle those that it has. Ready receives once it has
// settled them ([Consumer.IsSettled]).
func (c *Consumer) Finish() (drain time.Duration) {
	c.group.mu.Lock()
	c.finishing = true
	c.limit(0)
	return c.group.broker.config.Drain
}

// IsSettled reports whether the consumer has settled everything, or has ended.
func (c *Consumer) IsSettled() bool {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	return c.outstanding == 0 || c.ended != nil
}

// Close ends a consumer. Deliveries that it has not settled are returned without an attempt.
func (c *Consumer) Close() { c.close(ErrClosed, errReturned) }

// Break ends a consumer that is gone: what it has taken and not settled has failed.
func (c *Consumer) Break() { c.close(ErrClosed, errBroke) }

// close ends a consumer: Take returns why from then on, and what it has taken ends with an outcome.
func (c *Consumer) close(why, outcome error) {
	g := c.group
	var ended []ending
	g.mu.Lock()
	if c.ended != nil {
		g.mu.Unlock()
		return
	}
	c.ended = why
	c.change(func() { c.credit = 0 })
	for c.pending.first != nil {
		e := c.pending.first
		g.close(e)
		ended = append(ended, ending{e, group.ErrNotBegun})
	}
	for c.taken.first != nil {
		e := c.taken.first
		g.close(e)
		ended = append(ended, ending{e, outcome})
	}
	if c.inRing {
		g.roomy.remove(c)
	}
	g.forget(c)
	c.wake()
	g.unlockAndFinish(ended)
}

// ring has the consumers with room, in the order of their turns.
type ring struct{ turns []*Consumer }

func (r *ring) push(c *Consumer) {
	c.inRing = true
	r.turns = append(r.turns, c)
}

func (r *ring) pop() *Consumer {
	if len(r.turns) == 0 {
		return nil
	}
	c := r.turns[0]
	r.turns = append(r.turns[:0], r.turns[1:]...)
	c.inRing = false
	return c
}

func (r *ring) remove(c *Consumer) {
	for i, other := range r.turns {
		if other == c {
			r.turns = append(r.turns[:i], r.turns[i+1:]...)
			c.inRing = false
			return
		}
	}
}
