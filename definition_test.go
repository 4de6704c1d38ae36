package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// order is custom data; the test sets its behavior when it is encoded.
type order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
	wrong string
}

func (o order) MarshalJSON() ([]byte, error) {
	switch o.wrong {
	case "fails":
		return nil, errors.New("no ink")
	case "panics":
		panic("no paper")
	case "is an array":
		return []byte(`[1]`), nil
	case "is no JSON":
		return []byte(`{"item":`), nil
	}
	type plain order
	return json.Marshal(plain(o))
}

func quick(c chatcore.Config) chatcore.Config {
	c.Delivery.Retry.First = time.Millisecond
	return c
}

func TestOwnEventsThatDoNotEncodeAreRefused(t *testing.T) {
	placed := chatcore.Define[order]("order:placed", 1)
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		for _, wrong := range []string{"fails", "panics", "is an array", "is no JSON"} {
			_, err := core.Chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ada", Event: placed.Of(order{wrong: wrong})})
			var own *chatcore.CustomEventError
			if !errors.Is(err, chatcore.ErrCustomEvent) || !errors.As(err, &own) || own.Type != "order:placed" {
				t.Errorf("data that %s: %v", wrong, err)
			}
		}
		_, err := core.Chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ada", Event: placed.Of(order{Item: strings.Repeat("x", domain.MaxEventBytes)})})
		if !errors.Is(err, ports.ErrTooLarge) {
			t.Errorf("data that is too large: %v", err)
		}
		if _, err := core.Chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "eve", Event: placed.Of(order{Item: "tea"})}); !errors.Is(err, domain.ErrNotMember) {
			t.Errorf("by someone else: %v", err)
		}
		if _, err := core.Chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ada"}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("no event: %v", err)
		}
		if done, err := core.Chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ada", Event: placed.Of(order{Item: "tea"})}); err != nil || done.Seq != 2 {
			t.Errorf("the chat after all that: %+v, %v", done, err)
		}
	})
}

func TestARecordIsRepeatedByItsCommand(t *testing.T) {
	placed, paid := chatcore.Define[order]("order:placed", 1), chatcore.Define[order]("order:paid", 1)
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		ctx := t.Context()
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		record := func(e domain.CustomEvent, conditions ...domain.Condition) (app.Done, error) {
			return core.Chats.Record(ctx, domain.Record{Chat: "c", Actor: "ada", Event: e, Entity: "o-1", Conditions: conditions, Command: "first"})
		}
		first := must[app.Done](t)(record(placed.Of(order{Item: "tea"}), domain.Condition{Entity: domain.CustomEntity("o-1")}))
		// The condition no longer holds, but the command was carried out.
		again := must[app.Done](t)(record(placed.Of(order{Item: "tea"}), domain.Condition{Entity: domain.CustomEntity("o-1")}))
		if !again.Duplicate || again.Seq != first.Seq {
			t.Errorf("again: %+v, want a duplicate of %+v", again, first)
		}
		for _, e := range []domain.CustomEvent{placed.Of(order{Item: "milk"}), paid.Of(order{Item: "tea"})} {
			if _, err := record(e); !errors.Is(err, domain.ErrCommandReused) {
				t.Errorf("the command for something else: %v", err)
			}
		}
		view := must[app.CustomView](t)(core.Queries.Custom(ctx, "c", "o-1"))
		if view.Version != first.Seq || len(view.Events) != 1 {
			t.Errorf("the order is %+v", view)
		}
		_, err := core.Chats.Record(ctx, domain.Record{
			Chat: "c", Actor: "ada", Event: paid.Of(order{Item: "tea"}), Entity: "o-1",
			Conditions: []domain.Condition{{Entity: domain.CustomEntity("o-1"), Version: view.Version + 1}},
		})
		var conflict *ports.ConflictError
		if !errors.As(err, &conflict) || conflict.Version != view.Version {
			t.Errorf("a condition that does not hold: %v", err)
		}
		must[app.Done](t)(core.Chats.Record(ctx, domain.Record{
			Chat: "c", Actor: "ada", Event: paid.Of(order{Item: "tea"}), Entity: "o-1",
			Conditions: []domain.Condition{{Entity: domain.CustomEntity("o-1"), Version: view.Version}},
		}))
	})
}

