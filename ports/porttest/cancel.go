package porttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

func testEndedContext(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "m", ann)))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, expired} {
		for name, call := range map[string]func() error{
			"Append": func() error {
				_, err := log.Append(ctx, then(sent(c, "late", ann)))
				return err
			},
			"AppendBatch": func() error {
				_, err := log.AppendBatch(ctx, []ports.Append{then(sent(c, "late", ann)), then(added(c, "late"))})
				return err
			},
			"Load": func() error {
				_, err := log.Load(ctx, c, ports.LoadRequest{Entity: domain.ChatEntity()})
				return err
			},
			"Read": func() error {
				_, err := log.Read(ctx, c, ports.Range{Limit: 1})
				return err
			},
			"Count": func() error {
				_, err := log.Count(ctx, c, 0)
				return err
			},
			"Members": func() error {
				for _, err := range log.Members(ctx, c) {
					return err
				}
				return nil
			},
			"Chats": func() error {
				for _, err := range log.Chats(ctx) {
					return err
				}
				return nil
			},
		} {
			if err := call(); !errors.Is(err, ctx.Err()) || errors.Is(err, ports.ErrOutcomeUnknown) {
				t.Errorf("%s gave the error %v, want %v", name, err, ctx.Err())
			}
		}
	}
	h.verify()
}

// testCancelled cancels appends in flight: one that succeeded is in the log, one that failed is not, unless its outcome is unknown.
func testCancelled(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	const appends = 64
	events := make(map[domain.EventID]ports.NewEvent)
	outcomes := make([]ports.Outcome, appends)
	sends := make([]ports.Append, appends)
	var wg sync.WaitGroup
	for i := range sends {
		sends[i] = then(sent(c, domain.MessageID(fmt.Sprintf("m%d", i)), ann))
		events[sends[i].Events[0].ID] = sends[i].Events[0]
		ctx, cancel := h.bounded()
		defer cancel()
		wg.Go(func() { outcomes[i].Appended, outcomes[i].Err = log.Append(ctx, sends[i]) })
		wg.Go(cancel)
	}
	wg.Wait()
	history := h.adopt(c, events)
	for i, o := range outcomes {
		version := history.version(domain.MessageEntity(domain.MessageID(fmt.Sprintf("m%d", i))))
		switch {
		case o.Err == nil && version != o.Appended.First:
			t.Errorf("append %d gave %+v, its message is at %d", i, o.Appended, version)
		case o.Err == nil, errors.Is(o.Err, ports.ErrOutcomeUnknown):
		case !errors.Is(o.Err, context.Canceled):
			t.Errorf("append %d gave the error %v, want %v", i, o.Err, context.Canceled)
		case version != 0:
			t.Errorf("append %d gave the error %v, yet its message is at %d", i, o.Err, version)
		}
	}
}
