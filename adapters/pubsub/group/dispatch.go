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

// dispatch starts handlers with ready records on the calling goroutine: waking another goroutine would take longer than all the rest. Only one caller
// runs at a time and also starts those that become ready meanwhile. With a batch handler it wakes batchLoop.
func (m *Member) dispatch() {
	if m.config.Batch != nil {
		m.batches.wake()
		return
	}
	var ready [16]*delivery.Record
	m.mu.Lock()
	if m.dispatching {
		m.mu.Unlock()
		return
	}
	m.dispatching = true
	for {
		n := m.core.Deliver(time.Now(), ready[:])
		if n == 0 {
			break
		}
		var starts [len(ready)]int
		for i, r := range ready[:n] {
			starts[i] = r.Start()
		}
		m.unlock()
		for i, r := range ready[:n] {
			m.handler.Handle(Delivery{itemOf(r), starts[i]})
		}
		m.mu.Lock()
	}
	m.dispatching = false
	m.unlock()
}

func itemOf(r *delivery.Record) *item {
	i, _ := r.Shell.(*item)
	return i
}

// complete applies the outcome of a start.
func (m *Member) complete(d Delivery, err error) {
	outcome := m.outcome(err)
	m.mu.Lock()
	m.core.Completed(&d.item.record, d.start, outcome, time.Now())
	m.unlock()
	m.dispatch()
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
