package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/sony/gobreaker"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// bubbleCore is a core in memory in the virtual time of a synctest bubble.
type bubbleCore struct {
	*chatcore.Core
	t      *testing.T
	closed bool // by the test, which has checked the error
}

// inBubble runs a test with a core of the settings.
func inBubble(t *testing.T, config chatcore.Config, test func(b *bubbleCore)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config.Logger = slog.New(slog.DiscardHandler)
		b := &bubbleCore{Core: must[*chatcore.Core](t)(chatcore.NewInMemory(config)), t: t}
		t.Cleanup(func() {
			if err := b.Close(); err != nil && !b.closed {
				t.Error(err)
			}
		})
		test(b)
	})
}

// begin starts the core and sends n messages to one chat, whose creation is event 1.
func (b *bubbleCore) begin(n int) {
	b.t.Helper()
	start(b.t, b.Core)
	must[app.Done](b.t)(b.Chats.Create(b.t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	b.send(0, n)
}

// send sends the messages from the first up to the last, which it leaves out.
func (b *bubbleCore) send(first, last int) {
	b.t.Helper()
	for i := first; i < last; i++ {
		must[app.Sent](b.t)(b.Chats.Send(b.t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: fmt.Sprint("text ", i)}))
	}
}

// pass lets virtual time go by.
func (b *bubbleCore) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// deadLetters returns the reasons of a group's dead letters.
func (b *bubbleCore) deadLetters(group string) (reasons []string) {
	b.t.Helper()
	for d, err := range b.Groups().DeadLetters(b.t.Context(), group) {
		if err != nil {
			b.t.Fatal(err)
		}
		reasons = append(reasons, d.Reason)
	}
	return reasons
}

// starts records the deliveries that a handler is called with.
type starts struct {
	mu  sync.Mutex
	all []chatcore.Delivery[domain.MessageNew]
}

func (s *starts) add(d chatcore.Delivery[domain.MessageNew]) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d)
	return len(s.all)
}

func (s *starts) n() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// attempts returns the attempts of all starts.
func (s *starts) attempts() (attempts []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.all {
		attempts = append(attempts, d.Attempt)
	}
	return attempts
}

// handling handles new messages with f, which is given the number of the call.
func (s *starts) handling(f func(n int) error) chatcore.SubscribeOption {
	return chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error { return f(s.add(d)) })
}

func succeed(int) error { return nil }

// keys is a key repository without the goroutine of Watermill's, which nothing ends.
type keys struct {
	mu     sync.Mutex
	window time.Duration
	seen   map[string]time.Time
}

func newKeys(window time.Duration) *keys {
	return &keys{window: window, seen: make(map[string]time.Time)}
}

func (k *keys) IsDuplicate(_ context.Context, key string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at, seen := k.seen[key]; seen && time.Since(at) < k.window {
		return true, nil
	}
	k.seen[key] = time.Now()
	return false, nil
}

// TestMiddleware_SparesBuiltins guards against middlewares of a team around the core's own groups.
func TestMiddleware_SparesBuiltins(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		var mu sync.Mutex
		var around []string
		if err := errors.Join(b.SubscribeBuiltins(), b.Subscribe("team"), b.Use(func(message.HandlerFunc) message.HandlerFunc {
			return func(msg *message.Message) ([]*message.Message, error) {
				mu.Lock()
				defer mu.Unlock()
				around = append(around, message.HandlerNameFromCtx(msg.Context()))
				return nil, chatcore.Permanent(errors.New("refused by the middleware"))
			}
		})); err != nil {
			t.Fatal(err)
		}
		b.begin(3)
		b.pass(time.Minute)
		if len(around) != 4 || slices.ContainsFunc(around, func(group string) bool { return group != "team" }) {
			t.Errorf("the middleware is around %q", around)
		}
		if n := len(b.deadLetters("team")); n != 4 {
			t.Errorf("%d dead letters of the team's group, want all 4", n)
		}
		for _, group := range []string{chatcore.BuiltinGroup} {
			if letters := b.deadLetters(group); len(letters) > 0 {
				t.Errorf("%s has the dead letters %q", group, letters)
			}
		}
		if chats := must[[]domain.ChatID](t)(b.Queries.ChatsOf(t.Context(), "ada")); len(chats) != 1 {
			t.Errorf("chats of ada: %v", chats)
		}
	})
}

