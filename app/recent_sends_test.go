package app_test

import (
	"context"
	"testing"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// countedErasures counts erasures as well, and those that know the events of their message.
type countedErasures struct {
	*counted
	ports.Eraser
	known int
}

func (c *countedErasures) Erase(ctx context.Context, e ports.Erasure) (ports.Erased, error) {
	c.calls.Add(1)
	if len(e.Known) > 0 {
		c.known++
	}
	return c.Eraser.Erase(ctx, e)
}

// TestRecentSends_NeedNoLoad gives commands on messages that the process has just sent: each is one call of the log, and an erasure knows the event. A message that
// another process has changed meanwhile is loaded after a conflict.
func TestRecentSends_NeedNoLoad(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		shared := open()
		eraser, _ := shared.(ports.Eraser)
		log := &countedErasures{counted: &counted{sharedLog: shared}, Eraser: eraser}
		chats, other := process(log, clock{}), process(open(), clock{})
		prepare(t, chats, "c")
		send := func(m domain.MessageID) {
			t.Helper()
			if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: m, Content: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		erase := func(c *app.Chats, m domain.MessageID) (app.Done, error) {
			erased, err := c.Erase(t.Context(), domain.Erase{Chat: "c", Actor: "ann", MessageID: m})
			return erased.Done, err
		}
		edit := func(c *app.Chats, m domain.MessageID) (app.Done, error) {
			return c.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ann", MessageID: m, Content: "y"})
		}
		for _, test := range []struct {
			name         string
			message      domain.MessageID
			elsewhere    bool // edited by another process
			do           func(*app.Chats, domain.MessageID) (app.Done, error)
			calls, known int
		}{
			{"an edit", "a", false, edit, 1, 0}, {"an erasure", "b", false, erase, 1, 1}, {"an erasure after an edit", "c", true, erase, 3, 1},
		} {
			send(test.message)
			if test.elsewhere {
				if _, err := edit(other, test.message); err != nil {
					t.Fatal(err)
				}
			}
			calls, known := log.calls.Load(), log.known
			done, err := test.do(chats, test.message)
			if calls, known = log.calls.Load()-calls, log.known-known; err != nil || !done.Changed || calls != int64(test.calls) || known != test.known {
				t.Errorf("%s: %+v in %d calls, %d of which know the events, error %v", test.name, done, calls, known, err)
			}
		}
	})
}
