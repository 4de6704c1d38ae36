package porttest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

// interruptedErasures records erasures of messages that nobody has changed, with their errors. The events of every other message are known.
type interruptedErasures struct {
	all []ports.Erasure

	mu   sync.Mutex
	errs map[domain.MessageID]error
}

func newInterruptedErasures(h *harness) *interruptedErasures {
	c, e := NewChatID(), &interruptedErasures{errs: make(map[domain.MessageID]error)}
	h.append(then(created(c)))
	for i := range interruptedCalls + 1 {
		m := domain.MessageID(fmt.Sprint("erased", i))
		h.append(then(sent(c, m, ann)))
		known := h.history(c)
		erasure := known.erasing(c, m, ann, given{at(domain.MessageEntity(m), known.head())})
		if i%8 > 0 {
			erasure.Known = known.eventsOf(m)
		}
		if i == interruptedCalls { // the store has all scripts from then on
			h.erase(erasure)
			break
		}
		e.all = append(e.all, erasure)
	}
	return e
}

func (e *interruptedErasures) do(ctx context.Context, log Log, i int) error {
	_, err := log.Erase(ctx, e.all[i])
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs[e.all[i].Message] = err
	return err
}

// check compares the log: an erasure that succeeded is there as a whole, and nothing of one that failed, unless its outcome is unknown.
func (e *interruptedErasures) check(h *harness) {
	h.t.Helper()
	for _, erasure := range e.all {
		loaded, err := h.log.Load(h.t.Context(), erasure.Chat, ports.LoadRequest{Entity: domain.MessageEntity(erasure.Message)})
		if err != nil {
			h.t.Fatalf("loading %s: %v", erasure.Message, err)
		}
		events, failed := loaded.Entities[0].Events, e.errs[erasure.Message]
		erased := domain.IsErased(events[0].Event)
		want := 1
		if erased {
			want += len(erasure.Events)
		}
		if len(events) != want {
			h.t.Fatalf("message %s is erased: %v, with %d events", erasure.Message, erased, len(events))
		}
		if !errors.Is(failed, ports.ErrOutcomeUnknown) && erased != (failed == nil) {
			h.t.Fatalf("the erasure of %s gave %v; in the log: %v", erasure.Message, failed, erased)
		}
	}
}