// TestMiddleware_CircuitBreaker opens a breaker by one broken group. A refused call is no attempt, of any group.
func TestMiddleware_CircuitBreaker(t *testing.T) {
	breaker := func() message.HandlerMiddleware {
		return middleware.NewCircuitBreaker(gobreaker.Settings{Timeout: 2 * time.Minute, ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 3 }}).Middleware
	}
	for name, shared := range map[string]bool{"of all groups": true, "of the broken group": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
				t := b.t
				var down atomic.Bool
				down.Store(true)
				var broken, healthy starts
				options := []chatcore.SubscribeOption{broken.handling(func(int) error {
					if down.Load() {
						return chatcore.Transient(errors.New("the service is down"))
					}
					return nil
				})}
				if !shared {
					options = append(options, chatcore.WithMiddleware(breaker()))
				}
				if err := errors.Join(b.SubscribeBuiltins(), b.Subscribe("broken", options...), b.Subscribe("healthy", healthy.handling(succeed))); err != nil {
					t.Fatal(err)
				}
				if shared {
					if err := b.Use(breaker()); err != nil {
						t.Fatal(err)
					}
				}
				b.begin(5)
				b.pass(time.Minute) // the breaker is open
				b.send(5, 20)
				b.pass(time.Second)
				if n := healthy.n(); shared && n == 20 {
					t.Error("the breaker of all groups let the healthy one pass")
				} else if !shared && n != 20 {
					t.Errorf("the healthy group has handled %d of 20 while another one's breaker is open", n)
				}
				b.pass(10 * time.Minute)
				down.Store(false)
				b.pass(10 * time.Minute)
				for _, group := range []string{"broken", "healthy", chatcore.BuiltinGroup} {
					if letters := b.deadLetters(group); len(letters) > 0 {
						t.Errorf("%s has %d dead letters: %s", group, len(letters), letters[0])
					}
				}
				if n := healthy.n(); n != 20 {
					t.Errorf("the healthy group has handled %d of 20", n)
				}
			})
		})
	}
}

// TestMiddleware_Deduplicator shows why a Deduplicator does not belong here: it remembers failed messages, and those of other groups. None is lost:
// the start is a failed attempt.
func TestMiddleware_Deduplicator(t *testing.T) {
	t.Run("after a failed start", func(t *testing.T) {
		inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
			t := b.t
			var s starts
			dedup := &middleware.Deduplicator{Repository: newKeys(10 * time.Second), Timeout: time.Second}
			if err := b.Subscribe("push", chatcore.WithMiddleware(dedup.Middleware), s.handling(func(n int) error {
				if n == 1 {
					return errors.New("once")
				}
				return nil
			})); err != nil {
				t.Fatal(err)
			}
			b.begin(1)
			b.pass(10 * time.Minute)
			if attempts := s.attempts(); len(attempts) != 2 || attempts[1] < 3 {
				t.Errorf("attempts %v, want the first and one after the window", attempts)
			}
			if letters := b.deadLetters("push"); len(letters) > 0 {
				t.Errorf("dead letters %q", letters)
			}
		})
	})
	t.Run("for longer than the retries", func(t *testing.T) {
		inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
			t := b.t
			dedup := &middleware.Deduplicator{Repository: newKeys(24 * time.Hour), Timeout: time.Second}
			var s starts
			if err := b.Subscribe("push", chatcore.WithMiddleware(dedup.Middleware), s.handling(func(int) error { return errors.New("no") })); err != nil {
				t.Fatal(err)
			}
			b.begin(1)
			b.pass(10 * time.Minute)
			if letters := b.deadLetters("push"); len(letters) != 1 || letters[0] != chatcore.ErrHandlerSkipped.Error() {
				t.Errorf("dead letters %q", letters)
			}
		})
	})
	t.Run("around two groups", func(t *testing.T) {
		inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
			t := b.t
			var index, push starts
			dedup := &middleware.Deduplicator{Repository: newKeys(10 * time.Second), Timeout: time.Second}
			if err := errors.Join(b.Use(dedup.Middleware), b.Subscribe("index", index.handling(succeed)), b.Subscribe("push", push.handling(succeed))); err != nil {
				t.Fatal(err)
			}
			b.begin(20)
			b.pass(time.Hour)
			if index.n() != 20 || push.n() != 20 {
				t.Errorf("index got %d and push %d of 20", index.n(), push.n())
			}
		})
	})
}

// publishing counts the messages that a PoisonQueue publishes.
type publishing struct{ n atomic.Int64 }

func (p *publishing) Publish(_ string, messages ...*message.Message) error {
	p.n.Add(int64(len(messages)))
	return nil
}

func (p *publishing) Close() error { return nil }

