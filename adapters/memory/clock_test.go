package memory

import (
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// TestClockSetBack has marks, heartbeats, leases and sessions end as if they had begun when the clock went back.
func TestClockSetBack(t *testing.T) {
	const life, back = time.Minute, time.Hour
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := newClock()
	typing := NewTyping(c)
	_, err := typing.Start(t.Context(), domain.TypingStart{Chat: "c", User: "ada", At: c.Now(), ExpiresAt: c.Now().Add(life)})
	check(err)
	presence := NewPresence(c, &heard{}, ports.PresenceTTL{Heartbeat: life, Kept: 2 * life, Status: 2 * life})
	_, err = presence.Heartbeat(t.Context(), "ada", phone, ports.Meta{})
	check(err)
	cache, key := NewCache(c), ports.CacheKey{Prefix: "profile:", ID: "ada"}
	_, _, err = cache.Lease(t.Context(), key, ports.CacheEntry{}, "dead", life)
	check(err)
	sessions := NewSessions(c, domain.SessionPolicy{Idle: life, Lifetime: 2 * life, PerUser: 1})
	_, _, err = sessions.Open(t.Context(), domain.Session{ID: "s", User: "ada"}, "key")
	check(err)

	c.forward(-back)
	ended := func() map[string]bool {
		t.Helper()
		users, err := typing.Of(t.Context(), "c")
		check(err)
		_, _, err = presence.Expire(t.Context(), 10)
		check(err)
		statuses, err := presence.Statuses(t.Context(), "ada")
		check(err)
		_, lease, err := cache.Lease(t.Context(), key, ports.CacheEntry{}, "other", life)
		check(err)
		return map[string]bool{
			"typing mark": len(users) == 0, "heartbeat": statuses[0].Status == domain.Offline, "lease": lease == ports.LeaseTaken,
		}
	}
	for what, over := range ended() {
		if over {
			t.Errorf("the %s ends at once", what)
		}
	}
	used, err := sessions.Find(t.Context(), "ada", "key")
	check(err)
	if !used.EndsAt.Equal(c.Now().Add(2 * life)) {
		t.Errorf("the session ends in %v", used.EndsAt.Sub(c.Now()))
	}
	c.forward(life + time.Second)
	for what, over := range ended() {
		if !over {
			t.Errorf("the %s stands", what)
		}
	}
}
