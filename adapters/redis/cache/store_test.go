package cache_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func newCacheStore(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) porttest.CacheStore {
	name := func(key ports.CacheKey) string { return keys.Prefix() + key.Prefix + key.ID }
	return porttest.CacheStore{
		CacheStore: cache.New(client, keys.Caches()),
		Write: func(key ports.CacheKey, value string) {
			if err := client.Set(t.Context(), name(key), value, time.Hour).Err(); err != nil {
				t.Error(err)
			}
		},
		Drop: func(key ports.CacheKey) {
			if n, err := client.Del(t.Context(), name(key)).Result(); n != 1 || err != nil {
				t.Errorf("%d dropped, error %v", n, err)
			}
		},
	}
}

func TestCaches(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Caches(t, func(t *testing.T) porttest.CacheStore { return newCacheStore(t, client, rig.NewKeys(t, 1)) })
	})
}

var (
	object = ports.CacheKey{Prefix: "message:", ID: "m-1", Object: true}
	list   = ports.CacheKey{Prefix: "contact:list:", ID: "user-789"}
)

// TestCachedValuesAreAsTheWireContractSays reads the keys as other programs do.
func TestCachedValuesAreAsTheWireContractSays(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	c := cache.New(client, rig.PlainKeys(t).Caches())
	put := func(key ports.CacheKey, value string) {
		t.Helper()
		_, kept, err := c.Put(t.Context(), key, ports.CacheWrite{
			Value: []byte(value), TTL: 90500 * time.Millisecond, Meta: ports.CacheMeta{Schema: 1, Version: 12, Fresh: time.UnixMilli(1735689600000)},
		})
		if !kept || err != nil {
			t.Fatalf("kept is %v, error %v", kept, err)
		}
	}
	put(object, `{"messageId":"m-1"}`)
	put(list, `["a"]`)
	if _, state, err := c.Lease(t.Context(), list, ports.CacheEntry{}, "token", 90500*time.Millisecond); state != ports.LeaseChanged || err != nil {
		t.Fatal(state, err)
	}
	seen, err := c.Get(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if _, state, err := c.Lease(t.Context(), list, seen, "token", 90500*time.Millisecond); state != ports.LeaseTaken || err != nil {
		t.Fatal(state, err)
	}
	if err := c.Invalidate(t.Context(), 7, 90500*time.Millisecond, list, object); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, key := range client.Keys(t.Context(), "*").Val() {
		got[key] = client.Get(t.Context(), key).Val()
		if ttl := client.PTTL(t.Context(), key).Val(); ttl < 30*time.Second || ttl > 90500*time.Millisecond {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
	for key, want := range map[string]string{
		"message:m-1":                  `{"_cc":{"s":1,"v":12,"f":1735689600000},"messageId":"m-1"}`,
		"contact:list:user-789":        `["a"]`,
		"cc:{contact:list:user-789}:m": "1 12 1735689600000 6b38d42036dacdcf081b8d1d0ee0c97b407c56c6",
		"cc:{contact:list:user-789}:l": "token 7f632dba1ac39a3c458205b3a1b3da6ca2aed27d",
		"cc:{contact:list:user-789}:f": "7",
		"cc:{message:m-1}:f":           "7",
	} {
		if got[key] != want || want == "" {
			t.Errorf("%s is %s, want %s", key, got[key], want)
		}
	}
	if len(got) != 6 {
		t.Errorf("keys %v", got)
	}
}

// TestCacheLease_OthersDoNotExtendIt has others ask for a lease: it ends when its holder asked for, or earlier where the clock was set back.
func TestCacheLease_OthersDoNotExtendIt(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	c := cache.New(client, rig.PlainKeys(t).Caches())
	ctx := t.Context()
	ask := func(token string, want ports.LeaseState) {
		t.Helper()
		if _, state, err := c.Lease(ctx, object, ports.CacheEntry{}, token, time.Hour); state != want || err != nil {
			t.Errorf("the lease of %s is %v, error %v, want %v", token, state, err, want)
		}
	}
	ask("a", ports.LeaseTaken)
	leases := client.Keys(ctx, "*:l").Val()
	if len(leases) != 1 {
		t.Fatal(leases)
	}
	for left, most := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 10 * time.Hour: time.Hour} {
		client.PExpire(ctx, leases[0], left)
		ask("b", ports.LeaseHeld)
		ask("a", ports.LeaseTaken)
		if got := client.PTTL(ctx, leases[0]).Val(); got > most || got < most-5*time.Minute {
			t.Errorf("a lease that had %v left has %v after others have asked, want %v", left, got, most)
		}
	}
}

// TestAForeignValueWhereACachedOneWouldBe puts values of another type under the keys: none is read as a value, and none is overwritten.
func TestAForeignValueWhereACachedOneWouldBe(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	c := cache.New(client, rig.PlainKeys(t).Caches())
	for _, key := range []string{"message:m-1", "cc:{message:m-1}:l", "cc:{message:m-1}:f"} {
		client.FlushAll(t.Context())
		client.HSet(t.Context(), key, "foreign", "1")
		before := rig.Dump(t, client)
		_, _, put := c.Put(t.Context(), object, ports.CacheWrite{Value: []byte(`{}`), TTL: time.Hour, Meta: ports.CacheMeta{Version: 1}})
		if !errors.Is(put, ports.ErrForeignValue) || !maps.Equal(before, rig.Dump(t, client)) {
			t.Errorf("%s: put gave %v", key, put)
		}
		_, read := c.Get(t.Context(), object)
		_, _, leased := c.Lease(t.Context(), object, ports.CacheEntry{}, "a", time.Minute)
		if key == "message:m-1" && (!errors.Is(read, ports.ErrForeignValue) || !errors.Is(leased, ports.ErrForeignValue)) {
			t.Errorf("%s: get gave %v, lease %v", key, read, leased)
		}
		if err := c.Invalidate(t.Context(), 0, time.Minute, object); key == "message:m-1" && (err != nil || !maps.Equal(before, rig.Dump(t, client))) {
			t.Errorf("%s: invalidate gave %v", key, err)
		}
	}
}

// TestCachesWhoseServerIsGone expects an error from every call.
func TestCachesWhoseServerIsGone(t *testing.T) {
	server := redistest.Start(t)
	c := cache.New(rig.Connect(t, server.URL()), rig.PlainKeys(t).Caches())
	server.Kill()
	for _, key := range []ports.CacheKey{object, list} {
		_, got := c.Get(t.Context(), key)
		_, _, leased := c.Lease(t.Context(), key, ports.CacheEntry{}, "a", time.Minute)
		_, _, put := c.Put(t.Context(), key, ports.CacheWrite{Value: []byte(`{}`), TTL: time.Hour})
		for _, err := range []error{got, leased, put, c.Invalidate(t.Context(), 0, time.Minute, key)} {
			if !errors.Is(err, ports.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
		}
	}
}

// TestCachesWhoseScriptsAreForgotten removes the scripts from Redis. They are sent again.
func TestCachesWhoseScriptsAreForgotten(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	c := cache.New(client, rig.PlainKeys(t).Caches())
	for range 2 {
		client.ScriptFlush(t.Context())
		if err := c.Invalidate(t.Context(), 0, time.Minute, object, list); err != nil {
			t.Error(err)
		}
		client.ScriptFlush(t.Context())
		if _, state, err := c.Lease(t.Context(), object, ports.CacheEntry{}, "a", time.Minute); state != ports.LeaseTaken || err != nil {
			t.Error(state, err)
		}
	}
}

// testCacheInAMigratingSlot migrates a slot with some keys of a value, so that scripts fail. A refused call has changed nothing. A read returns the
// value or an error.
func testCacheInAMigratingSlot(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	keys := rig.ClusterKeys(t)
	c := cache.New(client, keys.Caches())
	for _, key := range []ports.CacheKey{object, list} {
		w := ports.CacheWrite{Value: []byte(`{"a":1}`), TTL: time.Hour, Meta: ports.CacheMeta{Version: 3}}
		if _, kept, err := c.Put(t.Context(), key, w); !kept || err != nil {
			t.Fatal(kept, err)
		}
		end := cluster.Migrate(t, keys.Prefix()+key.Prefix+key.ID)
		seen, err := c.Get(t.Context(), key)
		if err != nil || string(seen.Value) != `{"a":1}` || seen.Meta.Version != 3 {
			t.Errorf("%s: got %+v, error %v", key.Prefix, seen, err)
		}
		before, refused := rig.ClusterDump(t, cluster), 0
		w.Meta.Version = 4
		_, state, leased := c.Lease(t.Context(), key, seen, "a", time.Minute)
		_, kept, put := c.Put(t.Context(), key, w)
		for what, err := range map[string]error{"lease": leased, "put": put, "invalidate": c.Invalidate(t.Context(), 0, time.Minute, key)} {
			if !errors.Is(err, ports.ErrUnavailable) {
				t.Errorf("%s%s: error %v", key.Prefix, what, err)
				continue
			}
			refused++
		}
		if refused == 3 && (state == ports.LeaseTaken || kept || !maps.Equal(before, rig.ClusterDump(t, cluster))) {
			t.Errorf("%s: state %v, kept is %v, and something has changed", key.Prefix, state, kept)
		}
		end()
		if err := c.Invalidate(t.Context(), 0, time.Minute, key); err != nil {
			t.Error(err)
		}
		if e, err := c.Get(t.Context(), key); err != nil || e.Value != nil {
			t.Errorf("afterwards: %+v, error %v", e, err)
		}
	}
}

func TestCaches_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := rig.Connect(t, cluster.URL())
	porttest.Caches(t, func(t *testing.T) porttest.CacheStore { return newCacheStore(t, client, rig.ClusterKeys(t)) })
	testCacheInAMigratingSlot(t, cluster, client)
}

func TestUnderTheLeastRights(t *testing.T) { rig.RunUnderLeastRights(t, "TestCaches") }
