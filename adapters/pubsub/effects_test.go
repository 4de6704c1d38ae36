package pubsub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/pubsub"
	"chatcore/domain"
	"chatcore/ports"
)

// effects records the effects of a group's handlers, for a consumer that accepts an effect only with the highest epoch so far.
type effects struct {
	mu     sync.Mutex
	chats  map[domain.ChatID]*history
	faults []string
	starts int
	again  int // starts of finished events
	over   int // starts while another handler of the chat ran under another epoch
}

type history struct {
	done    domain.Seq
	epoch   uint64
	running map[uint64]int // by epoch
}

func newEffects() *effects { return &effects{chats: make(map[domain.ChatID]*history)} }

func (e *effects) of(chat domain.ChatID) *history {
	h := e.chats[chat]
	if h == nil {
		h = &history{running: make(map[uint64]int)}
		e.chats[chat] = h
	}
	return h
}

// skip makes the first events of a chat not expected.
func (e *effects) skip(chat domain.ChatID, seqs domain.Seq) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of(chat).done = seqs
}

func (e *effects) begin(d ports.Delivery) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.of(d.ID.Chat)
	e.starts++
	if h.running[d.Epoch] > 0 {
		e.faults = append(e.faults, fmt.Sprintf("%s: two at a time, the second is %d", d.ID.Chat, d.ID.Seq))
	} else if len(h.running) > 0 {
		e.over++
	}
	h.running[d.Epoch]++
	if d.Epoch < h.epoch {
		return
	}
	h.epoch = d.Epoch
	switch {
	case d.ID.Seq > h.done+1:
		e.faults = append(e.faults, fmt.Sprintf("%s: %d begins when %d was the last that is done", d.ID.Chat, d.ID.Seq, h.done))
	case d.ID.Seq <= h.done:
		e.again++
	}
}

func (e *effects) end(d ports.Delivery, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.of(d.ID.Chat)
	if h.running[d.Epoch]--; h.running[d.Epoch] == 0 {
		delete(h.running, d.Epoch)
	}
	if err == nil && d.Epoch >= h.epoch && d.ID.Seq == h.done+1 {
		h.done++
	}
	return err
}

// around returns a handler that records each start and end.
func (e *effects) around(handle pubsub.Handler) pubsub.Handler {
	return func(ctx context.Context, d ports.Delivery) error {
		e.begin(d)
		return e.end(d, handle(ctx, d))
	}
}

func (e *effects) done(chat domain.ChatID) domain.Seq {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.of(chat).done
}

// all reports whether every sent event is done.
func (e *effects) all(r *rig) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for chat, seq := range r.sent {
		if e.of(chat).done < seq {
			return false
		}
	}
	return true
}

// complete waits until every sent event is done, and reports faults.
func (e *effects) complete(r *rig) {
	r.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !e.all(r) {
		select {
		case <-tick.C:
		case <-deadline:
			e.check(r.t)
			var missing []string
			for chat, seq := range r.sent {
				if done := e.done(chat); done < seq {
					missing = append(missing, fmt.Sprintf("%s has done %d of %d", chat, done, seq))
				}
			}
			r.t.Fatalf("%d chats are not complete: %s", len(missing), strings.Join(missing[:min(len(missing), 5)], ", "))
		}
	}
	e.check(r.t)
}

func (e *effects) check(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.faults) > 0 {
		t.Fatalf("%d faults: %s", len(e.faults), strings.Join(e.faults[:min(len(e.faults), 5)], "; "))
	}
}

// once reports events that were done more than once, for tests in which that must not happen.
func (e *effects) once(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.again > 0 || e.over > 0 {
		t.Errorf("%d of %d starts were of what was done before, %d overlapped", e.again, e.starts, e.over)
	}
}

// nothing is a handler that succeeds.
func nothing(context.Context, ports.Delivery) error { return nil }

// lingers returns a handler that takes a random time, at most the given one.
func lingers(most time.Duration) pubsub.Handler {
	return func(ctx context.Context, _ ports.Delivery) error {
		timer := time.NewTimer(rand.N(most))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