// TestMiddleware_DropsNoErrors shows that PoisonQueue and IgnoreErrors end no retries: the handler's error decides.
func TestMiddleware_DropsNoErrors(t *testing.T) {
	t.Run("PoisonQueue", func(t *testing.T) {
		inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
			t := b.t
			var s starts
			elsewhere := &publishing{}
			poison := must[message.HandlerMiddleware](t)(middleware.PoisonQueue(elsewhere, "poison"))
			if err := b.Subscribe("push", chatcore.WithMiddleware(poison), s.handling(func(int) error { return errors.New("broken") })); err != nil {
				t.Fatal(err)
			}
			b.begin(1)
			b.pass(10 * time.Minute)
			if letters := b.deadLetters("push"); s.n() != 10 || len(letters) != 1 || letters[0] != "broken" || elsewhere.n.Load() != 10 {
				t.Errorf("%d starts, %d messages on the poison queue, dead letters %q", s.n(), elsewhere.n.Load(), letters)
			}
		})
	})
	t.Run("IgnoreErrors", func(t *testing.T) {
		inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
			t := b.t
			var s starts
			ignore := middleware.NewIgnoreErrors([]error{ports.ErrUnavailable})
			if err := b.Subscribe("push", chatcore.WithMiddleware(ignore.Middleware), s.handling(func(n int) error {
				if n < 20 {
					return ports.ErrUnavailable
				}
				return nil
			})); err != nil {
				t.Fatal(err)
			}
			b.begin(1)
			b.pass(10 * time.Minute)
			if s.n() != 20 || s.all[19].Attempt != 1 || len(b.deadLetters("push")) > 0 {
				t.Errorf("%d starts, the last is attempt %d", s.n(), s.all[s.n()-1].Attempt)
			}
		})
	})
}

// TestMiddleware_Retry calls the handler again inside of one attempt.
func TestMiddleware_Retry(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		var s starts
		retry := middleware.Retry{MaxRetries: 2, InitialInterval: 10 * time.Millisecond, Multiplier: 1, ResetContextOnRetry: true}
		if err := b.Subscribe("push", chatcore.WithMiddleware(retry.Middleware), s.handling(func(n int) error {
			if n < 5 {
				return errors.New("not yet")
			}
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		b.begin(1)
		b.pass(time.Minute)
		if got := fmt.Sprint(s.attempts()); got != "[1 1 1 2 2]" {
			t.Errorf("attempts %s, want three calls in the first and two in the second", got)
		}
	})
}

// TestMiddleware_Throttle slows its own group down only. Deliveries that wait when the core stops are not begun, and are redelivered.
func TestMiddleware_Throttle(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		var slow, fast starts
		if err := errors.Join(
			b.Subscribe("slow", chatcore.WithMiddleware(middleware.NewThrottle(1, time.Second).Middleware), slow.handling(succeed)),
			b.Subscribe("fast", fast.handling(succeed)),
		); err != nil {
			t.Fatal(err)
		}
		b.begin(20)
		b.pass(5500 * time.Millisecond)
		if slow.n() < 3 || slow.n() > 6 || fast.n() != 20 {
			t.Errorf("after five seconds the throttled group has handled %d and the other one %d of 20", slow.n(), fast.n())
		}
		before := slow.n()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if after := slow.n(); after != before {
			t.Errorf("%d handlers began after the stop", after-before)
		}
	})
}

// TestMiddleware_Timeout ends the handler's context as HandlerTimeout does. An error that a port returns then is transient under Timeout, and an
// attempt under HandlerTimeout.
func TestMiddleware_Timeout(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		hang := func(err func(context.Context) error) chatcore.SubscribeOption {
			return chatcore.On(func(ctx context.Context, _ chatcore.Delivery[domain.MessageNew]) error {
				<-ctx.Done()
				return err(ctx)
			})
		}
		plain := hang(func(ctx context.Context) error { return ctx.Err() })
		port := hang(func(ctx context.Context) error { return ports.Unavailable(ctx, ctx.Err()) })
		timeout := chatcore.WithMiddleware(middleware.Timeout(time.Second))
		if err := errors.Join(
			b.Subscribe("timeout", timeout, plain), b.Subscribe("timeout, port", timeout, port), b.Subscribe("handler timeout, port", chatcore.HandlerTimeout(time.Second), port),
		); err == nil {
			t.Fatal("group names with spaces are taken")
		}
		if err := errors.Join(
			b.Subscribe("timeout-port", timeout, port), b.Subscribe("handler-timeout-port", chatcore.HandlerTimeout(time.Second), port),
		); err != nil {
			t.Fatal(err)
		}
		b.begin(1)
		b.pass(20 * time.Minute)
		for group, want := range map[string]int{"timeout": 1, "timeout-port": 0, "handler-timeout-port": 1} {
			if letters := b.deadLetters(group); len(letters) != want {
				t.Errorf("%s has the dead letters %q, want %d", group, letters, want)
			}
		}
	})
}

