package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/tests/redistest"
)

// run starts the core; stop ends its context and returns what Run returned, and after how long.
func (b *bubbleCore) run() (stop func() (time.Duration, error)) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	if err := b.Start(ctx); err != nil {
		b.t.Fatal(err)
	}
	return func() (time.Duration, error) {
		began := time.Now()
		cancel()
		err := b.Wait()
		return time.Since(began), err
	}
}

// hang returns an event handler that ignores its context until release is closed.
func hang(release <-chan struct{}) chatcore.SubscribeOption {
	return chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error {
		<-release
		return nil
	})
}

// named returns the handlers that an error names.
func named(t *testing.T, err error) (names []string) {
	t.Helper()
	abandoned, is := errors.AsType[*chatcore.AbandonedError](err)
	if !is || !errors.Is(err, chatcore.ErrAbandoned) {
		t.Fatalf("the error names no handlers: %v", err)
	}
	for _, h := range abandoned.Handlers {
		if (h.Group != "" || h.Channel == "message:new") && (h.Chat == "" || h.Seq == 0 || h.Event == "") {
			t.Errorf("%+v names no event", h)
		}
		names = append(names, h.Group+h.Channel+" "+string(h.Chat))
	}
	slices.Sort(names)
	return names
}

// TestStop_OneDeadline hangs everything that may hang at once. All of it shares one StopTimeout.
func TestStop_OneDeadline(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"by default": 0, "as configured": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, chatcore.Config{StopTimeout: timeout}, func(b *bubbleCore) {
				t := b.t
				release := make(chan struct{})
				if err := errors.Join(
					b.SubscribeBuiltins(), b.Subscribe("a", hang(release)), b.Subscribe("b", hang(release), chatcore.HandlerTimeout(time.Second)), b.Subscribe("c", hang(release), chatcore.Ephemeral()),
					b.Subscribe("heeds", chatcore.On(func(ctx context.Context, _ chatcore.Delivery[domain.Durable]) error {
						<-ctx.Done()
						return ctx.Err()
					})),
					b.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) { <-release })),
					failure(b.Helpers.Subscribe(t.Context(), "notices", func(context.Context, json.RawMessage) { <-release })),
				); err != nil {
					t.Fatal(err)
				}
				stop := b.run()
				for _, chat := range []domain.ChatID{"x", "y"} {
					must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
				}
				must[app.Sent](t)(b.Chats.Send(t.Context(), domain.Send{Chat: "x", Actor: "ada", Content: "hi"}))
				if err := b.Helpers.Publish(t.Context(), "notices", "hi"); err != nil {
					t.Fatal(err)
				}
				b.pass(time.Minute)
				took, err := stop()
				want := []string{"a x", "a y", "b x", "b y", "c x", "c y", "message:new x", "notices "}
				if got := named(t, err); !slices.Equal(got, want) {
					t.Errorf("abandoned are %q, want %q", got, want)
				}
				if most := max(timeout, 10*time.Second); timeout == 0 && took > 25*time.Second || timeout > 0 && took > most {
					t.Errorf("the stop took %v", took)
				}
				if err := b.Close(); !errors.Is(err, chatcore.ErrAbandoned) {
					t.Errorf("close: %v", err)
				}
				close(release)
				b.closed = true
			})
		})
	}
}

// TestStop_Clean returns nil when nothing is left behind: at once, or when the handlers' contexts have ended.
func TestStop_Clean(t *testing.T) {
	for name, test := range map[string]struct {
		wait func(ctx context.Context)
		most time.Duration
	}{
		"idle":              {func(context.Context) {}, time.Second},
		"heeds its context": {func(ctx context.Context) { <-ctx.Done() }, 24 * time.Second},
		"ends in the drain": {func(context.Context) { time.Sleep(5 * time.Second) }, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
				t := b.t
				if err := b.Subscribe("g", chatcore.On(func(ctx context.Context, _ chatcore.Delivery[domain.Durable]) error {
					test.wait(ctx)
					return ctx.Err()
				})); err != nil {
					t.Fatal(err)
				}
				stop := b.run()
				must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: "x", Actor: "ada"}))
				b.pass(time.Millisecond)
				if took, err := stop(); err != nil || took > test.most {
					t.Errorf("the stop took %v: %v", took, err)
				}
			})
		})
	}
}

