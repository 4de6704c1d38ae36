package subscribers_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/subscribers"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

func TestAdministration(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		changes := 0
		a := w.administration(func() { changes++ })
		d := groups.Definition{Group: "g", Kind: groups.KindPull, Filter: groups.Filter{Types: []string{"message:new", "poll:made"}}}
		first := must[groups.Definition](t)(a.Create(t.Context(), d))
		if first.Version != 1 || first.Filter.Types[1] != "poll:made" || changes != 1 {
			t.Errorf("%+v, %d changes", first, changes)
		}
		if exists, err := w.groups.Exists(t.Context(), "g"); !exists || err != nil {
			t.Errorf("the group does not exist: %v", err)
		}
		w.pass(time.Second)
		if again, err := a.Create(t.Context(), d); err != nil || !reflect.DeepEqual(again, first) {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		other := d
		other.Unordered = true
		if _, err := a.Create(t.Context(), other); !errors.Is(err, groups.ErrDefined) {
			t.Errorf("another one of the name: %v", err)
		}
		slow := func(d *groups.Definition) error {
			d.Concurrency, d.Kind, d.Unordered, d.Start = 3, groups.KindWebhook, true, groups.Start{Beginning: true}
			return nil
		}
		second := must[groups.Definition](t)(a.Update(t.Context(), "g", 1, slow))
		if second.Version != 2 || second.Concurrency != 3 || second.Kind != groups.KindPull || second.Unordered || second.Start.Beginning {
			t.Errorf("%+v", second)
		}
		if again, err := a.Update(t.Context(), "g", 1, slow); err != nil || !reflect.DeepEqual(again, second) {
			t.Errorf("the same change again: %+v, %v", again, err)
		}
		if _, err := a.Update(t.Context(), "g", 1, func(d *groups.Definition) error { d.Concurrency = 4; return nil }); !errors.Is(err, groups.ErrDefinitionChanged) {
			t.Errorf("a change of an earlier version: %v", err)
		}
		if _, err := a.Create(t.Context(), d); !errors.Is(err, groups.ErrDefined) {
			t.Errorf("created again after a change: %v", err)
		}
		refused := errors.New("refused")
		if _, err := a.Update(t.Context(), "g", 0, func(*groups.Definition) error { return refused }); !errors.Is(err, refused) {
			t.Error(err)
		}
		paused := must[groups.Definition](t)(a.Pause(t.Context(), "g", "gone"))
		again := must[groups.Definition](t)(a.Pause(t.Context(), "g", "other"))
		if !paused.Paused || paused.PauseReason != "gone" || !reflect.DeepEqual(paused, again) {
			t.Errorf("%+v, then %+v", paused, again)
		}
		resumed := must[groups.Definition](t)(a.Resume(t.Context(), "g"))
		if again := must[groups.Definition](t)(a.Resume(t.Context(), "g")); resumed.Paused || resumed.PauseReason != "" || !reflect.DeepEqual(resumed, again) {
			t.Errorf("%+v, then %+v", resumed, again)
		}
		if list := must[[]groups.Definition](t)(a.List(t.Context())); len(list) != 1 || !reflect.DeepEqual(list[0], resumed) {
			t.Errorf("%+v", list)
		}
		if err := a.Delete(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		if changes != 6 { // five changes, and a creation that was repeated
			t.Errorf("%d changes were announced", changes)
		}
		if err := a.Delete(t.Context(), "g"); !errors.Is(err, groups.ErrGroupNotFound) {
			t.Errorf("deleted again: %v", err)
		}
		for i, err := range []error{
			failure(a.Get(t.Context(), "g")), failure(a.Pause(t.Context(), "g", "")), failure(a.Resume(t.Context(), "g")), failure(a.Update(t.Context(), "g", 0, slow)),
		} {
			if !errors.Is(err, groups.ErrNotDefined) {
				t.Errorf("call %d: %v", i+1, err)
			}
		}
	})
}

func failure[T any](_ T, err error) error { return err }

