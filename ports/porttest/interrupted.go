package porttest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Stores holds the ports of one store whose replies can be held back.
type Stores struct {
	Log interface {
		Log
		ports.Backlog
		ports.Prober
		ports.VaultNotes
		ports.RetentionRules
		ports.ChatView
	}
	Confirmer ports.Confirmer // of a log with replicas
	Effects   ports.Effects
	Effect    ports.Effect // one that Effects can apply
	Values    Store
	Limiter   ports.Limiter
	Typing    ports.TypingMarks
	Presence  interface {
		ports.PresenceStore
		ports.OnlineCounter
	}
	Sessions ports.SessionStore
	Cache    ports.CacheStore
	View     ports.UserView
	Feeds    ports.FeedState
	Attempts ports.WebhookAttempts

	Definitions groups.Definitions
	Relay       ports.Relay

	// Hold holds back every reply of the store until the returned function is called. A call whose reply is held back must end by itself, but not
	// within the deadlines of the test, which are below 200 ms.
	Hold func() (release func())

	history string // of Log, before replies are held back
}

// interruptedCalls is the number of concurrent calls of each method, interruptedMethods the number of methods called concurrently.
const interruptedCalls, interruptedMethods = 50, 16

// Interrupted tests calls whose context ends while the reply is under way. Every method of every port must return the context's error, and the errors
// of appends must agree with the log.
func Interrupted(t *testing.T, s Stores) {
	t.Run("every method is tested", func(t *testing.T) { s.complete(t) })
	for _, end := range []struct {
		name  string
		want  error
		other error
		first []string // methods that are called before the others: only a few appends are sent while replies are held back
		begin func(ctx context.Context, i int) (context.Context, context.CancelFunc)
	}{
		{"deadline", context.DeadlineExceeded, context.Canceled, []string{"Eraser.Erase"}, func(ctx context.Context, i int) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Duration(50+2*i)*time.Millisecond)
		}},
		{"cancellation", context.Canceled, context.DeadlineExceeded, nil, func(ctx context.Context, i int) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Duration(50+2*i)*time.Millisecond, cancel)
			return ctx, cancel
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			h, appends := newHarness(t, s.Log), newInterruptedAppends()
			if histories, ok := s.Log.(ports.Histories); ok {
				s.history = histories.History(t.Context())
			}
			h.append(then(created(appends.chat)))
			erasures := newInterruptedErasures(h)
			release := s.Hold()
			defer release()
			var mu sync.Mutex
			wrong := make(map[string][]error)
			calls := s.calls(appends, erasures)
			others := slices.DeleteFunc(slices.Sorted(maps.Keys(calls)), func(name string) bool { return slices.Contains(end.first, name) })
			for _, names := range append([][]string{end.first}, slices.Collect(slices.Chunk(others, interruptedMethods))...) {
				var running sync.WaitGroup
				for _, name := range names {
					for i := range interruptedCalls {
						running.Go(func() {
							ctx, cancel := end.begin(t.Context(), i)
							defer cancel()
							if err := calls[name](ctx, i); !errors.Is(err, end.want) || errors.Is(err, end.other) {
								mu.Lock()
								defer mu.Unlock()
								wrong[name] = append(wrong[name], err)
							}
						})
					}
				}
				running.Wait()
			}
			release()
			for name, errs := range wrong {
				t.Errorf("%s: %d of %d calls gave other errors than %v, such as %v", name, len(errs), interruptedCalls, end.want, errs[0])
			}
			appends.check(h)
			erasures.check(h)
		})
	}
}

// interruptedAppends records appends of one message each, with their errors.
type interruptedAppends struct {
	chat domain.ChatID

	mu     sync.Mutex
	events map[domain.EventID]ports.NewEvent
	errs   map[domain.MessageID]error
}

