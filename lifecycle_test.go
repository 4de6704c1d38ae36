package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestClosed_Core checks the errors of a core after its end, by Close or by the end of Run.
func TestClosed_Core(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		for name, finish := range map[string]func(core *chatcore.Core) error{
			"closed": func(core *chatcore.Core) error { return core.Close() },
			"run": func(core *chatcore.Core) error {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				return core.Run(ctx)
			},
			"closed while it runs": func(core *chatcore.Core) error {
				return errors.Join(core.Start(t.Context()), core.Close(), core.Wait())
			},
		} {
			t.Run(name, func(t *testing.T) {
				core := open(chatcore.Config{})
				if err := core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error { return nil })); err != nil {
					t.Fatal(err)
				}
				if err := finish(core); err != nil {
					t.Fatal(err)
				}
				for call, err := range map[string]error{
					"run":                core.Run(t.Context()),
					"start":              core.Start(t.Context()),
					"subscribe":          core.Subscribe("late"),
					"subscribe messages": core.SubscribeMessages("late", func(*message.Message) error { return nil }),
					"built-ins":          core.SubscribeBuiltins(),
					"listen":             core.Listen(),
					"use":                core.Use(),
					"command":            failure(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"})),
					"query":              failure(core.Queries.History(t.Context(), "c", domain.Span{Limit: 1})),
					"health":             core.Health(t.Context()).NotReady,
					"channel":            failure(core.Helpers.Subscribe(t.Context(), "ch", func(context.Context, json.RawMessage) {})),
					"publish":            core.Helpers.Publish(t.Context(), "ch", "x"),
				} {
					if !errors.Is(err, chatcore.ErrClosed) || errors.Is(err, ports.ErrUnavailable) {
						t.Errorf("%s: %v", call, err)
					}
				}
				if err := core.Wait(); err != nil {
					t.Errorf("wait: %v", err)
				}
			})
		}
	})
}

// TestClosed_EveryPart asks the parts of a core on Redis that keep something there.
func TestClosed_EveryPart(t *testing.T) {
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "closed-" + uuid.NewString()},
		Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{"open": {Rate: 1, Per: time.Minute}}},
	}))
	groups := core.Groups()
	if err := core.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var v string
	for call, err := range map[string]error{
		"helper":                failure(core.Helpers.Get(ctx, "k", &v)),
		"pattern":               failure(core.Helpers.DelPattern(ctx, "k*")),
		"limit that fails open": failure(core.Limits.Allow(ctx, "open", "ada")),
		"session":               failure(core.Sessions.List(ctx, "ada")),
		"presence":              core.Presence.Heartbeat(ctx, "ada", "phone", ""),
		"statuses":              failure(core.Presence.Statuses(ctx, "ada")),
		"effect":                failure(core.Once(ctx, "n", chatcore.DeliveryID{Log: "l", Chat: "c", Seq: 1, Event: "e"}, chatcore.Effect{Commands: []chatcore.Command{{"INCR", "k"}}})),
	} {
		if !errors.Is(err, chatcore.ErrClosed) || errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if _, err := groups.List(ctx); !errors.Is(err, chatcore.ErrClosed) {
		t.Errorf("groups: %v", err)
	}
}

func failure(_ any, err error) error { return err }

// TestStart_SaysWhyNot starts cores that cannot run.
func TestStart_SaysWhyNot(t *testing.T) {
	server := redistest.Start(t)
	handler := chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error { return nil })

	t.Run("the log is lost", func(t *testing.T) {
		core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: "lost"}}))
		if err := core.Subscribe("g", handler); err != nil {
			t.Fatal(err)
		}
		if err := server.Client(t).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := core.Start(t.Context()); !errors.Is(err, ports.ErrLogLost) {
			t.Errorf("start: %v", err)
		}
		if err := core.Wait(); !errors.Is(err, ports.ErrLogLost) {
			t.Errorf("wait: %v", err)
		}
	})
	t.Run("its context ends while Redis is away", func(t *testing.T) {
		proxy := redistest.StartProxy(t, server)
		logger, said := heard()
		core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: proxy.URL(), Namespace: "away"}, Logger: logger}))
		if err := core.Subscribe("g", handler); err != nil {
			t.Fatal(err)
		}
		drop := func([]byte) bool { return false }
		proxy.Reply.Store(&drop)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		started := make(chan error, 1)
		go func() { started <- core.Start(ctx) }()
		await(t, said, "group not ready, trying again")
		if err := core.Start(ctx); !errors.Is(err, chatcore.ErrRunning) {
			t.Errorf("a second start: %v", err)
		}
		cancel()
		if err := receive(t, started); !errors.Is(err, context.Canceled) {
			t.Errorf("start: %v", err)
		}
		if err := receive(t, end(core)); err != nil {
			t.Errorf("wait: %v", err)
		}
	})
	t.Run("it was never started", func(t *testing.T) {
		core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
		if err := core.Wait(); err != nil {
			t.Errorf("wait: %v", err)
		}
	})
}
