package memory

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock stands still until the test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(context.Context, time.Time) error { panic("nothing in this package sleeps") }

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestEventLog(t *testing.T) {
	porttest.EventLog(t, func(*testing.T) porttest.Log { return New(wireformat.New(), newClock(), nil) })
}

func TestChatView(t *testing.T) {
	porttest.ChatView(t, func(*testing.T) porttest.ViewedLog { return New(wireformat.New(), newClock(), nil) })
}

func TestRetentionRules(t *testing.T) {
	porttest.RetentionRules(t, 1, func(*testing.T) porttest.RuledLog { return New(wireformat.New(), newClock(), nil) })
}

func TestTyping(t *testing.T) {
	porttest.Typing(t, func(*testing.T) (ports.TypingMarks, porttest.Log, func(time.Duration)) {
		clock := newClock()
		log := New(wireformat.New(), clock, func(string, []byte) {})
		return log.Typing(), log, clock.forward
	})
}

func TestLimiter(t *testing.T) {
	porttest.Limiter(t, func(*testing.T) (ports.Limiter, func(time.Duration)) {
		clock := newClock()
		return NewLimiter(clock), clock.forward
	})
	clock := newClock()
	porttest.LimitsTogether(t, NewLimiter(clock), clock.forward)
	log := New(wireformat.New(), clock, nil)
	porttest.LimitTaker(t, log, log.Limiter())
}

// TestLimitsAtTheEdge checks the last nanosecond before a window ends and before an interval has passed, and at the first one after.
func TestLimitsAtTheEdge(t *testing.T) {
	for _, limit := range []ports.Limit{{Rate: 1, Per: time.Second}, {Algorithm: ports.GCRA, Rate: 1, Per: time.Second}} {
		clock := newClock()
		l := NewLimiter(clock)
		for _, step := range []struct {
			after   time.Duration
			allowed bool
			retry   time.Duration
		}{{0, true, 0}, {time.Second - 1, false, 1}, {1, true, 0}, {0, false, time.Second}, {-time.Hour, limit.Algorithm == ports.GCRA, time.Second}, {time.Second, true, 0}} {
			clock.forward(step.after)
			d, err := l.Allow(t.Context(), limit, 1, "a")
			if err != nil || d.Allowed != step.allowed || !d.Allowed && d.RetryAfter != step.retry {
				t.Errorf("%+v, after %v: %+v, error %v", limit, step.after, d, err)
			}
		}
	}
}

