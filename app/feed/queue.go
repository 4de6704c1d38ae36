package feed

// item is an entry of a feed's queue.
type item struct {
	sub       *follower // nil for a status
	event     *Event    // nil for an ephemeral event
	ephemeral *Ephemeral
	epoch     uint16 // of the follower when the event was queued
}

// queue is a queue of items. Its memory is freed when it is empty.
type queue struct {
	items []item
	first int
	bytes int // of events
}

func (q *queue) len() int { return len(q.items) - q.first }

func (q *queue) push(it item) {
	if len(q.items) == cap(q.items) && q.first > len(q.items)/2 {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, it)
	if it.event != nil {
		q.bytes += it.event.size
	}
}

func (q *queue) pop() (it item, ok bool) {
	if q.len() == 0 {
		return item{}, false
	}
	it = q.items[q.first]
	q.items[q.first] = item{}
	if q.first++; q.first == len(q.items) {
		q.first, q.items = 0, q.items[:0]
		if cap(q.items) > keepItems {
			q.items = nil
		}
	}
	if it.event != nil {
		q.bytes -= it.event.size
	}
	return it, true
}

// keepItems is the capacity that an empty queue keeps at most. Most queues never need more.
const keepItems = 4

// queueEvent queues an event of a live follower. It ends the feed if the queue is full.
func (f *Feed) queueEvent(s *follower, e *Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full || f.ended != nil {
		return
	}
	c, q := &f.hub.c, &f.queue
	if q.len() >= c.QueueCount || q.bytes+e.size > c.QueueBytes && q.len() > 0 {
		f.full = true
		f.hub.counts.slow.Add(1)
		f.poke()
		return
	}
	q.push(item{sub: s, event: e, epoch: s.epoch})
	f.hub.counts.queued.Add(1)
	f.poke()
}

// queueEphemeral queues an ephemeral event unless the queue is half full. sub is the follower of its chat, nil for a status.
func (f *Feed) queueEphemeral(s *follower, e *Ephemeral) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full || f.ended != nil {
		return
	}
	c, q := &f.hub.c, &f.queue
	if 2*(q.len()+1) > c.QueueCount || 2*q.bytes > c.QueueBytes {
		f.hub.counts.ephemeralsDropped.Add(1)
		return
	}
	q.push(item{sub: s, ephemeral: e})
	f.hub.counts.ephemerals.Add(1)
	f.poke()
}

// addWork has the reader advance a follower.
func (f *Feed) addWork(s *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !s.inWork && f.ended == nil {
		s.inWork = true
		f.work = append(f.work, s)
		f.poke()
	}
}

// isWork reports whether the reader has to advance a follower.
func (f *Feed) isWork(s *follower) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.inWork
}

// dropWork takes a follower out of the work.
func (f *Feed) dropWork(s *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, other := range f.work {
		if other == s {
			f.work = append(f.work[:i], f.work[i+1:]...)
			break
		}
	}
	if len(f.work) == 0 {
		f.work = nil
	}
	s.inWork = false
}

// poke wakes the reader.
func (f *Feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
