package kv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/kv"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// pass waits for a server's clock.
func pass(d time.Duration) {
	timer := time.NewTimer(d + 20*time.Millisecond)
	defer timer.Stop()
	<-timer.C
}

func TestStore(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		client := rig.Connect(t, redistest.Shared(t).URL())
		porttest.Stored(t, func(t *testing.T) porttest.Store { return kv.New(client, rig.NewKeys(t, 1).Custom()) }, pass, true)
	})
	t.Run("miniredis", func(t *testing.T) {
		server := rig.Mini(t)
		client := rig.Connect(t, "redis://"+server.Addr())
		porttest.Stored(t, func(t *testing.T) porttest.Store { return kv.New(client, rig.NewKeys(t, 1).Custom()) }, server.FastForward, false)
	})
}

// TestAStoresKeysAreThoseGiven reads the keys as other programs do.
func TestAStoresKeysAreThoseGiven(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	s := kv.New(client, rig.PlainKeys(t).Custom())
	ctx := t.Context()
	if err := s.Set(ctx, "session:t", []byte(`{"a":1}`), 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if value, ttl := client.Get(ctx, "session:t").Val(), client.PTTL(ctx, "session:t").Val(); value != `{"a":1}` || ttl <= time.Second || ttl > 1500*time.Millisecond {
		t.Errorf("it holds %q for %v", value, ttl)
	}
	if _, err := s.IncrWithExpiry(ctx, "ratelimit:ada", 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if value, ttl := client.Get(ctx, "ratelimit:ada").Val(), client.PTTL(ctx, "ratelimit:ada").Val(); value != "1" || ttl <= 0 || ttl > 300*time.Millisecond {
		t.Errorf("it holds %q for %v", value, ttl)
	}
	if _, err := s.Add(ctx, "user:online:", "ada"); err != nil || !client.SIsMember(ctx, "user:online:", "ada").Val() {
		t.Errorf("the set is not there: %v", err)
	}
	if err := s.Set(ctx, "for good", []byte("x"), 0); err != nil || client.PTTL(ctx, "for good").Val() != -1 {
		t.Errorf("it ends, or %v", err)
	}
}

// ofLogs returns keys that an event log has, in this namespace and in others.
func ofLogs(prefix string) []string {
	return []string{
		prefix + "cc:log", prefix + "cc:{18}:id", prefix + "cc:{18}:room:x", prefix + "cc:once:{a}:n:i", prefix + "cc:user-chats:ada",
		prefix + "cc:sessions:ada", prefix + "cc:sessions:{ada}", prefix + "cc:presence:ada",
		prefix + "message-delivery-stream", prefix + "message-delivery-stream:{18}",
	}
}

// TestNoPatternRemovesALog uses patterns that match keys of logs, also of one in another namespace.
func TestNoPatternRemovesALog(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	for _, namespace := range []string{"", "acme"} {
		client.FlushAll(t.Context())
		keys, err := keyspace.New(namespace, keyspace.DefaultPartitions, false)
		if err != nil {
			t.Fatal(err)
		}
		s := kv.New(client, keys.Custom())
		logs := append(ofLogs(keys.Prefix()), ofLogs(keys.Prefix()+"other:")...)
		for _, key := range logs {
			client.Set(t.Context(), key, "log", 0)
		}
		refused := 0
		for _, pattern := range []string{
			"*", "cc:*", "c*", "cc*", "c?:*", `\cc:*`, `\c\c\:*`, "c[c]:*", "cc:{18}:*", "cc:l[o]g", "m*", "message-*", "message-delivery-stream*", "message-delivery-stream:*",
			"message-delivery-strea[m]", "o*", "other:*", "other:cc:*", "other:cc:{18}:*", "other:c*", "other:message-delivery-stream:{*",
		} {
			client.Set(t.Context(), keys.Prefix()+"cat", "c", 0)
			_, err := s.DeletePattern(t.Context(), pattern)
			if errors.Is(err, domain.ErrInvalid) {
				refused++
			} else if err != nil {
				t.Errorf("%q: %v", pattern, err)
			}
			if n := client.Exists(t.Context(), logs...).Val(); n != int64(len(logs)) {
				t.Fatalf("namespace %q: after %q %d of %d keys of logs are left", namespace, pattern, n, len(logs))
			}
			if gone := client.Exists(t.Context(), keys.Prefix()+"cat").Val() == 0; gone != (pattern == "c*") {
				t.Errorf("%q removed what is next to a log: %v", pattern, gone)
			}
		}
		if refused < 7 {
			t.Errorf("%d patterns were refused", refused)
		}
	}
}

// TestALogsKeysAreNotTheCallers calls every method with a key of a log.
func TestALogsKeysAreNotTheCallers(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	s := kv.New(client, rig.PlainKeys(t).Custom())
	effects, others := effect.New(client, rig.PlainKeys(t).Custom(), time.Hour), effect.New(client, rig.NewKeys(t, 1).Custom(), time.Hour)
	ctx := t.Context()
	for _, key := range append(ofLogs(""), ofLogs("other:")...) {
		for name, call := range map[string]func() error{
			"get":         func() error { _, _, err := s.Get(ctx, key); return err },
			"set":         func() error { return s.Set(ctx, key, nil, 0) },
			"delete":      func() error { _, err := s.Delete(ctx, "a", key); return err },
			"pattern":     func() error { _, err := s.DeletePattern(ctx, key); return err },
			"incr":        func() error { _, err := s.Incr(ctx, key); return err },
			"with expiry": func() error { _, err := s.IncrWithExpiry(ctx, key, time.Hour); return err },
			"add":         func() error { _, err := s.Add(ctx, key, "m"); return err },
			"remove":      func() error { _, err := s.Remove(ctx, key, "m"); return err },
			"effect": func() error {
				_, err := effects.Once(ctx, "n", rig.Delivery, ports.Effect{Commands: []ports.Command{{"SET", "a", "1"}, {"DEL", key}}})
				return err
			},
			"effect in another namespace": func() error {
				_, err := others.Once(ctx, "n", rig.Delivery, ports.Effect{Commands: []ports.Command{{"HSET", key, "f", "v"}}})
				return err
			},
		} {
			if err := call(); !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%s of %q: %v", name, key, err)
			}
		}
	}
	if n := client.DBSize(ctx).Val(); n != 0 {
		t.Errorf("%d keys came to be", n)
	}
	for _, key := range []string{"cc", "session:cc:hash", "message:delivery", "cc-log", "typing:{18}:room:ada", "chat:list:cc%3Alog"} {
		if err := s.Set(ctx, key, nil, time.Minute); err != nil {
			t.Errorf("%q is the caller's: %v", key, err)
		}
	}
}

// TestAPatternOfAUserRemovesNobodyElsesKeys removes all of one user's keys, with all kinds of ids.
func TestAPatternOfAUserRemovesNobodyElsesKeys(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		s := kv.New(client, rig.NewKeys(t, 1).Custom())
		id := rapid.OneOf(rapid.StringMatching(`[ab*?\[\]\\^:{}%|\x60-]{0,5}`), rapid.String())
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			base := fmt.Sprint("session:", n, ":")
			users := rapid.SliceOfNDistinct(id, 2, 6, rapid.ID).Draw(rt, "users")
			keys := make(map[string][]string)
			for _, user := range users {
				for _, token := range rapid.SliceOfNDistinct(id, 0, 3, rapid.ID).Draw(rt, "tokens") {
					key := base + keyspace.Escape(user) + ":" + keyspace.Escape(token)
					keys[user] = append(keys[user], key)
					if err := s.Set(rt.Context(), key, []byte("x"), time.Hour); err != nil {
						rt.Fatal(err)
					}
				}
			}
			removed, err := s.DeletePattern(rt.Context(), base+keyspace.Escape(users[0])+":*")
			if err != nil || removed != len(keys[users[0]]) {
				rt.Fatalf("removed %d of %d, error %v", removed, len(keys[users[0]]), err)
			}
			for _, user := range users {
				for _, key := range keys[user] {
					if _, found, err := s.Get(rt.Context(), key); err != nil || found != (user != users[0]) {
						rt.Fatalf("%q is there: %v, error %v, after %q", key, found, err, users[0])
					}
				}
			}
		})
	})
}

