package presence_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// ear records the publications on the channel of user statuses of any namespace.
type ear struct {
	client goredis.UniversalClient
	pubsub *goredis.PubSub

	mu    sync.Mutex
	told  map[string][]string // payloads by channel
	heard *sync.Cond
}

func newEar(t *testing.T, client goredis.UniversalClient) *ear {
	t.Helper()
	e := &ear{client: client, told: make(map[string][]string)}
	e.heard = sync.NewCond(&e.mu)
	e.pubsub = client.PSubscribe(t.Context(), "*user:status")
	if _, err := e.pubsub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for msg := range e.pubsub.Channel(goredis.WithChannelSize(10_000)) {
			e.mu.Lock()
			e.told[msg.Channel] = append(e.told[msg.Channel], msg.Payload)
			e.heard.Broadcast()
			e.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = e.pubsub.Close()
		<-done
	})
	return e
}

// payloads returns all publications before the call: a marker is published on every node after them.
func (e *ear) payloads(ctx context.Context, t porttest.T, channel string) (payloads []string) {
	t.Helper()
	marker, nodes := "marker "+uuid.NewString(), 0
	publish := func(ctx context.Context, node *goredis.Client) error { return node.Publish(ctx, channel, marker).Err() }
	var err error
	switch client := e.client.(type) {
	case *goredis.ClusterClient:
		var mu sync.Mutex
		err = client.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
			mu.Lock()
			nodes++
			mu.Unlock()
			return publish(ctx, node)
		})
	case *goredis.Client:
		nodes, err = 1, publish(ctx, client)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		payloads = payloads[:0]
		markers := 0
		for _, payload := range e.told[channel] {
			if payload == marker {
				markers++
			} else if !strings.HasPrefix(payload, "marker ") {
				payloads = append(payloads, payload)
			}
		}
		if markers == nodes {
			return payloads
		}
		e.heard.Wait()
	}
}

func (e *ear) statuses(ctx context.Context, t porttest.T, keys keyspace.Keys) (statuses []domain.UserStatus) {
	t.Helper()
	channel := keys.Channel(wireformat.TypeUserStatus)
	for _, payload := range e.payloads(ctx, t, channel) {
		in, err := wireformat.New().DecodeLenient(wireformat.TypeUserStatus, []byte(payload), time.Now())
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		status, ok := in.Event.(domain.UserStatus)
		if !ok {
			t.Fatalf("%s is a %T", payload, in.Event)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// aged is a store for which time can pass: it makes the stored data older, and adds the passed time to the times that it returns.
type aged struct {
	*presence.Store
	passed time.Duration
}

func (a *aged) later(s *domain.UserStatus, err error) (*domain.UserStatus, error) {
	if s != nil {
		s.At, s.LastSeen = s.At.Add(a.passed), s.LastSeen.Add(a.passed)
	}
	return s, err
}

func (a *aged) Heartbeat(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return a.later(a.Store.Heartbeat(ctx, user, c, m))
}

func (a *aged) Leave(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return a.later(a.Store.Leave(ctx, user, c, m))
}

func (a *aged) SetStatus(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	return a.later(a.Store.SetStatus(ctx, user, s, m))
}

func (a *aged) allLater(statuses []domain.UserStatus) []domain.UserStatus {
	for i := range statuses {
		if !statuses[i].LastSeen.IsZero() {
			_, _ = a.later(&statuses[i], nil)
		}
	}
	return statuses
}

func (a *aged) Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	statuses, err := a.Store.Statuses(ctx, users...)
	return a.allLater(statuses), err
}

func (a *aged) Expire(ctx context.Context, limit int) ([]domain.UserStatus, bool, error) {
	published, more, err := a.Store.Expire(ctx, limit)
	return a.allLater(published), more, err
}

func (a *aged) Repair(ctx context.Context, limit int) ([]domain.UserStatus, error) {
	published, err := a.Store.Repair(ctx, limit)
	return a.allLater(published), err
}

// age makes all keys of a namespace older.
func age(ctx context.Context, t porttest.T, client goredis.UniversalClient, prefix string, d time.Duration) {
	t.Helper()
	var keys []string
	scan := func(ctx context.Context, node *goredis.Client) error {
		iter := node.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for iter.Next(ctx) {
			keys = append(keys, iter.Val())
		}
		return iter.Err()
	}
	var err error
	switch client := client.(type) {
	case *goredis.ClusterClient:
		var mu sync.Mutex
		err = client.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			return scan(ctx, node)
		})
	case *goredis.Client:
		err = scan(ctx, client)
	}
	if err != nil {
		t.Fatal(err)
	}
	pipe := client.Pipeline()
	for _, key := range keys {
		older.Eval(ctx, pipe, []string{key}, d.Milliseconds())
	}
	if _, err := pipe.Exec(ctx); err != nil && len(keys) > 0 {
		t.Fatal(err)
	}
}