// TestStop_HungGroup ends once the handlers' time is over: nobody waits for an abandoned handler again.
func TestStop_HungGroup(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		release := make(chan struct{})
		if err := b.Subscribe("g", hang(release)); err != nil {
			t.Fatal(err)
		}
		stop := b.run()
		must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: "x", Actor: "ada"}))
		b.pass(time.Second)
		took, err := stop()
		if got := fmt.Sprint(named(t, err)); got != "[g x]" || took > 22*time.Second {
			t.Errorf("abandoned after %v are %s", took, got)
		}
		close(release)
		b.closed = true
	})
}

// TestStop_ByAFailure counts the timeout from the failure that stops the core.
func TestStop_ByAFailure(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		release := make(chan struct{})
		if err := errors.Join(
			b.Subscribe("g", hang(release)),
			b.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.ChatUpdate]) { <-release })),
		); err != nil {
			t.Fatal(err)
		}
		b.run()
		must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: "x", Actor: "ada"}))
		b.pass(time.Second)
		began := time.Now()
		if err := b.Groups().Delete(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		err := b.Wait()
		if got := fmt.Sprint(named(t, err)); got != "[chat:update x g x]" || !errors.Is(err, chatcore.ErrGroupDeleted) {
			t.Errorf("abandoned are %s: %v", got, err)
		}
		if took := time.Since(began); took > 26*time.Second { // the deletion is noticed within a second
			t.Errorf("the stop took %v", took)
		}
		close(release)
		b.closed = true
	})
}

// TestStop_NeverStarted bounds Close of a core that was not started.
func TestStop_NeverStarted(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		release := make(chan struct{})
		must[*helpers.Subscription](t)(b.Helpers.Subscribe(t.Context(), "notices", func(context.Context, json.RawMessage) { <-release }))
		if err := b.Helpers.Publish(t.Context(), "notices", "hi"); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		began := time.Now()
		err := b.Close()
		if got := fmt.Sprint(named(t, err)); got != "[notices ]" || time.Since(began) > 25*time.Second {
			t.Errorf("abandoned after %v are %s", time.Since(began), got)
		}
		close(release)
		b.closed = true
	})
}

// TestStop_RedisGone keeps the deadline while Redis swallows everything that it is sent.
func TestStop_RedisGone(t *testing.T) {
	for name, hangs := range map[string]bool{"idle": false, "hung": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := redistest.StartProxy(t, redistest.Shared(t))
			const timeout = 8 * time.Second
			core := must[*chatcore.Core](t)(chatcore.New(t.Context(), chatcore.Config{
				Redis:       chatcore.RedisConfig{URL: proxy.URL(), Namespace: "gone-" + uuid.NewString(), CommandTimeout: time.Minute},
				Log:         chatcore.LogConfig{Partitions: 2},
				StopTimeout: timeout,
			}))
			release, begun := make(chan struct{}), make(chan struct{}, 8)
			t.Cleanup(proxy.Cut) // ends calls that still wait for Redis
			defer close(release)
			if err := errors.Join(core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error {
				begun <- struct{}{}
				if hangs {
					<-release
				}
				return nil
			})), core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.Event]) {}))); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := core.Start(ctx); err != nil {
				t.Fatal(err)
			}
			must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "x", Actor: "ada"}))
			receive(t, begun)
			proxy.Swallow(true)
			began := time.Now()
			cancel()
			err := receive(t, end(core))
			if took := time.Since(began); took > 2*timeout { // two deadlines, or the timeout of a command
				t.Errorf("the stop took %v", took)
			}
			if !hangs && err != nil {
				t.Errorf("Run ended with %v", err)
			} else if hangs && fmt.Sprint(named(t, err)) != "[g x]" {
				t.Errorf("Run ended with %v", err)
			}
		})
	}
}
