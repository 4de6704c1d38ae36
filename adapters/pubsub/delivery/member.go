package delivery

import (
	"math/rand/v2"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// Member is the state of one member of a consumer group. Package delivery describes its use.
type Member struct {
	config      Config
	limits      limits
	random      *rand.Rand
	assignments []*assignment
	ready       readyQueue
	flights     flights
	inFlight    int
	finished    int // deliveries since the last commit
	stopped     bool

	timers  timers
	events  []Event
	signals Signals
}

// assignment is a partition and what the member knows of it beyond a lease.
type assignment struct {
	groups.Partition
	owned   *Partition      // nil while this member does not own it
	earlier map[queueID]int // handlers of earlier leases that still run
	lost    bool            // the last lease had read records that were lost, it is unknown which
	before  bool            // this member has owned it before, whatever the store still knows

	unreserved    map[eventID]groups.EventFailure // starts of earlier leases that the store counts and that were no attempts
	declinedUntil time.Time                       // by this member, because of an event that it cannot read
	declines      bool                            // the other members do not know yet
}

type eventID struct {
	chat string
	seq  domain.Seq
}

// New returns a member that owns none of the partitions.
func New(c Config, partitions []groups.Partition) *Member {
	m := &Member{config: c, limits: defaultLimits(), random: rand.New(rand.NewPCG(c.Seed, 0))} //nolint:gosec // spreads load
	for _, p := range partitions {
		m.assignments = append(m.assignments, &assignment{
			Partition: p, earlier: make(map[queueID]int), unreserved: make(map[eventID]groups.EventFailure),
		})
	}
	return m
}

// Owned returns the partition of an index under its present lease, nil if this member does not own it.
func (m *Member) Owned(i int) *Partition { return m.assignments[i].owned }

// OwnedPartitions returns the partitions that this member owns.
func (m *Member) OwnedPartitions() (owned []groups.Partition) {
	for _, a := range m.assignments {
		if a.owned != nil {
			owned = append(owned, a.Partition)
		}
	}
	return owned
}

// Rebalance takes the members of the group. It returns the indexes of the partitions that this member is to acquire, and drains those that are
// assigned to others.
func (m *Member) Rebalance(living groups.Members, member string, now time.Time) (wanted []int) {
	for i, a := range m.assignments {
		mine := Assigned(a.Partition, living) == member
		switch p := a.owned; {
		case mine && p == nil:
			wanted = append(wanted, i)
		case p != nil && p.draining == mine:
			if p.draining = !mine; mine { // it is assigned to this member again, and not yet released
				p.resumeStalled()
			} else {
				p.rewind(now)
			}
		}
	}
	return wanted
}

// LostRecords reports whether the last lease of a partition had read records that were lost.
func (m *Member) LostRecords(i int) bool { return m.assignments[i].lost }

// Acquired begins a lease of a partition. asked is when the caller asked for it: the lease lasts from then on.
func (m *Member) Acquired(i int, found *groups.Lease, asked, now time.Time) *Partition {
	a := m.assignments[i]
	p := newPartition(m, a, found, asked.Add(m.config.Lease-Margin(m.config.Lease)), now)
	p.hadOwner = found.HadOwner || a.before
	a.owned, a.lost, a.before = p, false, true
	for id, f := range a.unreserved {
		p.restore(id, f)
	}
	clear(a.unreserved)
	p.wake(true, true)
	return p
}

// Margin returns how long before the end of its lease an owner stops by itself.
func Margin(lease time.Duration) time.Duration { return lease / 6 }

// ReleaseDrained ends the leases of the partitions that were drained, for the store to release.
func (m *Member) ReleaseDrained() (held []groups.Release) {
	for _, a := range m.assignments {
		if p := a.owned; p != nil && p.draining && p.running == 0 && p.committed() {
			held = append(held, p.release())
		}
	}
	return held
}

// Leave ends the leases of all partitions, for the store to release.
func (m *Member) Leave() (held []groups.Release) {
	for _, a := range m.assignments {
		if a.owned != nil {
			held = append(held, a.owned.release())
		}
	}
	return held
}

func (p *Partition) release() groups.Release {
	p.close()
	return groups.Release{Partition: p.Partition, Epoch: p.epoch, Overlap: p.overlap}
}

// Lost ends a lease whose partition another member owns by now, or whose past the store has lost. It reports false if the lease was over.
func (m *Member) Lost(p *Partition, lostRecords bool) bool {
	if p.over {
		return false
	}
	p.close()
	a := p.assignment
	a.lost = lostRecords
	for c := p.first; c != nil; c = c.next {
		m.leaveBehind(a, c)
	}
	m.leaveBehind(a, p.others)
	m.signals.Assign, m.signals.Reclaim = true, true
	return true
}

// leaveBehind keeps what outlives a lost lease: handlers that still run, and starts that the store counts and that have not begun.
func (m *Member) leaveBehind(a *assignment, c *chat) {
	for q := c.first; q != nil; q = q.after {
		switch {
		case !q.inFlight:
			m.unreserve(q)
		case q.tracked():
			a.earlier[q.id()]++
		}
	}
}

// Drain makes the member start no more handlers.
func (m *Member) Drain(now time.Time) {
	m.stopped = true
	for _, a := range m.assignments {
		if a.owned != nil {
			a.owned.rewind(now)
		}
	}
}

// InFlight returns the number of records in flight.
func (m *Member) InFlight() int { return m.inFlight }

// Finished returns the number of deliveries that are finished and not in a commit yet.
func (m *Member) Finished() int { return m.finished }

// Committed reports whether every change of the owned partitions is committed.
func (m *Member) Committed() bool {
	for _, a := range m.assignments {
		if a.owned != nil && !a.owned.committed() {
			return false
		}
	}
	return true
}

func (p *Partition) committed() bool {
	return p.pending == nil && len(p.dirty) == 0 && !p.changed
}

// offer offers a partition to the other members because it has an event that this program cannot read. If all members decline it, the member that it
// is assigned to acquires it again, so that its other chats continue.
func (m *Member) offer(q *queue, cause string, now time.Time) {
	p := q.chat.p
	a := p.assignment
	if now.Before(a.declinedUntil) {
		return
	}
	a.declinedUntil, a.declines = now.Add(m.config.CoolDown), true
	m.event(Event{Kind: PartitionOffered, Partition: p, Chat: q.chat.id, Seq: q.head.Seq, Cause: cause})
	m.signals.Assign = true
}

// Declines returns the partitions to decline with the next heartbeat.
func (m *Member) Declines() (partitions []groups.Partition) {
	for _, a := range m.assignments {
		if a.declines {
			partitions = append(partitions, a.Partition)
		}
	}
	return partitions
}

// Declined records that the other members know of the declined partitions.
func (m *Member) Declined(partitions []groups.Partition) {
	for _, a := range m.assignments {
		for _, p := range partitions {
			if p == a.Partition {
				a.declines = false
			}
		}
	}
}

// unreserve records that the last reserved start of a queue's next event is no attempt: it did not begin, or failed transiently, under a lease that has
// ended. The store counts the start until a commit corrects it.
func (m *Member) unreserve(q *queue) {
	r := q.nextEvent()
	if r == nil || r.attempts == 0 || q.chat.foreign() {
		return
	}
	p := q.chat.p
	a, f := p.assignment, groups.EventFailure{Seq: r.Seq, Starts: r.attempts, Epoch: p.epoch}
	id := eventID{q.chat.id, r.Seq}
	if now := a.owned; now != nil {
		now.restore(id, f)
		return
	}
	a.unreserved[id] = f
}

// restore resets the attempts of an event if the last one is the start that f shows to be none.
func (p *Partition) restore(id eventID, f groups.EventFailure) {
	c := p.chats[id.chat]
	if c == nil {
		stored := p.failing[id.chat]
		if correct(&stored, f) {
			p.failing[id.chat] = stored
		}
		return
	}
	if correct(&c.stored, f) {
		return
	}
	for q := c.first; q != nil; q = q.after {
		if r := q.nextEvent(); r != nil && r.Seq == f.Seq && r.reserved == f.Epoch && r.attempts == f.Starts+1 {
			r.attempts, r.reserved = f.Starts, 0
			p.markDirty(c)
		}
	}
}

// correct sets the starts of an event in what the store has of a chat. It reports whether the event is there, with the same epoch.
func correct(stored *groups.Progress, f groups.EventFailure) bool {
	if stored.Seq == f.Seq && stored.Epoch == f.Epoch {
		stored.Starts, stored.Epoch = f.Starts, 0
		return true
	}
	for i := range stored.Others {
		if o := &stored.Others[i]; o.Seq == f.Seq && o.Epoch == f.Epoch {
			o.Starts, o.Epoch = f.Starts, 0
			return true
		}
	}
	return false
}

// successor returns the queue under the present lease that continues one of an earlier lease, or nil if another process delivers it or it cannot be
// delivered.
func (m *Member) successor(q *queue) *queue {
	p := q.chat.p.assignment.owned
	if p == nil || !q.tracked() {
		return nil
	}
	c := p.others
	if !q.chat.foreign() {
		c = p.chats[q.chat.id]
	}
	if c == nil {
		return nil
	}
	for now := c.first; now != nil; now = now.after {
		if now.id() == q.id() && now.head != nil && !now.inFlight && now.head.letter == "" {
			return now
		}
	}
	return nil
}

// Running calls fn with the records in flight, the longest running first, until fn returns false.
func (m *Member) Running(fn func(r *Record) bool) {
	for q := m.flights.first; q != nil; q = q.nextFlight {
		if !fn(q.head) {
			return
		}
	}
}
