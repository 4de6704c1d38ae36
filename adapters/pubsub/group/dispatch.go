package group

import (
	"errors"
	"time"

	"chatcore/adapters/pubsub/delivery"
)

// Handler starts the handlers of a member's deliveries.
type Handler interface {
	// Handle starts a handler for a delivery, which calls [Delivery.Done]. It returns at once: a member calls it from any of its goroutines, one at a
	// time, and hands over at most [Config].Concurrency deliveries that are not done.
	Handle(d Delivery)
	// Reclaim returns the deliveries whose handlers have not begun, and forgets them: the lease of some may end.
	Reclaim() []Delivery
}

// dispatch starts handlers with ready records on the calling goroutine: waking another goroutine would take longer than all the rest. With a batch
// handler it wakes batchLoop.
func (m *Member) dispatch() {
	m.mu.Lock()
	m.startReady()
}

// startReady does what dispatch does, and unlocks the mutex. Only one caller runs at a time and also starts the records that become ready meanwhile.
func (m *Member) startReady() {
	if m.config.Batch != nil {
		m.batches.wake()
		m.unlock()
		return
	}
	if m.dispatching {
		m.unlock()
		return
	}
	m.dispatching = true
	var ready [16]*delivery.Record
	for {
		n := m.core.Deliver(time.Now(), ready[:])
		if n == 0 {
			break
		}
		var deliveries [len(ready)]Delivery
		for i, r := range ready[:n] {
			deliveries[i] = started(r)
		}
		m.unlock()
		for _, d := range deliveries[:n] {
			m.handler.Handle(d)
		}
		m.mu.Lock()
	}
	m.dispatching = false
	m.unlock()
}

// started returns a record's present start. The mutex is held.
func started(r *delivery.Record) Delivery {
	return Delivery{itemOf(r), r.Start(), r.Deadline()}
}

func itemOf(r *delivery.Record) *item {
	i, _ := r.Data.(*item)
	return i
}

// complete applies the outcome of a start. It reports whether the outcome counts for certain.
func (m *Member) complete(d Delivery, err error) bool {
	outcome := m.outcome(err)
	m.mu.Lock()
	now := time.Now()
	late := d.item.record.IsLate(now)
	counts := m.core.Completed(&d.item.record, d.start, outcome, now)
	m.startReady()
	if err == nil && counts && m.config.CountHandled {
		m.config.Counters.Handled.Add(1)
	}
	return counts && !late
}

// ignore finishes a delivery without a handler.
func (m *Member) ignore(d Delivery) {
	m.mu.Lock()
	counts := m.core.Completed(&d.item.record, d.start, delivery.Outcome{}, time.Now())
	m.startReady()
	if counts {
		m.config.Counters.Ignored.Add(1)
	}
}

// SetConcurrency changes the most deliveries in flight, from 0: those beyond it end first.
func (m *Member) SetConcurrency(n int) {
	m.mu.Lock()
	m.core.SetConcurrency(n, time.Now())
	m.startReady()
}

// completeAndTake applies the outcome of a start, and returns a delivery that the caller handles next, if there is one.
func (m *Member) completeAndTake(d Delivery, err error) (next Delivery, some bool) {
	outcome := m.outcome(err)
	m.mu.Lock()
	now := time.Now()
	if m.core.Completed(&d.item.record, d.start, outcome, now) && err == nil && m.config.CountHandled {
		m.config.Counters.Handled.Add(1)
	}
	var ready [1]*delivery.Record
	if some = m.core.Deliver(now, ready[:]) > 0; some {
		next = started(ready[0])
	}
	m.startReady()
	return next, some
}

// outcome returns the outcome of a handler start that returned err. A handler that fails after its context was canceled may have failed for that.
func (m *Member) outcome(err error) delivery.Outcome {
	switch {
	case err == nil:
		return delivery.Outcome{}
	case errors.Is(err, ErrNotBegun), m.handlers.Err() != nil:
		return delivery.Outcome{Kind: delivery.NotBegun}
	}
	return outcomeOf(err)
}

// reclaim reclaims deliveries that no handler has received, and starts again those that may still start. A partition may have to be released, or its lease
// may have expired, while no handler was free.
func (m *Member) reclaim() {
	if m.handler != nil {
		for _, d := range m.handler.Reclaim() {
			m.mu.Lock()
			m.core.Completed(&d.item.record, d.start, delivery.Outcome{Kind: delivery.NotBegun}, time.Now())
			m.unlock()
		}
	}
	m.dispatch()
}