// TestAdministration_Refuses has definitions with one wrong field each: an error names the field and what is allowed, and nothing is defined.
func TestAdministration_Refuses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		many := func(n int, s string) (list []string) {
			for range n {
				list = append(list, s)
			}
			return list
		}
		chats := make([]domain.ChatID, 1025)
		for i := range chats {
			chats[i] = "c"
		}
		for field, change := range map[string]func(d *groups.Definition){
			"group":                     func(d *groups.Definition) { d.Group = "a b" },
			"group ":                    func(d *groups.Definition) { d.Group = "" },
			"group  ":                   func(d *groups.Definition) { d.Group = strings.Repeat("x", 129) },
			"group   ":                  func(d *groups.Definition) { d.Group = "builtin" },
			"kind":                      func(d *groups.Definition) { d.Kind = "pigeon" },
			"kind ":                     func(d *groups.Definition) { d.Kind = "" },
			"webhook":                   func(d *groups.Definition) { d.Kind = groups.KindWebhook },
			"webhook ":                  func(d *groups.Definition) { d.Webhook = &groups.Webhook{URL: "https://example.com"} },
			"settings.eventTypes":       func(d *groups.Definition) { d.Filter.Types = many(257, "a:b") },
			"settings.eventTypes[1]":    func(d *groups.Definition) { d.Filter.Types = []string{"message:new", "message"} },
			"settings.eventTypes[0]":    func(d *groups.Definition) { d.Filter.Types = []string{"message:shown"} },
			"settings.eventTypes[0] ":   func(d *groups.Definition) { d.Filter.Types = []string{"typing:start"} },
			"settings.chatIds":          func(d *groups.Definition) { d.Filter.Chats = chats },
			"settings.chatIds[1]":       func(d *groups.Definition) { d.Filter.Chats = []domain.ChatID{"a", ""} },
			"start":                     func(d *groups.Definition) { d.Start = groups.Start{Beginning: true, At: time.Now()} },
			"start.time":                func(d *groups.Definition) { d.Start = groups.Start{At: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)} },
			"settings.onPoison":         func(d *groups.Definition) { d.Unordered, d.Park = true, true },
			"settings.retry.attempts":   func(d *groups.Definition) { d.Retry.Attempts = 1001 },
			"settings.retry.attempts ":  func(d *groups.Definition) { d.Retry.Attempts = -1 },
			"settings.retry.firstPause": func(d *groups.Definition) { d.Retry.First = time.Microsecond },
			"settings.retry.maxPause":   func(d *groups.Definition) { d.Retry.Max = 25 * time.Hour },
			"settings.retry.maxPause ":  func(d *groups.Definition) { d.Retry = groups.Retry{First: time.Minute, Max: time.Second} },
			"settings.concurrency":      func(d *groups.Definition) { d.Concurrency = 4097 },
			"settings.concurrency ":     func(d *groups.Definition) { d.Concurrency = -1 },
			"reason":                    func(d *groups.Definition) { d.PauseReason = strings.Repeat("x", 513) },
			"url":                       func(d *groups.Definition) { d.Kind, d.Webhook = groups.KindWebhook, &groups.Webhook{} },
			"timeout": func(d *groups.Definition) {
				d.Kind, d.Webhook = groups.KindWebhook, &groups.Webhook{URL: "x", Timeout: time.Hour}
			},
		} {
			d := pull("g")
			change(&d)
			_, err := w.admin.Create(t.Context(), d)
			invalid, ok := errors.AsType[*domain.InvalidError](err)
			if !ok || invalid.Field != strings.TrimSpace(field) || invalid.Problem == "" || invalid.Allowed == "" {
				t.Errorf("%q: %v", field, err)
			}
		}
		if list := must[[]groups.Definition](t)(w.admin.List(t.Context())); len(list) != 0 {
			t.Errorf("defined: %+v", list)
		}
		w.create(pull("g"))
		_, err := w.admin.Update(t.Context(), "g", 0, func(d *groups.Definition) error { d.Filter.Types = []string{"user:status"}; return nil })
		if invalid, ok := errors.AsType[*domain.InvalidError](err); !ok || invalid.Field != "settings.eventTypes[0]" {
			t.Error(err)
		}
	})
}

// TestDefinition_Defaults pins the defaults of the kinds, which the API promises.
func TestDefinition_Defaults(t *testing.T) {
	for _, test := range []struct {
		kind groups.Kind
		set  groups.Retry
		want string
	}{
		{groups.KindPull, groups.Retry{}, "{10 500ms 1m0s} 1024"},
		{groups.KindWebhook, groups.Retry{}, "{22 5s 2h0m0s} 64"},
		{groups.KindPull, groups.Retry{Attempts: 3, First: time.Hour}, "{3 1h0m0s 1h0m0s} 1024"},
		{groups.KindWebhook, groups.Retry{Max: time.Second}, "{22 1s 1s} 64"},
		{groups.KindWebhook, groups.Retry{Max: time.Hour}, "{22 5s 1h0m0s} 64"},
	} {
		d := groups.Definition{Group: "g", Kind: test.kind, Retry: test.set}
		if test.kind == groups.KindWebhook {
			d.Webhook = &groups.Webhook{URL: "https://example.com"}
		}
		whole := d.WithDefaults()
		if got := fmt.Sprint(whole.Retry, whole.Concurrency); got != test.want {
			t.Errorf("%s: %s, want %s", test.kind, got, test.want)
		}
		if err := whole.Validate(); err != nil {
			t.Error(err)
		}
		if d.Webhook != nil && (whole.Webhook.Timeout != 15*time.Second || d.Webhook.Timeout != 0) {
			t.Errorf("timeouts %v and %v", whole.Webhook.Timeout, d.Webhook.Timeout)
		}
	}
}