// TestDeletingByPatternEndsWithItsContext ends the context after some of many pages.
func TestDeletingByPatternEndsWithItsContext(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	const n = 20_000
	if err := client.Eval(t.Context(), "for i = 1, ARGV[1] do redis.call('SET', 'k:' .. i, 'x') end return 1", nil, n).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client.AddHook(hook(func(cmd goredis.Cmder) {
		if cmd.Name() == "scan" && client.DBSize(t.Context()).Val() < n/2 {
			cancel()
		}
	}))
	s := kv.New(client, rig.PlainKeys(t).Custom())
	removed, err := s.DeletePattern(ctx, "k:*")
	left := int(client.DBSize(t.Context()).Val())
	if !errors.Is(err, context.Canceled) || removed+left != n || left < n/4 {
		t.Errorf("removed %d, left %d, error %v", removed, left, err)
	}
	if again, err := s.DeletePattern(t.Context(), "k:*"); err != nil || again != left {
		t.Errorf("removed %d of the %d that were left, error %v", again, left, err)
	}
}

// hook is called before each command.
type hook func(goredis.Cmder)

func (h hook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h hook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		h(cmd)
		return next(ctx, cmd)
	}
}

func (h hook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

// TestAStoreWithoutItsServerSaysSo stops the server.
func TestAStoreWithoutItsServerSaysSo(t *testing.T) {
	server := redistest.Start(t)
	s := kv.New(rig.Connect(t, server.URL()), rig.PlainKeys(t).Custom())
	server.Kill()
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"get":         func() error { _, _, err := s.Get(ctx, "a"); return err },
		"set":         func() error { return s.Set(ctx, "a", nil, 0) },
		"delete":      func() error { _, err := s.Delete(ctx, "a"); return err },
		"pattern":     func() error { _, err := s.DeletePattern(ctx, "a*"); return err },
		"incr":        func() error { _, err := s.Incr(ctx, "a"); return err },
		"with expiry": func() error { _, err := s.IncrWithExpiry(ctx, "a", time.Hour); return err },
		"add":         func() error { _, err := s.Add(ctx, "a", "m"); return err },
		"remove":      func() error { _, err := s.Remove(ctx, "a", "m"); return err },
		"members":     func() error { _, err := s.Members(ctx, "a"); return err },
		"contains":    func() error { _, err := s.Contains(ctx, "a", "m"); return err },
	} {
		if err := call(); !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// testStoreOnACluster removes keys on every master by a pattern, and no key of a log.
func testStoreOnACluster(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	keys := rig.ClusterKeys(t)
	s := kv.New(client, keys.Custom())
	const n = 1000
	for i := range n {
		if err := s.Set(t.Context(), fmt.Sprint("c:", i), []byte("x"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range ofLogs(keys.Prefix()) {
		client.Set(t.Context(), key, "log", 0)
	}
	ours := func() (onMasters []int, left map[string]string) {
		left = make(map[string]string)
		for i := range cluster.Masters {
			some := rig.Dump(t, cluster.Client(t, i))
			maps.DeleteFunc(some, func(key, _ string) bool { return !strings.HasPrefix(key, keys.Prefix()) })
			maps.Copy(left, some)
			onMasters = append(onMasters, len(some))
		}
		return onMasters, left
	}
	if onMasters, _ := ours(); min(onMasters[0], onMasters[1], onMasters[2]) < n/10 {
		t.Fatalf("the masters have %d keys", onMasters)
	}
	removed, err := s.DeletePattern(t.Context(), "c*")
	if _, left := ours(); err != nil || removed != n || len(left) != len(ofLogs("")) {
		t.Errorf("removed %d, error %v, left %v", removed, err, left)
	}
}

// testACountIsNotRepeated loses the reply to each way of counting: go-redis by itself would repeat the command.
func testACountIsNotRepeated(t *testing.T, cluster *redistest.Cluster) {
	client, ok := rig.Connect(t, cluster.URL()).(*goredis.ClusterClient)
	if !ok {
		t.Fatal("no Cluster")
	}
	keys := rig.ClusterKeys(t)
	s := kv.New(client, keys.Custom())
	if _, err := s.IncrWithExpiry(t.Context(), "known", time.Hour); err != nil { // Redis then has the script
		t.Fatal(err)
	}
	if err := client.ForEachMaster(t.Context(), func(_ context.Context, node *goredis.Client) error {
		node.AddHook(loses{})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, count := range map[string]func(key string) error{
		"incr":        func(key string) error { _, err := s.Incr(t.Context(), key); return err },
		"with expiry": func(key string) error { _, err := s.IncrWithExpiry(t.Context(), key, time.Hour); return err },
	} {
		if err := count("known"); !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := client.Get(t.Context(), keys.Prefix()+"known").Val(); n != "3" {
		t.Errorf("counted to %s, want 3", n)
	}
}

// loses is a hook that loses the replies to counts.
type loses struct{ hook }

func (loses) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if name := cmd.Name(); name == "incr" || name == "evalsha" {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return err
	}
}

// testStoreInAMigratingSlot counts and removes while a slot migrates.
func testStoreInAMigratingSlot(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	keys := rig.ClusterKeys(t)
	s := kv.New(client, keys.Custom())
	for _, key := range []string{"{moving}a", "{moving}b"} {
		if err := s.Set(t.Context(), key, []byte("5"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	end := cluster.Migrate(t, "{moving}")
	if n, err := s.IncrWithExpiry(t.Context(), "{moving}a", time.Hour); err != nil || n != 6 {
		t.Errorf("counted to %d, error %v", n, err)
	}
	if n, err := s.DeletePattern(t.Context(), "{moving}*"); err != nil || n != 2 {
		t.Errorf("removed %d, error %v", n, err)
	}
	end()
	if n, err := s.IncrWithExpiry(t.Context(), "{moving}a", time.Hour); err != nil || n != 1 {
		t.Errorf("counted to %d, error %v", n, err)
	}
}

func TestStore_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := rig.Connect(t, cluster.URL())
	testStoreOnACluster(t, cluster, client)
	testStoreInAMigratingSlot(t, cluster, client)
	testACountIsNotRepeated(t, cluster)
	porttest.Stored(t, func(t *testing.T) porttest.Store { return kv.New(client, rig.ClusterKeys(t).Custom()) }, pass, true)
}

func TestUnderTheLeastRights(t *testing.T) { rig.RunUnderLeastRights(t, "TestStore") }
