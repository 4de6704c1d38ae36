package pull

import (
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/ports"
)

// Delivery is an event that is leased to a consumer.
type Delivery struct {
	ports.Delivery

	Token string
	Until time.Time // end of the lease
}

// Record returns the event as a record of the log. Its seq is 0 for an event of another program.
func (d *Delivery) Record() ports.Record {
	return ports.Record{ID: d.ID.Event, Seq: d.ID.Seq, Ordinal: d.Ordinal, Event: d.Event, Meta: d.Meta}
}

// delivery is one start of the delivery core, for a consumer. The group's mutex guards it.
type delivery struct {
	group.Delivery

	in     ports.Delivery
	unread error // why there is no in
	size   int   // of the event, in bytes

	member   *membership
	dispatch uint64
	consumer *Consumer // nil while it waits for one with room
	begun    bool      // the consumer has taken it
	closed   bool      // its outcome is decided
	settling bool      // a settlement has decided it
	outcome  outcome   // of that settlement
	lease    time.Duration
	deadline time.Time // of the lease
	index    int       // in the heap of leases; -1 if it is not there

	previous, next *delivery // of the consumer
}

// list is a list of the deliveries of a consumer.
type list struct{ first, last *delivery }

func (l *list) push(e *delivery) {
	e.previous, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

func (l *list) remove(e *delivery) {
	if e.previous == nil {
		l.first = e.next
	} else {
		e.previous.next = e.next
	}
	if e.next == nil {
		l.last = e.previous
	} else {
		e.next.previous = e.previous
	}
	e.previous, e.next = nil, nil
}

func (l *list) pop() *delivery {
	e := l.first
	if e != nil {
		l.remove(e)
	}
	return e
}