func newInterruptedAppends() *interruptedAppends {
	return &interruptedAppends{chat: NewChatID(), events: make(map[domain.EventID]ports.NewEvent), errs: make(map[domain.MessageID]error)}
}

func (a *interruptedAppends) do(m domain.MessageID, do func(ports.Append) error) error {
	e := then(sent(a.chat, m, ann))
	a.mu.Lock()
	a.events[e.Events[0].ID] = e.Events[0]
	a.mu.Unlock()
	err := do(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs[m] = err
	return err
}

// check compares the log: an append that succeeded is there, and one that failed is not, unless its outcome is unknown.
func (a *interruptedAppends) check(h *harness) {
	h.t.Helper()
	found := make(map[domain.MessageID]bool)
	for page := h.read(a.chat, ports.Range{From: 2, Limit: ports.MaxPage}); len(page.Records) > 0; {
		for _, r := range page.Records {
			if e, known := a.events[r.ID]; !known || !reflect.DeepEqual(e.Event, r.Event) {
				h.t.Fatalf("the log has the event %+v, which nobody appended", r)
			}
			if m, ok := r.Event.(domain.MessageNew); ok {
				found[m.Message] = true
			}
		}
		page = h.read(a.chat, ports.Range{From: page.Records[len(page.Records)-1].Seq + 1, Limit: ports.MaxPage})
	}
	for m, err := range a.errs {
		if !errors.Is(err, ports.ErrOutcomeUnknown) && found[m] != (err == nil) {
			h.t.Fatalf("the append of %s gave %v; in the log: %v", m, err, found[m])
		}
	}
}

// calls returns a call of every method.
func (s Stores) calls(a *interruptedAppends, erasures *interruptedErasures) map[string]func(ctx context.Context, i int) error {
	conn, status := domain.Connection{Device: "phone", ID: "c1"}, domain.Online
	key := ports.CacheKey{Prefix: "interrupted:", ID: "i"}
	limit := ports.Limit{Rate: 1000, Per: time.Minute}
	session := domain.Session{ID: "i", User: ann, Device: domain.Device{ID: conn.Device}}
	return map[string]func(ctx context.Context, i int) error{
		"EventLog.Append": func(ctx context.Context, i int) error {
			return a.do(domain.MessageID(fmt.Sprint("single", i)), func(e ports.Append) error { return failure(s.Log.Append(ctx, e)) })
		},
		"BatchAppender.AppendBatch": func(ctx context.Context, i int) error {
			return a.do(domain.MessageID(fmt.Sprint("batch", i)), func(e ports.Append) error { return failure(s.Log.AppendBatch(ctx, []ports.Append{e})) })
		},
		"EventLog.Load": func(ctx context.Context, _ int) error {
			return failure(s.Log.Load(ctx, a.chat, ports.LoadRequest{Entity: domain.ChatEntity()}))
		},
		"EventLog.Read": func(ctx context.Context, _ int) error {
			return failure(s.Log.Read(ctx, a.chat, ports.Range{Limit: 1}))
		},
		"EventLog.Members":     func(ctx context.Context, _ int) error { return firstError(s.Log.Members(ctx, a.chat)) },
		"ChatIndex.Chats":      func(ctx context.Context, _ int) error { return firstError(s.Log.Chats(ctx)) },
		"MessageCounter.Count": func(ctx context.Context, _ int) error { return failure(s.Log.Count(ctx, a.chat, 0)) },
		"MemberCounter.CountMembers": func(ctx context.Context, _ int) error {
			return failure(s.Log.CountMembers(ctx, ports.CountRequest{Chat: a.chat, Most: 1}))
		},
		"EventSearch.Search": func(ctx context.Context, _ int) error {
			return failure(s.Log.Search(ctx, a.chat, ports.Filter{Messages: true}, ports.Range{Limit: 1}))
		},
		"Prober.Probe": func(ctx context.Context, _ int) error { return s.Log.Probe(ctx) },
		"Snapshots.SaveSnapshot": func(ctx context.Context, _ int) error {
			return s.Log.SaveSnapshot(ctx, a.chat, domain.ChatEntity(), 1, &domain.Chat{})
		},
		"Eraser.Erase": func(ctx context.Context, i int) error { return erasures.do(ctx, s.Log, i) },
		"Eraser.EraseContent": func(ctx context.Context, _ int) error {
			return failure(s.Log.EraseContent(ctx, "absent", ports.ContentRange{Until: 1}))
		},
		"Confirmer.Confirm": func(ctx context.Context, _ int) error { return s.Confirmer.Confirm(ctx, ports.LoadRef{Chat: a.chat}) },
		"VaultNotes.ArchivedHistory": func(ctx context.Context, _ int) error {
			return failure(s.Log.ArchivedHistory(ctx, 0))
		},
		"VaultNotes.CheckHistory": func(ctx context.Context, _ int) error { return s.Log.CheckHistory(ctx, 0, s.history) },
		"VaultNotes.NoteHistory":  func(ctx context.Context, _ int) error { return s.Log.NoteHistory(ctx, 0, s.history) },
		"VaultNotes.SealedSegments": func(ctx context.Context, _ int) error {
			return failure(s.Log.SealedSegments(ctx, 0, []domain.ChatID{a.chat}))
		},
		"VaultNotes.NoteSealed": func(ctx context.Context, _ int) error { return s.Log.NoteSealed(ctx, 0, s.history, a.chat, 0, 0) },
		"RetentionRules.AddHold": func(ctx context.Context, i int) error {
			return s.Log.AddHold(ctx, hold(domain.HoldSubject{Chat: domain.ChatID(fmt.Sprint("held", i))}, "case"))
		},
		"RetentionRules.RemoveHold": func(ctx context.Context, _ int) error {
			return s.Log.RemoveHold(ctx, domain.HoldSubject{Chat: a.chat}, "case")
		},
		"RetentionRules.Held": func(ctx context.Context, _ int) error {
			return failure(s.Log.Held(ctx, a.chat, domain.HoldSubject{}))
		},
		"RetentionRules.Rules": func(ctx context.Context, _ int) error { return failure(s.Log.Rules(ctx, 0)) },
		"RetentionRules.Policies": func(ctx context.Context, _ int) error {
			_, _, err := s.Log.Policies(ctx, a.chat)
			return err
		},
		"RetentionRules.SetPolicy": func(ctx context.Context, i int) error {
			return s.Log.SetPolicy(ctx, domain.ChatID(fmt.Sprint("kept", i)), func(_, _ domain.RetentionPolicy) (domain.RetentionPolicy, error) {
				return domain.RetentionPolicy{SetBy: ann}, nil
			})
		},
		"RetentionRules.Expiries": func(ctx context.Context, _ int) error {
			return failure(s.Log.Expiries(ctx, 0, ports.ExpiryOfLog, []domain.ChatID{a.chat}))
		},
		"RetentionRules.SaveExpiry": func(ctx context.Context, _ int) error {
			return s.Log.SaveExpiry(ctx, 0, ports.ExpiryOfLog, a.chat, ports.Expiry{Next: 1})
		},
		"VaultNotes.CountSealed": func(ctx context.Context, _ int) error { return failure(s.Log.CountSealed(ctx, 0)) },
		"Backlog.ListHeads": func(ctx context.Context, _ int) error {
			_, _, _, err := s.Log.ListHeads(ctx, 0, 0)
			return err
		},
		"Backlog.CompareHeads": func(ctx context.Context, _ int) error {
			_, err := s.Log.CompareHeads(ctx, 0, "checkpoints", 0, 10)
			return err
		},
		"Backlog.ReadRaw": func(ctx context.Context, _ int) error {
			_, _, err := s.Log.ReadRaw(ctx, 0, "", []ports.EventRange{{Chat: a.chat, From: 1, Limit: 1}})
			return err
		},
		"ChatView.PutLastMessages": func(ctx context.Context, _ int) error {
			return s.Log.PutLastMessages(ctx, ports.ChatViewEntry{Chat: a.chat, Version: 1, LastPreview: ports.LastPreview{Message: "absent", Seq: 1, At: now()}})
		},
		"ChatView.ListedLastMessages": func(ctx context.Context, _ int) error { return failure(s.Log.ListedLastMessages(ctx, a.chat)) },
		"ChatView.LoadRows": func(ctx context.Context, _ int) error {
			return failure(s.Log.LoadRows(ctx, ann, ports.ChatLoad{Chat: a.chat, Wants: []ports.LoadRequest{{Entity: domain.ChatEntity()}}}))
		},
		"Effects.Once": func(ctx context.Context, i int) error {
			id := ports.DeliveryID{Log: "l", Chat: a.chat, Seq: domain.Seq(i) + 1, Event: "e"} //nolint:gosec // an index
			return failure(s.Effects.Once(ctx, "interrupted", id, s.Effect))
		},
		"KeyValues.Get": func(ctx context.Context, _ int) error {
			_, _, err := s.Values.Get(ctx, "interrupted")
			return err
		},
		"KeyValues.Set":           func(ctx context.Context, _ int) error { return s.Values.Set(ctx, "interrupted", []byte("1"), 0) },
		"KeyValues.Delete":        func(ctx context.Context, _ int) error { return failure(s.Values.Delete(ctx, "interrupted")) },
		"KeyValues.DeletePattern": func(ctx context.Context, _ int) error { return failure(s.Values.DeletePattern(ctx, "interrupted*")) },
		"Counters.Incr":           func(ctx context.Context, _ int) error { return failure(s.Values.Incr(ctx, "interrupted:n")) },
		"Counters.IncrWithExpiry": func(ctx context.Context, _ int) error {
			return failure(s.Values.IncrWithExpiry(ctx, "interrupted:e", time.Minute))
		},
		"Sets.Add":      func(ctx context.Context, _ int) error { return failure(s.Values.Add(ctx, "interrupted:s", "m")) },
		"Sets.Remove":   func(ctx context.Context, _ int) error { return failure(s.Values.Remove(ctx, "interrupted:s", "m")) },
		"Sets.Members":  func(ctx context.Context, _ int) error { return failure(s.Values.Members(ctx, "interrupted:s")) },
		"Sets.Contains": func(ctx context.Context, _ int) error { return failure(s.Values.Contains(ctx, "interrupted:s", "m")) },
		"Limiter.Allow": func(ctx context.Context, _ int) error { return failure(s.Limiter.Allow(ctx, limit, 1, "interrupted")) },
		"Limiter.AllowAll": func(ctx context.Context, _ int) error {
			return failure(s.Limiter.AllowAll(ctx, ports.Take{Limit: limit, N: 1, Name: []string{"interrupted"}}))
		},
		"TypingMarks.Start": func(ctx context.Context, _ int) error {
			at := time.Now()
			return failure(s.Typing.Start(ctx, domain.TypingStart{Chat: a.chat, User: ann, At: at, ExpiresAt: at.Add(time.Minute)}))
		},
		"TypingMarks.Stop": func(ctx context.Context, _ int) error { return s.Typing.Stop(ctx, a.chat, ann) },
		"TypingMarks.Of":   func(ctx context.Context, _ int) error { return failure(s.Typing.Of(ctx, a.chat)) },
		"Presence.Heartbeat": func(ctx context.Context, _ int) error {
			return failure(s.Presence.Heartbeat(ctx, ann, conn, ports.Meta{}))
		},
		"Presence.Leave": func(ctx context.Context, _ int) error {
			return failure(s.Presence.Leave(ctx, ann, conn, ports.Meta{}))
		},
		"Presence.SetStatus": func(ctx context.Context, _ int) error {
			return failure(s.Presence.SetStatus(ctx, ann, status, ports.Meta{}))
		},
		"Statuses.Statuses":          func(ctx context.Context, _ int) error { return failure(s.Presence.Statuses(ctx, ann)) },
		"Statuses.AreOnline":         func(ctx context.Context, _ int) error { return failure(s.Presence.AreOnline(ctx, ann)) },
		"Statuses.Online":            func(ctx context.Context, _ int) error { return firstError(s.Presence.Online(ctx)) },
		"PresenceSweep.AcquireLease": func(ctx context.Context, _ int) error { return failure(s.Presence.AcquireLease(ctx, time.Second)) },
		"OnlineCounter.CountOnline":  func(ctx context.Context, _ int) error { return failure(s.Presence.CountOnline(ctx)) },
		"PresenceSweep.Repair":       func(ctx context.Context, _ int) error { return failure(s.Presence.Repair(ctx, 10)) },
		"PresenceSweep.Expire": func(ctx context.Context, _ int) error {
			_, _, err := s.Presence.Expire(ctx, 10)
			return err
		},
		"Sessions.Open": func(ctx context.Context, _ int) error {
			_, _, err := s.Sessions.Open(ctx, session, "KEY")
			return err
		},
		"Sessions.Find":   func(ctx context.Context, _ int) error { return failure(s.Sessions.Find(ctx, ann, "KEY")) },
		"Sessions.Rotate": func(ctx context.Context, _ int) error { return failure(s.Sessions.Rotate(ctx, ann, "KEY", "OTHER")) },
		"Sessions.Live": func(ctx context.Context, _ int) error {
			return failure(s.Sessions.Live(ctx, []ports.SessionRef{{User: ann, Key: "KEY"}}))
		},
		"UserSessions.List":     func(ctx context.Context, _ int) error { return failure(s.Sessions.List(ctx, ann)) },
		"UserSessions.Close":    func(ctx context.Context, _ int) error { return failure(s.Sessions.Close(ctx, ann, "i")) },
		"UserSessions.CloseAll": func(ctx context.Context, _ int) error { return failure(s.Sessions.CloseAll(ctx, ann)) },
		"CacheStore.Get":        func(ctx context.Context, _ int) error { return failure(s.Cache.Get(ctx, key)) },
		"CacheStore.Lease": func(ctx context.Context, _ int) error {
			_, _, err := s.Cache.Lease(ctx, key, ports.CacheEntry{}, "token", time.Second)
			return err
		},
		"CacheStore.Put": func(ctx context.Context, _ int) error {
			_, _, err := s.Cache.Put(ctx, key, ports.CacheWrite{Value: []byte("1"), TTL: time.Minute})
			return err
		},
		"CacheStore.Invalidate": func(ctx context.Context, _ int) error { return s.Cache.Invalidate(ctx, 0, time.Minute, key) },
		"UserView.Put": func(ctx context.Context, _ int) error {
			return s.View.Put(ctx, "l", one(a.chat, ports.UserEntry{User: ann, Version: 1, Number: 1}))
		},
		"FeedState.Keep": func(ctx context.Context, _ int) error { return s.Feeds.Keep(ctx, "k", []byte("v"), time.Minute) },
		"FeedState.Get": func(ctx context.Context, _ int) error {
			_, _, err := s.Feeds.Get(ctx, "k")
			return err
		},
		"FeedState.Take": func(ctx context.Context, _ int) error {
			_, _, err := s.Feeds.Take(ctx, "k")
			return err
		},
		"WebhookAttempts.Record": func(ctx context.Context, _ int) error {
			return s.Attempts.Record(ctx, "hook", []ports.WebhookAttempt{{Event: "e"}})
		},
		"WebhookAttempts.Attempts": func(ctx context.Context, _ int) error { return failure(s.Attempts.Attempts(ctx, "hook", false)) },
		"WebhookAttempts.Remove":   func(ctx context.Context, _ int) error { return s.Attempts.Remove(ctx, "hook") },
		"Definitions.Definitions": func(ctx context.Context, _ int) error {
			_, _, err := s.Definitions.Definitions(ctx)
			return err
		},
		"Definitions.Revision":   func(ctx context.Context, _ int) error { return failure(s.Definitions.Revision(ctx)) },
		"Definitions.Definition": func(ctx context.Context, _ int) error { return failure(s.Definitions.Definition(ctx, "g")) },
		"Definitions.Define": func(ctx context.Context, i int) error {
			return failure(s.Definitions.Define(ctx, groups.Definition{Group: fmt.Sprint("g", i), Kind: groups.KindPull}))
		},
		"Definitions.Redefine": func(ctx context.Context, _ int) error {
			return failure(s.Definitions.Redefine(ctx, groups.Definition{Group: "g", Kind: groups.KindPull, Version: 1}))
		},
		"Relay.Answer": func(ctx context.Context, i int) error {
			return failure(s.Relay.Answer(ctx, fmt.Sprint("instance", i), func(context.Context, []byte) []byte { return nil }))
		},
		"Relay.Ask":            func(ctx context.Context, _ int) error { return failure(s.Relay.Ask(ctx, "instance", nil)) },
		"Definitions.Undefine": func(ctx context.Context, _ int) error { return s.Definitions.Undefine(ctx, "g") },
		"UserView.Of":          func(ctx context.Context, _ int) error { return failure(s.View.Of(ctx, "l", ann)) },
	}
}

// complete checks that calls leaves out no method of a port that may wait for its store.
func (s Stores) complete(t *testing.T) {
	calls := s.calls(newInterruptedAppends(), nil)
	for _, port := range []reflect.Type{
		reflect.TypeFor[ports.EventLog](), reflect.TypeFor[ports.ChatIndex](), reflect.TypeFor[ports.MessageCounter](), reflect.TypeFor[ports.EventSearch](), reflect.TypeFor[ports.BatchAppender](),
		reflect.TypeFor[ports.Snapshots](), reflect.TypeFor[ports.Eraser](), reflect.TypeFor[ports.Confirmer](), reflect.TypeFor[ports.Backlog](), reflect.TypeFor[ports.Prober](),
		reflect.TypeFor[ports.Effects](), reflect.TypeFor[ports.KeyValues](), reflect.TypeFor[ports.Counters](), reflect.TypeFor[ports.Sets](),
		reflect.TypeFor[ports.Limiter](), reflect.TypeFor[ports.TypingMarks](), reflect.TypeFor[ports.Presence](), reflect.TypeFor[ports.Statuses](),
		reflect.TypeFor[ports.PresenceSweep](), reflect.TypeFor[ports.Sessions](), reflect.TypeFor[ports.UserSessions](), reflect.TypeFor[ports.CacheStore](),
		reflect.TypeFor[ports.UserView](), reflect.TypeFor[ports.FeedState](), reflect.TypeFor[ports.WebhookAttempts](), reflect.TypeFor[ports.OnlineCounter](),
		reflect.TypeFor[groups.Definitions](), reflect.TypeFor[ports.Relay](), reflect.TypeFor[ports.VaultNotes](), reflect.TypeFor[ports.RetentionRules](), reflect.TypeFor[ports.ChatView](),
	} {
		for i := range port.NumMethod() {
			if name := port.Name() + "." + port.Method(i).Name; calls[name] == nil {
				t.Errorf("there is no call of %s", name)
			}
		}
	}
}

// failure returns the error of a call whose result is not needed.
func failure[T any](_ T, err error) error { return err }

// firstError returns the error that an iteration begins with.
func firstError[T any](all iter.Seq2[T, error]) error {
	for _, err := range all {
		return err
	}
	return nil
}