func TestOwnEventsOfOtherVersions(t *testing.T) {
	type v1 struct{ Item, Fault string }
	old := chatcore.Define[v1]("order:placed", 1)
	placed := chatcore.Define[order]("order:placed", 2).Upcast(1, func(fields map[string]json.RawMessage) error {
		switch string(fields["Fault"]) {
		case `"fails"`:
			return errors.New("no count")
		case `"panics"`:
			panic("no count")
		}
		fields["count"] = json.RawMessage("1")
		fields["item"] = fields["Item"]
		return nil
	})
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(quick(chatcore.Config{}))
		arrived, all := make(chan order, 10), make(chan domain.Custom, 10)
		if err := core.Subscribe("orders", placed.On(func(_ context.Context, d chatcore.CustomDelivery[order]) error {
			arrived <- d.Event
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		if err := core.Subscribe("all", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Custom]) error {
			all <- d.Event
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		ctx := t.Context()
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		events := []domain.CustomEvent{
			old.Of(v1{Item: "tea"}), old.Of(v1{Fault: "fails"}), old.Of(v1{Fault: "panics"}),
			placed.Of(order{Item: "milk", Count: 2}), chatcore.Define[order]("order:placed", 3).Of(order{}),
		}
		for _, e := range events {
			must[app.Done](t)(core.Chats.Record(ctx, domain.Record{Chat: "c", Actor: "ada", Event: e}))
		}
		for _, want := range []order{{Item: "tea", Count: 1}, {Item: "milk", Count: 2}} {
			if got := receive(t, arrived); got != want {
				t.Errorf("delivered %+v, want %+v", got, want)
			}
		}
		for i, version := range []int{1, 1, 1, 2, 3} {
			if got := receive(t, all); got.Version != version || got.Type != "order:placed" || got.Actor != "ada" {
				t.Errorf("event %d is %+v", i, got)
			}
		}
		eventually(t, "the chat waits for who can read version 3", func() bool { return core.Stats().Blocked[chatcore.BlockedNewer] == 1 })
		if n := core.Stats().DeadLetters; n != 2 {
			t.Errorf("%d dead letters, want 2", n)
		}
		if records := must[[]ports.Record](t)(core.Queries.Events(ctx, "c", domain.Span{First: true})); len(records) != 6 {
			t.Errorf("%d events in the log, want 6", len(records))
		}
	})
}

func TestAnUpcasterThatFailsHarmsItsEventOnly(t *testing.T) {
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "core-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 2}}
	ctx := t.Context()
	core := opened(t)(chatcore.New(ctx, config))
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}))
	for name, up := range map[string]func(map[string]json.RawMessage) error{
		"fails":  func(map[string]json.RawMessage) error { return errors.New("no") },
		"panics": func(map[string]json.RawMessage) error { panic("no") },
	} {
		later := opened(t)(chatcore.New(ctx, config, chatcore.WithUpcaster("message:new", 1, up)))
		if _, err := later.Queries.Message(ctx, "c", "m"); !errors.Is(err, ports.ErrCorrupt) {
			t.Errorf("%s: the message: %v", name, err)
		}
		id := domain.MessageID(name)
		must[app.Sent](t)(later.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: id, Content: "y"}))
		if m := must[app.MessageView](t)(later.Queries.Message(ctx, "c", id)); m.Content != "y" {
			t.Errorf("%s: the next message is %+v", name, m)
		}
	}
}

func TestNamesOfOwnEvents(t *testing.T) {
	for _, name := range []string{"", "poll", "message:new", "user:status", "Poll:created", "poll:", ":created", "poll:crea ted", "a:" + strings.Repeat("b", 64)} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "allowed") {
					t.Errorf("%q: %v", name, r)
				}
			}()
			chatcore.Define[order](name, 1)
		})
	}
	if typ := chatcore.Define[order]("a.b:c-d:e_1", 1).Type(); typ != "a.b:c-d:e_1" {
		t.Error(typ)
	}
}
