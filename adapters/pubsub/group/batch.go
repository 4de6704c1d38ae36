package group

import (
	"context"
	"fmt"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// BatchHandler handles the queued events of several chats in one call. It sets [ports.ChatBatch].Done, Err and Later of each batch. A chat is in at
// most one call at a time.
type BatchHandler func(ctx context.Context, batches []*ports.ChatBatch)

// chatBatch is one chat's part of a call of the batch handler.
type chatBatch struct {
	ports.ChatBatch
	records []*delivery.Record
	start   int   // of the first record
	unread  error // why the event after the last delivery is missing
	ignored bool  // the handler is not to have it
}

// batchLoop calls the batch handler until ctx ends. It makes one call at a time: chats that become ready during a call go into the next one.
func (m *Member) batchLoop(ctx context.Context) {
	for {
		select {
		case <-m.batches.c:
		case <-ctx.Done():
			return
		}
		if m.config.Gather > 0 && backoff.Sleep(ctx, m.config.Gather) != nil {
			return
		}
		for m.handleBatch() { //nolint:contextcheck // the handlers' context outlives the loop's
		}
	}
}

// handleBatch makes one call with the chats that are ready. It reports whether there were any.
func (m *Member) handleBatch() bool {
	batches := m.takeBatches()
	if len(batches) == 0 {
		return false
	}
	given := make([]*ports.ChatBatch, 0, len(batches))
	for _, b := range batches {
		b.read(m.config.Encoded)
		if len(b.Deliveries) > 0 {
			given = append(given, &b.ChatBatch)
		}
	}
	m.callBatch(given)
	for _, b := range batches {
		if b.Err == nil && b.Later == 0 && b.Done == len(b.Deliveries) {
			b.Err = b.unread
		}
		if b.ignored {
			m.config.Counters.Ignored.Add(1)
		} else {
			m.config.Counters.Handled.Add(uint64(b.Done)) //nolint:gosec // a count
		}
		outcome := m.outcome(b.Err)
		if m.handlers.Err() != nil {
			outcome = delivery.Outcome{Kind: delivery.NotBegun}
		}
		m.mu.Lock()
		m.core.CompletedBatch(b.records, b.start, b.Done, outcome, b.Later, time.Now())
		m.unlock()
	}
	m.dispatch()
	return true
}

// takeBatches returns the queued events of chats that are ready.
func (m *Member) takeBatches() []*chatBatch {
	m.mu.Lock()
	defer m.unlock()
	ready := m.core.DeliverBatches(time.Now(), m.config.BatchChats, m.config.BatchEvents)
	batches := make([]*chatBatch, len(ready))
	for i, records := range ready {
		batches[i] = &chatBatch{records: records, start: records[0].Start()}
		batches[i].Partition = records[0].Partition().Number
	}
	return batches
}

// read fills in the deliveries up to the first event that cannot be read.
func (b *chatBatch) read(encoded bool) {
	read := Delivery.Read
	if encoded {
		if b.ignored = b.records[0].Seq == 0; b.ignored { // it comes alone
			b.Done = len(b.records)
			return
		}
		read = Delivery.readEncoded
	}
	b.Deliveries = make([]ports.Delivery, 0, len(b.records))
	for _, r := range b.records {
		d, err := read(Delivery{item: itemOf(r)})
		if err != nil {
			b.unread = err
			return
		}
		b.Deliveries = append(b.Deliveries, d)
	}
}

// callBatch calls the handler. A panic counts as a failure of every chat that the handler has not finished.
func (m *Member) callBatch(given []*ports.ChatBatch) {
	if len(given) == 0 {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			for _, b := range given {
				if b.Err == nil && b.Done < len(b.Deliveries) {
					b.Err = fmt.Errorf("%w: %v", ErrPanicked, r)
				}
			}
		}
	}()
	m.config.Batch(m.handlers, given)
}
