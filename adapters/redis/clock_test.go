package redis_test

import (
	"context"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/redis/session"
	"chatcore/adapters/redis/typing"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestClockSetBack guards against locks and marks that last as long as Redis's clock was set back: a duration of a second ends after about a second.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	const life, back = time.Second, 10 * time.Minute
	check := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ttl := ports.PresenceTTL{Heartbeat: life, Kept: 2 * life, Status: 2 * life}
	presence := func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *presence.Store {
		p, err := presence.New(presence.Config{Client: client, Keys: keys.Presence(), Codec: wireformat.New(), IDs: rig.RandomIDs{}, TTL: ttl})
		check(t, err)
		return p
	}
	for name, prepare := range map[string]func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) (over func(ctx context.Context) (bool, error)){
		"the lease of the presence sweeper": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			leads, err := presence(t, client, keys).AcquireLease(t.Context(), life)
			check(t, err)
			other := presence(t, client, keys)
			return func(ctx context.Context) (bool, error) {
				now, err := other.AcquireLease(ctx, life)
				return leads && now, err
			}
		},
		"a heartbeat": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			p := presence(t, client, keys)
			_, err := p.Heartbeat(t.Context(), "ada", rig.Phone, ports.Meta{})
			check(t, err)
			return func(ctx context.Context) (bool, error) {
				if _, _, err := p.Expire(ctx, 10); err != nil {
					return false, err
				}
				statuses, err := p.Statuses(ctx, "ada")
				return len(statuses) == 1 && statuses[0].Status == domain.Offline, err
			}
		},
		"a typing mark": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			marks := typing.New(client, keys.Typing(), life)
			at := time.Now()
			_, err := marks.Start(t.Context(), domain.TypingStart{Chat: "c", User: "ada", At: at, ExpiresAt: at.Add(life)})
			check(t, err)
			return func(ctx context.Context) (bool, error) { users, err := marks.Of(ctx, "c"); return len(users) == 0, err }
		},
		"that a start of typing was told": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			marks := typing.New(client, keys.Typing(), life)
			start := func(ctx context.Context) (bool, error) {
				at := time.Now()
				return marks.Start(ctx, domain.TypingStart{Chat: "c", User: "ada", At: at, ExpiresAt: at.Add(life)})
			}
			_, err := start(t.Context())
			check(t, err)
			return start
		},
		"the lease of a cached value": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			c, key := cache.New(client, keys.Caches()), ports.CacheKey{Prefix: "profile:", ID: "ada"}
			take := func(ctx context.Context, token string) (bool, error) {
				_, state, err := c.Lease(ctx, key, ports.CacheEntry{}, token, life)
				return state == ports.LeaseTaken, err
			}
			_, err := take(t.Context(), "dead")
			check(t, err)
			return func(ctx context.Context) (bool, error) { return take(ctx, "other") }
		},
		"a fixed window": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			return limited(t, client, keys, ports.Limit{Rate: 1, Per: life})
		},
		"GCRA": func(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context) (bool, error) {
			return limited(t, client, keys, ports.Limit{Algorithm: ports.GCRA, Rate: 1, Per: life})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, keys := rig.Connect(t, redistest.Start(t).URL()), rig.NewKeys(t, 1)
			over := prepare(t, client, keys)
			redistest.SetClockBack(t, client, back)
			ended := func() bool {
				done, err := over(t.Context())
				check(t, err)
				return done
			}
			ended()                            // from here on the duration runs
			deadline := time.After(wait.Limit) // much longer than the duration, much shorter than the step of the clock
			for tick := time.NewTicker(20 * time.Millisecond); !ended(); {
				select {
				case <-tick.C:
				case <-deadline:
					t.Fatal("it stands")
				}
			}
		})
	}
}

// limited uses up a limit. The returned function reports whether the limit allows calls again.
func limited(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, each ports.Limit) func(context.Context) (bool, error) {
	l := limit.New(client, keys.Limits())
	take := func(ctx context.Context) (bool, error) {
		d, err := l.Allow(ctx, each, 1, "ada")
		return d.Allowed, err
	}
	if allowed, err := take(t.Context()); err != nil || !allowed {
		t.Fatal(allowed, err)
	}
	return take
}

// TestClockSetBack_Sessions expects sessions to live on, for at most their lifetime from then on.
func TestClockSetBack_Sessions(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	client, keys := rig.Connect(t, redistest.Start(t).URL()), rig.NewKeys(t, 1)
	policy := domain.SessionPolicy{Idle: time.Hour, Lifetime: 24 * time.Hour, PerUser: 3}
	s := session.New(client, keys.Sessions(), policy)
	if _, _, err := s.Open(t.Context(), domain.Session{ID: "s1", User: "ada"}, "key"); err != nil {
		t.Fatal(err)
	}
	redistest.SetClockBack(t, client, year/2)
	used, err := s.Find(t.Context(), "ada", "key")
	if err != nil {
		t.Fatal(err)
	}
	now, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if left := used.EndsAt.Sub(now); left > policy.Lifetime || left < policy.Lifetime-time.Hour {
		t.Errorf("it ends in %v", left)
	}
	records, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(records, func(key string) bool {
		kind, left := client.Type(t.Context(), key).Val(), client.PTTL(t.Context(), key).Val()
		return kind == "string" && left > 0 && left <= policy.Idle
	}) {
		t.Error("no record ends within the idle time")
	}
}