// TestMiddleware_Duplicator calls a handler twice with one delivery. An effect distinguishes that from two deliveries.
func TestMiddleware_Duplicator(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	made := make(chan bool, 2)
	if err := core.Subscribe("badge", chatcore.WithMiddleware(middleware.Duplicator), chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		once, err := core.Once(ctx, "badge", d.ID, chatcore.Effect{On: "badge:ada", Func: func(context.Context) error { return nil }})
		if err == nil {
			made <- once
		}
		return err
	})); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "hi"}))
	if first, second := receive(t, made), receive(t, made); !first || second {
		t.Errorf("the effect is made %v, %v", first, second)
	}
}

// TestMiddleware_Correlation sets an id in a message's metadata: a plain handler sees it, and the recorded event keeps its own.
func TestMiddleware_Correlation(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	set := func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			middleware.SetCorrelationID("request-1", msg)
			return next(msg)
		}
	}
	around := chatcore.WithMiddleware(set, middleware.CorrelationID)
	plain, typed := make(chan string, 4), make(chan string, 4)
	if err := errors.Join(
		core.SubscribeMessages("plain", func(msg *message.Message) error {
			plain <- middleware.MessageCorrelationID(msg)
			return nil
		}, around),
		core.Subscribe("typed", around, chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			typed <- d.Meta.CorrelationID
			return nil
		})),
	); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	if id := receive(t, plain); id != "request-1" {
		t.Errorf("a plain handler sees the id %q", id)
	}
	if id := receive(t, typed); id != "" {
		t.Errorf("the event has the id %q", id)
	}
}

// TestMiddleware_MayReplaceTheMessage has handlers know their delivery, and end with the core, although a middleware replaces context and metadata.
func TestMiddleware_MayReplaceTheMessage(t *testing.T) {
	type key struct{}
	for name, replace := range map[string]func(*message.Message) *message.Message{
		"a derived context": func(msg *message.Message) *message.Message {
			msg.SetContext(context.WithValue(msg.Context(), key{}, "x"))
			return msg
		},
		"another context": func(msg *message.Message) *message.Message {
			msg.SetContext(context.WithValue(context.Background(), key{}, "x"))
			return msg
		},
		"a copy":             func(msg *message.Message) *message.Message { return msg.Copy() },
		"other metadata":     func(msg *message.Message) *message.Message { msg.Metadata = message.Metadata{"a": "b"}; return msg },
		"a copied payload":   func(msg *message.Message) *message.Message { msg.Payload = slices.Clone(msg.Payload); return msg },
		"a message of yours": func(msg *message.Message) *message.Message { return message.NewMessage("x", msg.Payload) },
	} {
		t.Run(name, func(t *testing.T) {
			onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
				core := open(chatcore.Config{StopTimeout: time.Second})
				around := func(next message.HandlerFunc) message.HandlerFunc {
					return func(msg *message.Message) ([]*message.Message, error) { return next(replace(msg)) }
				}
				type seen struct {
					chatcore.Delivery[domain.Durable]
					value any
				}
				arrived, ended := make(chan seen, 4), make(chan struct{})
				if err := core.Subscribe("g", chatcore.WithMiddleware(around), chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.Durable]) error {
					arrived <- seen{d, ctx.Value(key{})}
					if d.Attempt == 1 {
						return errors.New("again")
					}
					<-ctx.Done()
					close(ended)
					return ctx.Err()
				})); err != nil {
					t.Fatal(err)
				}
				stop := start(t, core)
				must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
				for attempt := 1; attempt <= 2; attempt++ {
					d := receive(t, arrived)
					if d.ID.Log != core.LogID() || d.ID.Chat != "c" || d.ID.Seq != 1 || d.ID.Event == "" || d.Attempt != attempt || d.Epoch == 0 || strings.Contains(name, "context") != (d.value == "x") {
						t.Errorf("start %d has %+v, attempt %d, epoch %d, value %v", attempt, d.ID, d.Attempt, d.Epoch, d.value)
					}
				}
				stop()
				receive(t, ended)
			})
		})
	}
}

// TestMiddleware_Nil is refused by name.
func TestMiddleware_Nil(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	for _, err := range []error{core.Use(middleware.Recoverer, nil), core.Subscribe("g", chatcore.WithMiddleware(nil))} {
		if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), "nil as middleware") {
			t.Errorf("a nil: %v", err)
		}
	}
}
