package app_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// movable is a clock that the test moves.
type movable struct{ at atomic.Int64 }

func (m *movable) Now() time.Time                               { return time.UnixMilli(m.at.Load()) }
func (m *movable) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }
func (m *movable) forward(d time.Duration)                      { m.at.Add(d.Milliseconds()) }

// stage counts the calls of typing starts, and can make them fail.
type stage struct {
	*memory.Log
	marks    ports.TypingMarks
	clock    *movable
	limiter  ports.Limiter
	loads    atomic.Int64
	starts   atomic.Int64
	told     atomic.Int64
	failures atomic.Int64 // still to come
	last     atomic.Pointer[domain.TypingStart]
}

func (s *stage) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	s.loads.Add(1)
	return s.Log.Load(ctx, chat, wants...)
}

func (s *stage) Start(ctx context.Context, e domain.TypingStart) (bool, error) {
	s.starts.Add(1)
	if s.failures.Add(-1) >= 0 {
		return false, ports.ErrUnavailable
	}
	return s.marks.Start(ctx, e)
}

func (s *stage) Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error {
	return s.marks.Stop(ctx, chat, user)
}

func (s *stage) Of(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	return s.marks.Of(ctx, chat)
}

func (s *stage) Publish(_ context.Context, e domain.Ephemeral, _ ports.Meta) error {
	if start, ok := e.(domain.TypingStart); ok {
		s.told.Add(1)
		s.last.Store(&start)
	}
	return nil
}

// newStage has a chat "c" of own, ann and bob.
func newStage(t *testing.T, policy app.Policy, limits map[string]app.Limit) (*stage, *app.Chats, *app.Queries) {
	t.Helper()
	s := &stage{clock: &movable{}}
	s.clock.at.Store(time.Now().UnixMilli())
	s.Log = memory.New(wireformat.New(), s.clock, nil)
	s.marks, s.limiter = s.Typing(), memory.NewLimiter(s.clock)
	entities := entity.NewLoader(s, s, 1<<20)
	chats := app.NewChats(s, entities, s, s, s.clock, ids{}, nil, policy, app.NewLimits(s.limiter, limits))
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann", "bob"}}); err != nil {
		t.Fatal(err)
	}
	s.loads.Store(0)
	return s, chats, app.NewQueries(s, entities, projection.Views{Typing: s})
}

func (s *stage) cost(t *testing.T, what string, loads, starts, published int64) {
	t.Helper()
	if l, st, to := s.loads.Swap(0), s.starts.Swap(0), s.told.Swap(0); l != loads || st != starts || to != published {
		t.Errorf("%s: %d loads, %d starts and %d told, want %d, %d and %d", what, l, st, to, loads, starts, published)
	}
}

func TestAStormOfStartsCostsOneIn2Seconds(t *testing.T) {
	s, chats, _ := newStage(t, app.Policy{}, nil)
	storm := func(user domain.UserID) (published int64, refused int64) {
		var wg sync.WaitGroup
		var yes, no atomic.Int64
		for range 16 {
			wg.Go(func() {
				for range 100 {
					switch ok, err := chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: user}); {
					case ok:
						yes.Add(1)
					case errors.Is(err, domain.ErrNotMember):
						no.Add(1)
					case err != nil:
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return yes.Load(), no.Load()
	}
	for range 3 {
		if published, refused := storm("ann"); published != 1 || refused != 0 {
			t.Errorf("%d starts of a member told, %d refused", published, refused)
		}
		s.cost(t, "a member's storm", 1, 1, 1)
		s.clock.forward(domain.TypingInterval - time.Millisecond)
		storm("ann")
		s.cost(t, "a moment before its time", 0, 0, 0)
		s.clock.forward(time.Millisecond)
		if published, refused := storm("eve"); published != 0 || refused == 0 {
			t.Errorf("%d starts of a stranger told, %d refused", published, refused)
		}
		s.cost(t, "a stranger's storm", 1, 0, 0)
	}
	s.clock.forward(-time.Hour)
	storm("ann")
	s.cost(t, "a storm after the clock was set back", 1, 1, 1)
}

func TestAStopASendAndAFailureLetTheNextStartPass(t *testing.T) {
	s, chats, _ := newStage(t, app.Policy{TypingTTL: 7 * time.Second}, nil)
	ann := domain.Typing{Chat: "c", Actor: "ann"}
	start := func(want bool, wantErr error) {
		t.Helper()
		if published, err := chats.StartTyping(t.Context(), ann); published != want || !errors.Is(err, wantErr) {
			t.Fatalf("told %v, error %v, want %v, %v", published, err, want, wantErr)
		}
	}
	s.failures.Store(2)
	start(false, ports.ErrUnavailable)
	start(false, ports.ErrUnavailable)
	start(true, nil)
	start(false, nil)
	if got := s.last.Load(); got.ExpiresAt.Sub(got.At) != 7*time.Second {
		t.Errorf("it expires after %v", got.ExpiresAt.Sub(got.At))
	}
	if err := chats.StopTyping(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	start(true, nil)
	if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "bob", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	start(false, nil)
	if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	start(true, nil)
}

func TestWhoIsTyping(t *testing.T) {
	s, chats, queries := newStage(t, app.Policy{}, nil)
	expect := func(want ...domain.UserID) {
		t.Helper()
		if got, err := queries.Typing(t.Context(), "c"); err != nil || !slices.Equal(got, want) {
			t.Errorf("typing are %q, error %v, want %q", got, err, want)
		}
	}
	start := func(user domain.UserID) {
		t.Helper()
		if _, err := chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: user}); err != nil {
			t.Fatal(err)
		}
	}
	expect()
	start("bob")
	start("ann")
	expect("ann", "bob")
	s.clock.forward(3 * time.Second)
	start("ann")
	if _, err := chats.Remove(t.Context(), domain.Remove{Chat: "c", Actor: "own", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	s.clock.forward(2*time.Second - time.Millisecond)
	expect("ann", "bob")
	s.clock.forward(time.Millisecond)
	expect("ann")
	if published, err := chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "ann"}); published || !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("who was removed types on: %v, error %v", published, err)
	}
	s.clock.forward(3 * time.Second)
	expect()

	if got, err := queries.Typing(t.Context(), "nowhere"); err != nil || len(got) != 0 {
		t.Errorf("in a chat that there is not: %q, error %v", got, err)
	}
	if _, err := queries.Typing(t.Context(), "a b"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("in no chat: %v", err)
	}
	if _, err := queries.At(1).Typing(t.Context(), "c"); !errors.Is(err, projection.ErrNoViews) {
		t.Errorf("as of a seq: %v", err)
	}
}