// older makes a key older by milliseconds, except for the times in its JSON.
var older = goredis.NewScript(`
local key, d = KEYS[1], tonumber(ARGV[1])
local left = redis.call('PTTL', key)
if left > 0 and left <= d then return redis.call('DEL', key) end
local kind = redis.call('TYPE', key).ok
if kind == 'hash' then
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i] ~= ' told' and all[i] ~= ' chosen' then redis.call('HSET', key, all[i], string.format('%.0f', tonumber(all[i + 1]) - d)) end
  end
elseif kind == 'zset' then
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -d, member) end
end
if left > 0 then redis.call('PEXPIRE', key, left - d) end
return 1
`)

// devicesIn returns a reader of users' devices that reads as other programs do.
func devicesIn(t porttest.T, client goredis.UniversalClient, keys keyspace.Keys) func(context.Context, domain.UserID) []domain.DeviceID {
	return func(ctx context.Context, user domain.UserID) []domain.DeviceID {
		text, err := client.Get(ctx, keys.Presence().Devices(user)).Result()
		if errors.Is(err, goredis.Nil) {
			return nil
		}
		var kept struct{ Devices []domain.DeviceID }
		if err := errors.Join(err, json.Unmarshal([]byte(text), &kept)); err != nil {
			t.Fatalf("the devices of %s: %q, %v", user, text, err)
		}
		return kept.Devices
	}
}

// agedStore returns presence on a real Redis.
func agedStore(ctx context.Context, t porttest.T, client goredis.UniversalClient, keys keyspace.Keys, e *ear) porttest.PresenceStore {
	a := &aged{Store: rig.NewPresence(t, client, keys)}
	return porttest.PresenceStore{
		PresenceStore: a, Others: rig.NewPresence(t, client, keys),
		Forward: func(d time.Duration) {
			age(ctx, t, client, keys.Prefix(), d)
			a.passed += d
		},
		Published: func() []domain.UserStatus { return e.statuses(ctx, t, keys) },
		Now: func(ctx context.Context) time.Time {
			now := client.Time(ctx).Val()
			return domain.Instant(now.Add(a.passed))
		},
		Devices: devicesIn(t, client, keys),
	}
}

// miniStore returns presence on a miniredis, whose clock the test moves.
func miniStore(ctx context.Context, t porttest.T, server *miniredis.Miniredis, client goredis.UniversalClient, keys keyspace.Keys, e *ear) porttest.PresenceStore {
	now := time.Now()
	server.SetTime(now)
	return porttest.PresenceStore{
		PresenceStore: rig.NewPresence(t, client, keys), Others: rig.NewPresence(t, client, keys),
		Forward: func(d time.Duration) {
			now = now.Add(d)
			server.SetTime(now)
			server.FastForward(d)
		},
		Published: func() []domain.UserStatus { return e.statuses(ctx, t, keys) },
		Now:       func(context.Context) time.Time { return domain.Instant(now) },
		Devices:   devicesIn(t, client, keys),
	}
}

func anyKeys(t porttest.T, cluster bool) keyspace.Keys {
	keys, err := keyspace.New("test-"+uuid.NewString(), keyspace.DefaultPartitions, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestPresence(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		client := rig.Connect(t, redistest.Shared(t).URL())
		e := newEar(t, client)
		porttest.Presence(t, func(t *testing.T) porttest.PresenceStore {
			return agedStore(t.Context(), t, client, rig.NewKeys(t, keyspace.DefaultPartitions), e)
		})
	})
	t.Run("miniredis", func(t *testing.T) {
		server := rig.Mini(t)
		client := rig.Connect(t, "redis://"+server.Addr())
		e := newEar(t, client)
		porttest.Presence(t, func(t *testing.T) porttest.PresenceStore {
			return miniStore(t.Context(), t, server, client, rig.NewKeys(t, keyspace.DefaultPartitions), e)
		})
	})
}

func TestPresenceOverRandomHistories(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		client := rig.Connect(t, redistest.Shared(t).URL())
		e := newEar(t, client)
		porttest.PresenceHistories(t, func(rt porttest.T) porttest.PresenceStore {
			return agedStore(t.Context(), rt, client, anyKeys(rt, false), e)
		})
	})
	t.Run("miniredis", func(t *testing.T) {
		server := rig.Mini(t)
		client := rig.Connect(t, "redis://"+server.Addr())
		e := newEar(t, client)
		porttest.PresenceHistories(t, func(rt porttest.T) porttest.PresenceStore {
			return miniStore(t.Context(), rt, server, client, anyKeys(rt, false), e)
		})
	})
}

func TestPresenceOnACluster(t *testing.T) {
	client := rig.Connect(t, redistest.StartCluster(t, 3).URL())
	e := newEar(t, client)
	t.Run("suite", func(t *testing.T) {
		porttest.Presence(t, func(t *testing.T) porttest.PresenceStore {
			return agedStore(t.Context(), t, client, rig.ClusterKeys(t), e)
		})
	})
	t.Run("histories", func(t *testing.T) {
		porttest.PresenceHistories(t, func(rt porttest.T) porttest.PresenceStore {
			return agedStore(t.Context(), rt, client, anyKeys(rt, true), e)
		})
	})
}
