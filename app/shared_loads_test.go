package app_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// distant is a log that takes a millisecond for each load and each append, and counts the events that loads return.
type distant struct {
	*memory.Log
	loads, events, appends atomic.Int64
}

func (d *distant) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	time.Sleep(time.Millisecond / 2)
	loaded, err := d.Log.Load(ctx, chat, wants...)
	d.loads.Add(1)
	for _, h := range loaded.Entities {
		d.events.Add(int64(len(h.Events)))
		if r, ok := h.Snapshot.State.(*domain.Reactions); ok {
			d.events.Add(int64(r.Len()))
		}
	}
	time.Sleep(time.Millisecond / 2)
	return loaded, err
}

func (d *distant) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	time.Sleep(time.Millisecond / 2)
	appended, err := d.Log.Append(ctx, a)
	d.appends.Add(1)
	time.Sleep(time.Millisecond / 2)
	return appended, err
}

// TestReact_LoadsOfAHotMessage has 64 callers at once react to a message with 2,000 reactions, where a cap makes all of them wait for each other and
// where none does. The loads of all callers together return few more events than there are reactions: no caller loads those again that another has.
func TestReact_LoadsOfAHotMessage(t *testing.T) {
	for name, caps := range map[string]app.Caps{"without a queue": {}, "with a queue": {ReactionsPerUser: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { reactAtOnce(t, caps) })
		})
	}
}

func reactAtOnce(t *testing.T, caps app.Caps) {
	const before, callers, each = 2000, 64, 8
	log := &distant{Log: memory.New(wireformat.New(), clock{}, nil)}
	entities := entity.NewLoader(log, log, 8<<20)
	defer entities.Close()
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{Caps: caps}, nil)
	did := func(_ any, err error) {
		if err != nil {
			t.Error(err)
		}
	}
	user := func(i int) domain.UserID { return domain.UserID(fmt.Sprint("user-", i)) }
	react := func(i int) {
		did(chats.React(t.Context(), domain.React{Chat: "c", Actor: user(i), MessageID: "m", Emoji: "👍"}))
	}
	did(chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ann"}))
	for i := range before + callers*each {
		did(chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "ann", User: user(i)}))
	}
	did(chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}))
	for i := range before {
		react(i)
	}
	log.loads.Store(0)
	log.events.Store(0)
	log.appends.Store(0)
	var callersDone sync.WaitGroup
	for caller := range callers {
		callersDone.Go(func() {
			for i := range each {
				react(before + caller*each + i)
			}
		})
	}
	callersDone.Wait()
	loads, events, appends := log.loads.Load(), log.events.Load(), log.appends.Load()
	t.Logf("%d reactions took %d appends and %d loads, which returned %d events", callers*each, appends, loads, events)
	// Shared loads return each of the new events once: each begins with the cached state, and a log returns no snapshot that is few events ahead of it.
	// The load for a snapshot of the 2,048th and of the 2,304th event may return at most all new ones before it again.
	if events > 2*callers*each {
		t.Errorf("the loads of %d reactions returned %d events, want at most 2 for each", callers*each, events)
	}
	if loads > callers*each {
		t.Errorf("%d reactions took %d loads, want at most 1 for each", callers*each, loads)
	}
	reactions := []entity.Versioned{{Entity: domain.ReactionsEntity("m")}}
	if _, err := entity.NewLoader(log, nil, 0).Read(t.Context(), "c", reactions); err != nil {
		t.Fatal(err)
	}
	if got, _ := reactions[0].State.(*domain.Reactions); got.Len() != before+callers*each {
		t.Errorf("the message has %d reactions, want %d", got.Len(), before+callers*each)
	}
}

// TestReact_LogThatLosesEvents has a reaction conflict in a log that may have lost events since the decision. The reaction is decided again on what the
// log has, and in its epoch.
func TestReact_LogThatLosesEvents(t *testing.T) {
	for name, test := range map[string]struct {
		conflict func(s *sharing, a ports.Append) error
		epoch    uint64 // of the second append
	}{
		"whose loss was noticed": {func(s *sharing, _ ports.Append) error {
			s.did(s.there.React(s.t.Context(), reaction("bob", "🎉"))) // so that the append conflicts
			s.entities.Invalidate()
			return nil
		}, 1},
		"whose version is lower": {func(_ *sharing, a ports.Append) error {
			at := slices.IndexFunc(a.Conditions, func(c domain.Condition) bool { return c.Entity == domain.ReactionsEntity("m") })
			return &ports.ConflictError{Chat: a.Chat, Condition: a.Conditions[at], Version: a.Conditions[at].Version - 1}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSharing(t)
			s.did(s.here.React(t.Context(), reaction("bob", "👍")))
			s.did(s.here.React(t.Context(), reaction("ann", "🎉")))
			s.log.steps = []func(ports.Append) error{
				func(a ports.Append) error {
					s.log.entities = 0
					return test.conflict(s, a)
				},
				func(a ports.Append) error {
					if a.Epoch != test.epoch || s.log.entities < 4 {
						t.Errorf("the second append has epoch %d, and the last load had %d entities; want epoch %d and all", a.Epoch, s.log.entities, test.epoch)
					}
					return nil
				},
			}
			s.did(s.here.React(t.Context(), reaction("ann", "👍")))
		})
	}
}
