package helpers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// onEachStore runs a test on the helpers of a core on Redis, and of one in memory.
func onEachStore(t *testing.T, test func(t *testing.T, core *chatcore.Core)) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) { test(t, open(chatcore.Config{})) })
}

type profile struct {
	Name string         `json:"name"`
	Age  int            `json:"age,omitempty"`
	Tags map[string]int `json:"tags,omitempty"`
}

func TestValuesComeBack(t *testing.T) {
	onEachStore(t, func(t *testing.T, core *chatcore.Core) {
		h, ctx := core.Helpers, t.Context()
		want := profile{Name: "Ada <&> \u2028 \\u2028", Age: 36}
		if err := h.Set(ctx, "p", want, time.Hour); err != nil {
			t.Fatal(err)
		}
		got := profile{Age: 1, Tags: map[string]int{"old": 1}}
		if found, err := h.Get(ctx, "p", &got); !found || err != nil || got.Name != want.Name || got.Age != 36 || got.Tags != nil {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
		if _, found, err := helpers.Get[profile](ctx, h, "absent"); found || err != nil {
			t.Errorf("what is not there: %v, %v", found, err)
		}
		if err := h.SetPermanent(ctx, "p", nil); err != nil {
			t.Fatal(err)
		}
		if found, err := h.Get(ctx, "p", &got); found || err != nil || got.Age != 36 {
			t.Errorf("null: %+v, %v, %v", got, found, err)
		}
		if n := must[int64](t)(h.Incr(ctx, "n")); n != 1 {
			t.Errorf("counted to %d", n)
		}
		if n, found, err := helpers.Get[int](ctx, h, "n"); n != 1 || !found || err != nil {
			t.Errorf("a counter reads as %d, %v, %v", n, found, err)
		}
		if n := must[int](t)(h.Del(ctx, "p", "n", "absent")); n != 2 {
			t.Errorf("%d were deleted", n)
		}
		if n := core.Stats().HelperUnreadable; n != 0 {
			t.Errorf("%d values could not be read", n)
		}
	})
}

// TestValuesAreAsJSONStringifyWritesThem checks the text that the guide's get will read. The texts are node's.
func TestValuesAreAsJSONStringifyWritesThem(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	namespace := "values-" + uuid.NewString()
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 1}}))
	for want, value := range map[string]any{
		`true`:                       true,
		`"<a href='x'>&\u0001\b\\"`:  "<a href='x'>&\x01\b\\",
		"\"a\u2028b\u2029\"":         "a\u2028b\u2029",
		`"\\u2028\\"`:                `\u2028\`,
		"\"\\\\\u2028日本\"":           "\\\u2028日本",
		`{"name":"Ada","age":36}`:    profile{Name: "Ada", Age: 36},
		`[1,0.1,1e+21,1e-7,-5,null]`: []any{1, 0.1, 1e21, 1e-7, -5, nil},
		`{"a":{"b":[]}}`:             map[string]any{"a": map[string]any{"b": []int{}}},
	} {
		if err := core.Helpers.Set(t.Context(), "v", value, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := client.Get(t.Context(), namespace+":v").Val(); got != want {
			t.Errorf("%v is written as %s, want %s", value, got, want)
		}
	}
}

// TestWhatDoesNotDecodeIsAMissThatCounts reads values of another program, or an older one.
func TestWhatDoesNotDecodeIsAMissThatCounts(t *testing.T) {
	onEachStore(t, func(t *testing.T, core *chatcore.Core) {
		h, ctx := core.Helpers, t.Context()
		for i, foreign := range []any{"text", []int{1}, map[string]any{"name": "half", "age": "old"}, 5} {
			if err := h.SetPermanent(ctx, "p", foreign); err != nil {
				t.Fatal(err)
			}
			got := profile{Name: "before"}
			if found, err := h.Get(ctx, "p", &got); found || err != nil || got.Name != "before" {
				t.Errorf("%v: got %+v, %v, %v", foreign, got, found, err)
			}
			if n := core.Stats().HelperUnreadable; n != uint64(2*i+1) { //nolint:gosec // small
				t.Errorf("%d values could not be read after %d", n, i)
			}
			loaded, err := helpers.GetOrSet(ctx, h, "p", time.Minute, func(context.Context) (profile, error) { return profile{Name: "new"}, nil })
			if err != nil || loaded.Name != "new" {
				t.Errorf("%v: loaded %+v, %v", foreign, loaded, err)
			}
			if again, found, err := helpers.Get[profile](ctx, h, "p"); !found || err != nil || again.Name != "new" {
				t.Errorf("%v: then got %+v, %v, %v", foreign, again, found, err)
			}
		}
	})
}

func TestHelpersRefuseBadInput(t *testing.T) {
	onEachStore(t, func(t *testing.T, core *chatcore.Core) {
		h, ctx := core.Helpers, t.Context()
		load := func(context.Context) (any, error) { return 1, nil }
		var n int
		for name, call := range map[string]func() error{
			"NaN":              func() error { return h.Set(ctx, "a", math.NaN(), time.Minute) },
			"a channel":        func() error { return h.SetPermanent(ctx, "a", make(chan int)) },
			"a NaN payload":    func() error { return h.Publish(ctx, "a", math.Inf(1)) },
			"no key":           func() error { return h.Set(ctx, "", 1, time.Minute) },
			"no ttl":           func() error { return h.Set(ctx, "a", 1, 0) },
			"a negative ttl":   func() error { return h.Set(ctx, "a", 1, -time.Second) },
			"a tiny ttl":       func() error { return h.Set(ctx, "a", 1, time.Microsecond) },
			"into no pointer":  func() error { _, err := h.Get(ctx, "a", n); return err },
			"into nil":         func() error { _, err := h.Get(ctx, "a", nil); return err },
			"into a nil":       func() error { _, err := h.Get(ctx, "a", (*int)(nil)); return err },
			"loading no ttl":   func() error { return h.GetOrSet(ctx, "a", 0, &n, load) },
			"loading no key":   func() error { return h.GetOrSet(ctx, "", time.Minute, &n, load) },
			"loading into nil": func() error { return h.GetOrSet(ctx, "a", time.Minute, nil, load) },
			"no load":          func() error { return h.GetOrSet(ctx, "a", time.Minute, &n, nil) },
			"loading NaN": func() error {
				return h.GetOrSet(ctx, "a", time.Minute, &n, func(context.Context) (any, error) { return math.NaN(), nil })
			},
			"loading another": func() error {
				return h.GetOrSet(ctx, "b", time.Minute, &n, func(context.Context) (any, error) { return "x", nil })
			},
			"every key":         func() error { _, err := h.DelPattern(ctx, "*"); return err },
			"no pattern":        func() error { _, err := h.DelPattern(ctx, ""); return err },
			"a tiny window":     func() error { _, err := h.IncrWithExpiry(ctx, "a", 1); return err },
			"no channel":        func() error { return h.Publish(ctx, "", 1) },
			"subscribed to no":  func() error { _, err := h.Subscribe(ctx, "", nil); return err },
			"a cycle of values": func() error { m := map[string]any{}; m["m"] = m; return h.SetPermanent(ctx, "a", m) },
		} {
			var invalid *domain.InvalidError
			if err := call(); !errors.As(err, &invalid) || !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
			if _, found, err := helpers.Get[int](ctx, h, "a"); found || err != nil {
				t.Errorf("%s left something: %v, %v", name, found, err)
			}
		}
	})
}

func TestOneOfManyCallersLoads(t *testing.T) {
	onEachStore(t, func(t *testing.T, core *chatcore.Core) {
		const callers = 16
		var loads atomic.Int64
		var wg sync.WaitGroup
		inside := make(chan struct{})
		got := make([]profile, callers)
		for i := range callers {
			wg.Go(func() {
				var err error
				got[i], err = helpers.GetOrSet(t.Context(), core.Helpers, "p", time.Minute, func(context.Context) (profile, error) {
					loads.Add(1)
					<-inside
					return profile{Name: "Ada", Tags: map[string]int{"a": 1}}, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(inside)
		wg.Wait()
		if loads.Load() != 1 {
			t.Errorf("%d loads", loads.Load())
		}
		for i, p := range got {
			if p.Name != "Ada" || p.Tags["a"] != 1 {
				t.Errorf("caller %d got %+v", i, p)
			}
			p.Tags["a"] = 2 // nobody else's
		}
	})
}

// TestALeaderThatLeavesIsFollowedByAnother ends the context of the one that loads while another waits, and lets another's load panic.
func TestALeaderThatLeavesIsFollowedByAnother(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (int, error){
		"its ctx ends": func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
		"it panics":    func(ctx context.Context) (int, error) { <-ctx.Done(); panic("load") },
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testLeaderLeaves(t, leave) }) })
	}
}

func testLeaderLeaves(t *testing.T, leave func(context.Context) (int, error)) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	ctx, cancel := context.WithCancel(t.Context())
	left, second := make(chan error, 1), make(chan int, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				left <- fmt.Errorf("panic: %v", r)
			}
		}()
		_, err := helpers.GetOrSet(ctx, core.Helpers, "p", time.Minute, leave)
		left <- err
	}()
	synctest.Wait() // until it loads
	go func() {
		n, err := helpers.GetOrSet(t.Context(), core.Helpers, "p", time.Minute, func(context.Context) (int, error) { return 7, nil })
		if err != nil {
			t.Error(err)
		}
		second <- n
	}()
	synctest.Wait() // until it waits
	cancel()
	if err := <-left; err == nil {
		t.Error("the one that left got no error")
	}
	if n := <-second; n != 7 {
		t.Errorf("the one that waited got %d", n)
	}
}

func TestAFailedLoadIsTheCallersAndKeepsNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, core *chatcore.Core) {
		h, ctx, broken := core.Helpers, t.Context(), errors.New("broken")
		if _, err := helpers.GetOrSet(ctx, h, "p", time.Minute, func(context.Context) (int, error) { return 5, broken }); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		nothing, err := helpers.GetOrSet(ctx, h, "p", time.Minute, func(context.Context) (*int, error) { return nil, nil }) //nolint:nilnil // the subject
		if nothing != nil || err != nil {
			t.Errorf("nil came as %v, %v", nothing, err)
		}
		if n := must[int](t)(h.Del(ctx, "p")); n != 0 {
			t.Error("something was kept")
		}
		must[int](t)(h.SAdd(ctx, "s", "m"))
		if _, err := helpers.GetOrSet(ctx, h, "s", time.Minute, func(context.Context) (int, error) { return 5, nil }); !errors.Is(err, ports.ErrForeignValue) {
			t.Errorf("a set: %v", err)
		}
		var n int
		if !h.Lenient().GetOrSet(ctx, "s", time.Minute, &n, func(context.Context) (any, error) { return 5, nil }) || n != 5 {
			t.Errorf("lenient gave %d", n)
		}
		if members := must[[]string](t)(h.SMembers(ctx, "s")); !slices.Equal(members, []string{"m"}) {
			t.Errorf("the set is now %q", members)
		}
	})
}

// TestLenientHelpersGoOnWithoutRedis stops it. Log records must hold no key and no value.
func TestLenientHelpersGoOnWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	var text lockedBuffer
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}, Logger: slog.New(slog.NewTextHandler(&text, nil))}))
	server.Kill()
	h, ctx := core.Helpers, t.Context()
	lenient, before := h.Lenient(), core.Stats().HelperFailures
	got := 3
	load := func(context.Context) (any, error) { return 5, nil }
	for name, failed := range map[string]func() bool{
		"get":            func() bool { return !lenient.Get(ctx, "secret", &got) && got == 3 },
		"set":            func() bool { return !lenient.Set(ctx, "secret", "secret", time.Minute) },
		"setPermanent":   func() bool { return !lenient.SetPermanent(ctx, "secret", "secret") },
		"del":            func() bool { return lenient.Del(ctx, "secret") == 0 },
		"delPattern":     func() bool { return lenient.DelPattern(ctx, "secret*") == 0 },
		"incr":           func() bool { return lenient.Incr(ctx, "secret") == 0 },
		"incrWithExpiry": func() bool { return lenient.IncrWithExpiry(ctx, "secret", time.Minute) == 0 },
		"sadd":           func() bool { return lenient.SAdd(ctx, "secret", "secret") == 0 },
		"srem":           func() bool { return lenient.SRem(ctx, "secret", "secret") == 0 },
		"smembers":       func() bool { m := lenient.SMembers(ctx, "secret"); return m != nil && len(m) == 0 },
		"sismember":      func() bool { return !lenient.SIsMember(ctx, "secret", "secret") },
		"publish":        func() bool { return !lenient.Publish(ctx, "channel", "secret") },
		"getOrSet":       func() bool { n := 0; return lenient.GetOrSet(ctx, "secret", time.Minute, &n, load) && n == 5 },
		"getOrSet, ttl":  func() bool { n := 0; return lenient.GetOrSet(ctx, "secret", 0, &n, load) && n == 5 },
		"a failing load": func() bool {
			n := 0
			return !lenient.GetOrSet(ctx, "secret", time.Minute, &n, func(context.Context) (any, error) { return nil, errors.New("secret") })
		},
		"subscribe": func() bool {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			return !lenient.Subscribe(ended, "secret", func(context.Context, json.RawMessage) {})
		},
		"the typed one": func() bool {
			n, err := helpers.GetOrSet(ctx, h, "secret", time.Minute, func(context.Context) (int, error) { return 5, nil })
			return n == 5 && err == nil
		},
	} {
		if !failed() {
			t.Errorf("%s did not give its default", name)
		}
		after := core.Stats().HelperFailures
		if after == before {
			t.Errorf("%s was not counted", name)
		}
		before = after
	}
	if logged := text.String(); strings.Contains(logged, "secret") || strings.Count(logged, "helper failed") < 17 {
		t.Errorf("logged:\n%s", logged)
	}
	for name, err := range map[string]error{"get": second(h.Get(ctx, "a", &got)), "publish": h.Publish(ctx, "a", 1)} {
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestChannelsCarryPayloads(t *testing.T) {
	onEachStore(t, func(t *testing.T, core *chatcore.Core) {
		h, ctx := core.Helpers, t.Context()
		typed, raw := make(chan profile, 8), make(chan string, 8)
		subscription, err := helpers.SubscribeTo(ctx, h, "news", func(_ context.Context, p profile) { typed <- p })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Subscribe(ctx, "news", func(_ context.Context, payload json.RawMessage) {
			if string(payload) == `"panic"` {
				panic("handler")
			}
			raw <- string(payload)
		}); err != nil {
			t.Fatal(err)
		}
		for _, payload := range []any{"panic", 5, profile{Name: "<Ada>"}} {
			if err := h.Publish(ctx, "news", payload); err != nil {
				t.Fatal(err)
			}
		}
		if p := receive(t, typed); p.Name != "<Ada>" {
			t.Errorf("got %+v", p)
		}
		for _, want := range []string{`5`, `{"name":"<Ada>"}`} {
			if got := receive(t, raw); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if n := core.Stats().HelperUnreadable; n != 2 {
			t.Errorf("%d messages could not be read", n)
		}
		subscription.Unsubscribe()
		subscription.Unsubscribe()
		if err := h.Publish(ctx, "news", profile{Name: "later"}); err != nil {
			t.Fatal(err)
		}
		receive(t, raw)
		if n := h.Unsubscribe("news"); n != 1 || h.Unsubscribe("news") != 0 {
			t.Errorf("%d subscriptions ended", n)
		}
		if len(typed)+len(raw) > 0 {
			t.Error("more has come")
		}
		if err := core.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Subscribe(ctx, "news", func(context.Context, json.RawMessage) {}); err == nil {
			t.Error("a closed core could be subscribed to")
		}
	})
}

// TestASlowSubscriberLosesAndIsCounted publishes while its handler stands.
func TestASlowSubscriberLosesAndIsCounted(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{Delivery: chatcore.DeliveryConfig{LiveBuffer: 4}})
		h, ctx := core.Helpers, t.Context()
		inside, gate, quick := make(chan struct{}, 100), make(chan struct{}), make(chan int, 100)
		if _, err := h.Subscribe(ctx, "x", func(context.Context, json.RawMessage) { inside <- struct{}{}; <-gate }); err != nil {
			t.Fatal(err)
		}
		if _, err := helpers.SubscribeTo(ctx, h, "x", func(_ context.Context, n int) { quick <- n }); err != nil {
			t.Fatal(err)
		}
		const n = 40
		for i := range n {
			if err := h.Publish(ctx, "x", i); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, quick); got != i {
				t.Fatalf("the quick one heard %d at %d", got, i)
			}
		}
		receive(t, inside)
		if lost := core.Stats().LiveDropped; lost < n-7 || lost >= n {
			t.Errorf("%d were lost", lost)
		}
		close(gate)
	})
}

// TestNoCallBeginsAfterUnsubscribe unsubscribes while others publish, from the handler too.
func TestNoCallBeginsAfterUnsubscribe(t *testing.T) {
	core := chatcoretest.New(t)
	core.Start()
	for i := range 50 {
		var ended atomic.Bool
		var s *helpers.Subscription
		var set sync.WaitGroup
		set.Add(1)
		s, err := core.Helpers.Subscribe(t.Context(), "x", func(context.Context, json.RawMessage) {
			set.Wait()
			if ended.Load() {
				t.Error("a call began")
			}
			if i%2 == 0 {
				s.Unsubscribe()
				ended.Store(true)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		set.Done()
		for range 20 {
			if err := core.Helpers.Publish(t.Context(), "x", 1); err != nil {
				t.Fatal(err)
			}
		}
		if i%4 == 1 {
			s.Unsubscribe()
			ended.Store(true)
		}
		core.WaitIdle() // also with unread messages
		s.Unsubscribe()
	}
}