func TestWhatNoLongerMattersIsForgotten(t *testing.T) {
	clock := newClock()
	l := NewLimiter(clock)
	for i := range 100_000 {
		clock.forward(time.Millisecond)
		if _, err := l.Allow(t.Context(), ports.Limit{Rate: 1, Per: time.Second}, 1, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.taken) > 5000 {
		t.Errorf("%d names are held, of which 1,000 matter", len(l.taken))
	}
}

func TestUserView(t *testing.T) {
	porttest.UserView(t, func(*testing.T) ports.UserView { return NewUserView() })
}

func TestTypingByTheClock(t *testing.T) {
	clock := newClock()
	log := New(wireformat.New(), clock, nil)
	start := func(want bool) {
		t.Helper()
		e := domain.TypingStart{Chat: "c", User: "u", ExpiresAt: clock.Now().Add(domain.TypingTTL), At: clock.Now()}
		if set, err := log.Typing().Start(t.Context(), e); err != nil || set != want {
			t.Fatalf("start gave %v, error %v, want %v", set, err, want)
		}
	}
	start(true)
	clock.forward(domain.TypingInterval - 1)
	start(false)
	clock.forward(1)
	start(true)
	clock.forward(domain.TypingTTL - 1)
	if !log.Typing().end("c", "u") {
		t.Error("the mark ended early")
	}
	start(true)
	clock.forward(domain.TypingTTL)
	if log.Typing().end("c", "u") {
		t.Error("the mark did not end by itself")
	}
}

func message(c domain.ChatID, m domain.MessageID) ports.Append {
	at := domain.Instant(time.Now())
	return ports.Append{Chat: c, Events: []ports.NewEvent{
		porttest.NewEvent(domain.MessageNew{Chat: c, Message: m, Sender: "ann", Content: "hello", At: at}),
	}}
}

func TestIDsDiffer(t *testing.T) {
	a, b := New(wireformat.New(), newClock(), nil), New(wireformat.New(), newClock(), nil)
	if len(a.ID()) != 32 || a.ID() == b.ID() {
		t.Errorf("two logs have the ids %q and %q", a.ID(), b.ID())
	}
}

// TestRecordsAreCopies changes returned records and checks that the log has not changed.
func TestRecordsAreCopies(t *testing.T) {
	log, entity := New(wireformat.New(), newClock(), nil), domain.MessageEntity("m")
	if _, err := log.Append(t.Context(), message("c", "m")); err != nil {
		t.Fatal(err)
	}
	spoil := func(records []ports.Record) {
		t.Helper()
		if len(records) != 1 || records[0].Seq != 1 {
			t.Fatalf("got the records %+v", records)
		}
		records[0] = ports.Record{}
	}
	for range 2 {
		page, err := log.Read(t.Context(), "c", ports.Range{Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		spoil(page.Records)
		loaded, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: entity})
		if err != nil {
			t.Fatal(err)
		}
		spoil(loaded.Entities[0].Events)
		records, _, err := log.Next(t.Context(), 0, 5)
		if err != nil {
			t.Fatal(err)
		}
		spoil(records)
	}
}

func TestCaches(t *testing.T) {
	porttest.Caches(t, func(*testing.T) porttest.CacheStore { return porttest.CacheStore{CacheStore: NewCache(newClock())} })
}

// TestWhatIsCachedEnds by the clock: values, leases and invalidated versions, each in its time.
func TestWhatIsCachedEnds(t *testing.T) {
	clock := newClock()
	c, ctx := NewCache(clock), t.Context()
	key := ports.CacheKey{Prefix: "kind:", ID: "a"}
	write := ports.CacheWrite{Value: []byte("1"), TTL: time.Minute, Meta: ports.CacheMeta{Version: 3}}
	if _, kept, err := c.Put(ctx, key, write); !kept || err != nil {
		t.Fatal(kept, err)
	}
	seen, _ := c.Get(ctx, key)
	if _, state, _ := c.Lease(ctx, key, seen, "a", 2*time.Minute); state != ports.LeaseTaken {
		t.Fatal(state)
	}
	if err := c.Invalidate(ctx, 3, 3*time.Minute, key); err != nil {
		t.Fatal(err)
	}
	clock.forward(time.Minute)
	if e, _ := c.Get(ctx, key); e.Value != nil {
		t.Errorf("after its time there is %s", e.Value)
	}
	if _, state, _ := c.Lease(ctx, key, ports.CacheEntry{}, "b", time.Minute); state != ports.LeaseHeld {
		t.Errorf("the lease is %v", state)
	}
	clock.forward(time.Minute)
	if _, state, _ := c.Lease(ctx, key, ports.CacheEntry{}, "b", time.Minute); state != ports.LeaseTaken {
		t.Errorf("after its time the lease is %v", state)
	}
	write.Meta.Version = 2
	if _, kept, _ := c.Put(ctx, key, write); kept {
		t.Error("an invalidated version was kept")
	}
	clock.forward(time.Minute)
	if _, kept, _ := c.Put(ctx, key, write); !kept {
		t.Error("an invalidated version is not forgotten")
	}
	for i := range 5000 {
		key.ID = string(rune(i + 1000))
		_, _, _ = c.Put(ctx, key, write)
		clock.forward(time.Second)
	}
	if n := len(c.kept); n > 3000 {
		t.Errorf("%d are kept", n)
	}
}
