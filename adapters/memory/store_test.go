package memory

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestStore(t *testing.T) {
	clock := newClock()
	porttest.Stored(t, func(*testing.T) porttest.Store { return NewStore(clock) }, clock.forward, true)
}

// TestWhatHasEndedIsLetGo stores values that nothing reads again.
func TestWhatHasEndedIsLetGo(t *testing.T) {
	clock := newClock()
	s := NewStore(clock)
	for i := range 20 * minSweep {
		if err := s.Set(t.Context(), fmt.Sprint(i), nil, time.Second); err != nil {
			t.Fatal(err)
		}
		clock.forward(10 * time.Millisecond)
	}
	if n := len(s.kept); n > 2*minSweep {
		t.Errorf("%d are kept, of which 100 have not ended", n)
	}
}

// TestPatternsAreRedis compares with a real one.
func TestPatternsAreRedis(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Start(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	rapid.Check(t, func(rt *rapid.T) {
		client.FlushAll(t.Context())
		pattern := rapid.StringMatching(`[ab*?\[\]\\^-]{1,8}`).Draw(rt, "pattern")
		texts := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab*?\[\]\\^-]{1,6}`), 1, 20, rapid.ID).Draw(rt, "texts")
		for _, text := range texts {
			client.Set(t.Context(), text, "", 0)
		}
		found := make(map[string]bool)
		for _, key := range client.Keys(t.Context(), pattern).Val() {
			found[key] = true
		}
		for _, text := range texts {
			if matches(pattern, text) != found[text] {
				rt.Fatalf("%q matches %q: %v, in Redis %v", pattern, text, !found[text], found[text])
			}
		}
	})
}