// TestAdministration_GroupOfCode defines a group that exists without a definition.
func TestAdministration_GroupOfCode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.start("code")
		defer p.stop()
		ctx := t.Context()
		m, err := p.join(ctx, subscribers.GroupConfig(pull("g").WithDefaults()), nopHandler{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.admin.Create(t.Context(), pull("g")); !errors.Is(err, subscribers.ErrGroupOfCode) {
			t.Error(err)
		}
		if err := m.Leave(ctx); err != nil {
			t.Error(err)
		}
		if err := w.admin.Delete(t.Context(), "g"); err != nil { // also one without a definition
			t.Error(err)
		}
		w.create(pull("g"))
	})
}

// TestAdministration_Interrupted has the creation of a group fail after its definition was stored: the same call again completes it.
func TestAdministration_Interrupted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ended, end := context.WithCancel(t.Context())
		broken := subscribers.NewAdministration(subscribers.AdministrationConfig{
			Definitions: w.definitions, Groups: w.groups, Create: func(context.Context, groupConfig) error { return ports.ErrUnavailable },
		})
		if _, err := broken.Create(t.Context(), pull("g")); !errors.Is(err, ports.ErrUnavailable) {
			t.Error(err)
		}
		end()
		if _, err := w.admin.Create(ended, pull("g")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		w.create(pull("g"))
		w.send("c1")
		p := w.start("p")
		defer p.stop()
		w.pass(10 * time.Second)
		w.complete("g", "c1", 1)
	})
}

// TestAdministration_AtOnce has several callers make the same changes at once: each sees them made.
func TestAdministration_AtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := func(call func(i int) error) {
			t.Helper()
			var running sync.WaitGroup
			for i := range 8 {
				running.Go(func() {
					if err := call(i); err != nil {
						t.Error(err)
					}
				})
			}
			running.Wait()
		}
		all(func(int) error { return failure(w.admin.Create(t.Context(), pull("g"))) })
		all(func(int) error { return failure(w.admin.Pause(t.Context(), "g", "x")) })
		all(func(i int) error {
			return failure(w.admin.Update(t.Context(), "g", 0, func(d *groups.Definition) error {
				d.Filter.Chats = append(d.Filter.Chats, domain.ChatID(fmt.Sprint(i)))
				return nil
			}))
		})
		if d := must[groups.Definition](t)(w.admin.Get(t.Context(), "g")); d.Version != 10 || !d.Paused || len(d.Filter.Chats) != 8 {
			t.Errorf("%+v", d)
		}
	})
}

// TestAdministration_UpdateMeetsAnother has another change come between the read of a definition and its change.
func TestAdministration_UpdateMeetsAnother(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.create(pull("g"))
		calls := 0
		change := func(d *groups.Definition) error {
			if calls++; calls == 1 {
				must[groups.Definition](t)(w.admin.Pause(t.Context(), "g", ""))
			}
			d.Concurrency = 5
			return nil
		}
		if d, err := w.admin.Update(t.Context(), "g", 0, change); err != nil || calls != 2 || !d.Paused || d.Concurrency != 5 || d.Version != 3 {
			t.Errorf("after %d calls %+v, %v", calls, d, err)
		}
	})
}

// TestAdministration_DeleteWithoutState deletes a definition whose group was never created.
func TestAdministration_DeleteWithoutState(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		must[groups.Definition](t)(w.definitions.Define(t.Context(), pull("g")))
		if err := w.admin.Delete(t.Context(), "g"); err != nil {
			t.Error(err)
		}
	})
}

// TestManager_AppliesChanges changes the filter of a group, which needs another membership, and its concurrency, which does not.
func TestManager_AppliesChanges(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		defer a.stop()
		joins := 0
		a.mu.Lock()
		a.before = func() { joins++ }
		a.mu.Unlock()
		w.create(pull("g"))
		w.pass(5 * time.Second)
		must[groups.Definition](t)(w.admin.Update(t.Context(), "g", 0, func(d *groups.Definition) error { d.Concurrency = 1; return nil }))
		w.pass(5 * time.Second)
		if joins != 1 {
			t.Errorf("joined %d times", joins)
		}
		must[groups.Definition](t)(w.admin.Update(t.Context(), "g", 0, func(d *groups.Definition) error { d.Filter.Chats = []domain.ChatID{"c2"}; return nil }))
		w.pass(5 * time.Second)
		w.send("c1")
		w.send("c2")
		w.pass(10 * time.Second)
		w.complete("g", "c2", 1)
		if got := w.handled("g", "c1"); len(got) != 0 || joins != 2 {
			t.Errorf("handled %v, joined %d times", got, joins)
		}
	})
}
