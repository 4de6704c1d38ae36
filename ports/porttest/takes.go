package porttest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// LimitTaker tests a log whose appends take from the limits of a limiter.
func LimitTaker(t *testing.T, log Log, limiter ports.Limiter) {
	if taker, ok := log.(ports.LimitTaker); !ok || !taker.TakesFrom(limiter) {
		t.Fatal("the log does not take from the limiter")
	}
	for _, limit := range []ports.Limit{inWindow(), inGCRA()} {
		name := map[ports.Algorithm]string{ports.FixedWindow: "window", ports.GCRA: "GCRA"}[limit.Algorithm]
		t.Run(name+": an append takes, and a refused one is not there", func(t *testing.T) { testTakes(t, log, limiter, limit) })
		t.Run(name+": all limits of an append or none", func(t *testing.T) { testTakesTogether(t, log, limiter, limit) })
		t.Run(name+": appends that fail take nothing", func(t *testing.T) { testTakesNothing(t, log, limiter, limit) })
		t.Run(name+": commands of a batch", func(t *testing.T) { testTakesInBatch(t, log, limiter, limit) })
		t.Run(name+": concurrent appends", func(t *testing.T) { testTakesConcurrent(t, log, limit) })
	}
}

// taking returns an append that takes once from each limit.
func taking(a ports.Append, takes ...ports.Take) ports.Append {
	a.Takes = takes
	return a
}

func newTake(limit ports.Limit) ports.Take {
	return ports.Take{Limit: limit, N: 1, Name: []string{"send", string(NewChatID())}}
}

func left(t *testing.T, limiter ports.Limiter, take ports.Take, want int) {
	t.Helper()
	if d, err := limiter.Allow(t.Context(), take.Limit, 0, take.Name...); err != nil || d.Remaining != want {
		t.Errorf("%+v are left, error %v, want %d", d, err, want)
	}
}

func head(t *testing.T, log Log, c domain.ChatID, want domain.Seq) {
	t.Helper()
	if page, err := log.Read(t.Context(), c, ports.Range{Limit: 1}); err != nil || page.Head != want {
		t.Errorf("the head is %d, error %v, want %d", page.Head, err, want)
	}
}

func testTakes(t *testing.T, log Log, limiter ports.Limiter, limit ports.Limit) {
	c, take := NewChatID(), newTake(limit)
	for i := range limit.Capacity() {
		if _, err := log.Append(t.Context(), taking(then(renamed(c, "x")), take)); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
		left(t, limiter, take, limit.Capacity()-1-i)
	}
	_, err := log.Append(t.Context(), taking(then(renamed(c, "x")), take))
	var refused *ports.TakeError
	if !errors.Is(err, ports.ErrRateLimited) || !errors.As(err, &refused) || refused.Place != 0 || refused.Cause != nil {
		t.Fatalf("one append too many: %v", err)
	}
	if retry := refused.Decision.RetryAfter; refused.Decision.Allowed || retry <= 0 || retry > limit.Per {
		t.Errorf("the decision is %+v", refused.Decision)
	}
	head(t, log, c, domain.Seq(limit.Capacity())) //nolint:gosec // small
	if _, err := log.Append(t.Context(), then(renamed(c, "x"))); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

func testTakesTogether(t *testing.T, log Log, limiter ports.Limiter, limit ports.Limit) {
	c := NewChatID()
	for full := range 2 {
		takes := []ports.Take{newTake(inWindow()), newTake(limit)}
		if full == 1 {
			takes[0], takes[1] = takes[1], takes[0]
		}
		if _, err := limiter.Allow(t.Context(), limit, limit.Capacity(), takes[1].Name...); err != nil {
			t.Fatal(err)
		}
		if full == 1 {
			if _, err := limiter.Allow(t.Context(), takes[1].Limit, takes[1].Limit.Capacity(), takes[1].Name...); err != nil {
				t.Fatal(err)
			}
		}
		_, err := log.Append(t.Context(), taking(then(renamed(c, "x")), takes...))
		var refused *ports.TakeError
		if !errors.As(err, &refused) || refused.Place != 1 || refused.Cause != nil {
			t.Fatalf("beyond the second limit: %v", err)
		}
		left(t, limiter, takes[0], takes[0].Limit.Capacity())
		head(t, log, c, 0)
	}
}

func testTakesNothing(t *testing.T, log Log, limiter ports.Limiter, limit ports.Limit) {
	c, take := NewChatID(), newTake(limit)
	for what, want := range map[error]ports.Append{
		ports.ErrConflict: given{at(domain.ChatEntity(), 7)}.then(renamed(c, "x")),
		ports.ErrTooLarge: then(huge(c, "m")),
	} {
		if _, err := log.Append(t.Context(), taking(want, take)); !errors.Is(err, what) {
			t.Errorf("%v, want %v", err, what)
		}
	}
	bad := take
	bad.N = limit.Capacity() + 1
	if _, err := log.Append(t.Context(), taking(then(renamed(c, "x")), take, bad)); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("more than the limit has: %v", err)
	}
	left(t, limiter, take, limit.Capacity())
	head(t, log, c, 0)
}

func testTakesInBatch(t *testing.T, log Log, limiter ports.Limiter, limit ports.Limit) {
	take, c := newTake(limit), NewChatID()
	batch := make([]ports.Append, 0, 2*limit.Capacity())
	for range cap(batch) {
		batch = append(batch, taking(then(renamed(c, "x")), take))
	}
	outcomes, err := log.AppendBatch(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if allowed := i < limit.Capacity(); allowed != (o.Err == nil) || !allowed && !errors.Is(o.Err, ports.ErrRateLimited) {
			t.Errorf("command %d: %v", i, o.Err)
		}
	}
	left(t, limiter, take, 0)
	head(t, log, c, domain.Seq(limit.Capacity())) //nolint:gosec // small
}

func testTakesConcurrent(t *testing.T, log Log, limit ports.Limit) {
	take := newTake(limit)
	limit.Per = time.Hour // nothing is replenished meanwhile
	take.Limit = limit
	var all sync.WaitGroup
	errs := make([]error, 8*limit.Capacity())
	for i := range errs {
		all.Go(func() { _, errs[i] = log.Append(t.Context(), taking(then(created(NewChatID())), take)) })
	}
	all.Wait()
	allowed := 0
	for _, err := range errs {
		if err == nil {
			allowed++
		} else if !errors.Is(err, ports.ErrRateLimited) {
			t.Error(err)
		}
	}
	if allowed != limit.Capacity() {
		t.Errorf("%d appends were let, want %d", allowed, limit.Capacity())
	}
}
