package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore/domain"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// durable are the arguments of a server in which nothing is to be found.
func durable(more ...string) []string {
	return append([]string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb", "--slowlog-log-slower-than", "1000000"}, more...)
}

func codes(found []chatcore.Finding, severity chatcore.Severity) []string {
	var list []string
	for _, f := range found {
		if f.What == "" || f.Why == "" || f.Remedy == "" {
			list = append(list, "incomplete "+f.Code)
		}
		if f.Severity == severity {
			list = append(list, f.Code)
		}
	}
	return list
}

func examined(t *testing.T, c chatcore.Config) []chatcore.Finding {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	h, err := chatcore.Inspect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return h.Findings()
}

func TestNothingIsFoundOnAHealthyServer(t *testing.T) {
	server := redistest.Start(t, durable()...)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	h := core.Health(t.Context())
	found := slices.DeleteFunc(h.Findings(), func(f chatcore.Finding) bool { return f.Code == "latency" }) // a busy machine
	if !h.Live || !h.Ready || h.NotReady != nil || len(found) > 0 {
		t.Errorf("%+v, found %+v", h, found)
	}
	if len(h.Log) != 1 || h.Log[0].Version == "" || h.Log[0].Latency <= 0 || len(h.Log[0].Unknown) > 0 || h.Log[0].Memory.Max != 1<<30 || h.Log[0].Settings.Fsync != "always" {
		t.Errorf("%+v", h.Log)
	}
	var purposes []string
	for _, p := range h.Pools {
		purposes = append(purposes, p.Purpose)
	}
	if strings.Join(purposes, " ") != "commands streams pubsub" {
		t.Errorf("the pools are for %v", purposes)
	}
}

func TestEachDangerIsFound(t *testing.T) {
	server := redistest.Start(t, durable()...)
	client := server.Client(t)
	set := func(name, value string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatalf("%s %s: %v", name, value, err)
		}
	}
	for _, d := range []struct{ name, value, before, code string }{
		{"maxmemory-policy", "allkeys-lru", "noeviction", "eviction"},
		{"appendonly", "no", "yes", "no_aof"},
		{"appendfsync", "no", "always", "fsync"},
		{"maxmemory", "700000", "1gb", "memory"},
		{"min-replicas-to-write", "1", "0", "min_replicas"},
	} {
		set(d.name, d.value)
		if found := codes(examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}), chatcore.Danger); !slices.Equal(found, []string{d.code}) {
			t.Errorf("%s %s: %q", d.name, d.value, found)
		}
		set(d.name, d.before)
		if found := codes(examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}), chatcore.Danger); len(found) > 0 {
			t.Errorf("%s %s: %q", d.name, d.before, found)
		}
	}
	asked := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}
	asked.Redis.Durability.Replicas = 1
	if found := codes(examined(t, asked), chatcore.Danger); !slices.Equal(found, []string{"durability"}) {
		t.Errorf("without a replica: %q", found)
	}

	host, port, _ := strings.Cut(server.Addr(), ":")
	replica := redistest.Start(t, durable("--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")...)
	if found := codes(examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: replica.URL()}}), chatcore.Danger); !slices.Equal(found, []string{"replica"}) {
		t.Errorf("a replica: %q", found)
	}

	set("maxclients", "10")
	for range 6 { // beside those of client and of the one that looks
		conn := server.Client(t)
		if err := conn.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if found := codes(examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}), chatcore.Danger); !slices.Equal(found, []string{"maxclients"}) {
		t.Errorf("no connections left: %q", found)
	}
	set("maxclients", "1000")
	set("slowlog-log-slower-than", "0")
	if err := client.Eval(t.Context(), "for i = 1, 20000000 do end", nil).Err(); err != nil && !errors.Is(err, goredis.Nil) {
		t.Fatal(err)
	}
	found := examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}})
	if !slices.ContainsFunc(found, func(f chatcore.Finding) bool { return f.Code == "slow_log" && strings.Contains(f.What, "EVAL took") }) {
		t.Errorf("a slow command: %+v", found)
	}
}

func TestAFailedSnapshotIsFound(t *testing.T) {
	server := redistest.Start(t, durable()...)
	inTheWay := filepath.Join(server.Dir, "dump.rdb", "x") // a folder that is not empty is not replaced
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	client := server.Client(t)
	if err := client.BgSave(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:err"); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the snapshot did not fail")
		}
	}
	if found := codes(examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}), chatcore.Danger); !slices.Equal(found, []string{"save_failed"}) {
		t.Errorf("%q", found)
	}
}

func TestTheServersOfAClusterAreTold(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, durable()...)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}}))
	h := core.Health(t.Context())
	if !h.Ready || len(h.Log) != 3 || h.Log[0].Slots == nil || !h.Log[0].Slots.OK || len(codes(h.Findings(), chatcore.Danger)) > 0 {
		t.Errorf("%+v, %+v", h, h.Findings())
	}
	if found := codes(examined(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.Masters[0].URL()}}), chatcore.Danger); !slices.Equal(found, []string{"cluster_url"}) {
		t.Errorf("one of them as a single server: %q", found)
	}
	cluster.Masters[2].Freeze()
	began := time.Now()
	h = core.Health(t.Context())
	if took := time.Since(began); h.Ready || took > wait.Limit/4 {
		t.Errorf("with one frozen: ready %v after %v", h.Ready, took)
	}
	if found := codes(h.Findings(), chatcore.Danger); !slices.Contains(found, "no_answer") || !slices.Contains(found, "not_ready") {
		t.Errorf("with one frozen: %q", found)
	}
	cluster.Masters[2].Thaw()
}

func TestReadyMeansThatAnAppendWouldBeTaken(t *testing.T) {
	server := redistest.Start(t, durable()...)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	client := server.Client(t)
	for _, no := range []struct {
		name      string
		end, undo []any
		want      error
	}{
		{"out of memory", []any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "1gb"}, ports.ErrUnavailable},
		{"too few replicas", []any{"config", "set", "min-replicas-to-write", "1"}, []any{"config", "set", "min-replicas-to-write", "0"}, ports.ErrUnavailable},
		{"a replica", []any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}, ports.ErrUnavailable},
		{"flushed", []any{"flushall"}, nil, ports.ErrLogLost},
	} {
		if err := client.Do(t.Context(), no.end...).Err(); err != nil {
			t.Fatal(err)
		}
		if h := core.Health(t.Context()); h.Ready || !h.Live || !errors.Is(h.NotReady, no.want) {
			t.Errorf("%s: ready %v, %v", no.name, h.Ready, h.NotReady)
		}
		if no.undo == nil {
			break
		}
		if err := client.Do(t.Context(), no.undo...).Err(); err != nil {
			t.Fatal(err)
		}
		if h := core.Health(t.Context()); !h.Ready {
			t.Errorf("%s no more: %v", no.name, h.NotReady)
		}
	}
	server.Stop()
	if h := core.Health(t.Context()); h.Ready || len(h.Log) != 1 || !errors.Is(h.Log[0].Err, ports.ErrUnavailable) {
		t.Errorf("stopped: %+v", h)
	}
	if err := core.Close(); err != nil {
		t.Fatal(err)
	}
	if h := core.Health(t.Context()); h.Live || h.Ready {
		t.Errorf("closed: %+v", h)
	}
}

// TestWhatAUserMayNotAskIsUnknown guards against a health check that needs the rights of an administrator.
func TestWhatAUserMayNotAskIsUnknown(t *testing.T) {
	server := redistest.Start(t, durable()...)
	if err := server.Client(t).Do(t.Context(), "acl", "setuser", "ada", "on", ">secret", "~*", "&*", "+@all", "-@dangerous", "+info").Err(); err != nil {
		t.Fatal(err)
	}
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://ada:secret@" + server.Addr()}}))
	h := core.Health(t.Context())
	if !h.Ready || h.Log[0].Err != nil || !slices.Equal(h.Log[0].Unknown, []string{"CONFIG GET", "SLOWLOG"}) || h.Log[0].Settings != nil || h.Log[0].Memory == nil {
		t.Errorf("%+v", h.Log)
	}
	if found := codes(h.Findings(), chatcore.Note); !slices.Equal(found, []string{"unknown"}) {
		t.Errorf("%q", found)
	}
}

func TestClientsAreSeparateAndClosed(t *testing.T) {
	server, cache := redistest.Start(t), redistest.Start(t)
	admin, other := server.Client(t), cache.Client(t)
	clients := func(c *goredis.Client) int {
		list, err := c.ClientList(context.WithoutCancel(t.Context())).Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(list, "\n")
	}
	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), CacheURL: cache.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	if n, m := clients(admin), clients(other); n < 4 || m != 2 { // one is admin's
		t.Errorf("%d connections to the log's server, %d to the cache", n, m)
	}
	h := core.Health(t.Context())
	if len(h.Cache) != 1 || len(h.Pools) != 4 || !slices.Contains(codes(h.Findings(), chatcore.Note), "cache_eviction") {
		t.Errorf("%+v", h)
	}
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	deadline := time.After(wait.Limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for clients(admin) != 1 || clients(other) != 1 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after Close there are %d and %d connections", clients(admin), clients(other))
		}
	}
}

func TestACoreInMemoryIsReady(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	if h := core.Health(t.Context()); !h.Live || !h.Ready || h.LogID == "" || len(h.Findings()) > 0 {
		t.Errorf("%+v", h)
	}
}

func TestFindings(t *testing.T) {
	state := func(change func(*chatcore.State)) chatcore.Health {
		s := chatcore.State{
			Address: "a:1", Version: "7.0.15", Memory: &ports.Memory{Used: 1, Max: 100, Policy: "noeviction"}, Persistence: &ports.Persistence{AppendOnly: true},
			Settings: &ports.Settings{Fsync: "always"}, Clients: &ports.Clients{Connected: 1, Max: 100}, Replication: &ports.Replication{}, Slow: &ports.SlowLog{},
		}
		change(&s)
		return chatcore.Health{Live: true, Ready: true, Log: []chatcore.State{s}}
	}
	for _, c := range []struct {
		health chatcore.Health
		want   string
	}{
		{state(func(*chatcore.State) {}), "[]"},
		{state(func(s *chatcore.State) { *s = chatcore.State{Address: "a:1"} }), "[]"}, // nothing is known
		{state(func(s *chatcore.State) { s.Version = "6.2.14" }), "[danger version]"},
		{state(func(s *chatcore.State) { s.Memory.Policy = "volatile-lru" }), "[warning eviction]"},
		{state(func(s *chatcore.State) { s.Memory.Policy, s.Memory.Evicted = "volatile-lru", 1 }), "[warning eviction]"},
		{state(func(s *chatcore.State) { s.Memory.Policy, s.Memory.Evicted = "allkeys-lru", 1 }), "[danger evicted danger eviction]"},
		{state(func(s *chatcore.State) { s.Memory.Evicted = 1 }), "[danger evicted]"},
		{state(func(s *chatcore.State) { s.Memory.Used = 75 }), "[warning memory]"},
		{state(func(s *chatcore.State) { s.Memory.Used = 90 }), "[danger memory]"},
		{state(func(s *chatcore.State) { s.Memory.Max, s.Memory.Used, s.Memory.System = 0, 90, 100 }), "[danger memory]"},
		{state(func(s *chatcore.State) { s.Settings.Fsync = "everysec" }), "[note fsync]"},
		{state(func(s *chatcore.State) { s.Persistence.AppendFailed = true }), "[danger aof_failed]"},
		{state(func(s *chatcore.State) { s.Persistence.RewriteFailed = true }), "[warning aof_rewrite_failed]"},
		{state(func(s *chatcore.State) { s.Clients.Rejected = 1 }), "[note rejected]"},
		{state(func(s *chatcore.State) { s.Loading = true }), "[warning loading]"},
		{state(func(s *chatcore.State) { s.Latency = time.Second }), "[warning latency]"},
		{state(func(s *chatcore.State) {
			s.Replication.Replicas = []ports.Replica{{Address: "b:2", Online: true, Lag: time.Minute}}
		}), "[warning replica_behind]"},
		{state(func(s *chatcore.State) { s.Slots = &ports.Slots{OK: true, Assigned: 16384, Up: 16000} }), "[danger cluster danger cluster_url]"},
		{chatcore.Health{Pools: []chatcore.Pool{{Purpose: "commands", Timeouts: 1}}}, "[warning pool]"},
		{chatcore.Health{Groups: []chatcore.GroupState{{Group: "g", Members: 1, Partitions: []chatcore.PartitionState{{Age: time.Hour}, {Letters: 1}}}}}, "[warning group_behind warning dead_letters]"},
		{chatcore.Health{Groups: []chatcore.GroupState{{Group: "g", Members: 1, Partitions: []chatcore.PartitionState{
			{Blocked: 2, Longest: []chatcore.BlockedChat{{Chat: "c", Reason: chatcore.BlockedTransient}, {Reason: chatcore.BlockedSlow}}},
			{Blocked: 2, Longest: []chatcore.BlockedChat{{Chat: "d", Reason: chatcore.BlockedNewer}, {Chat: "e", Reason: chatcore.BlockedPostponed}}},
		}}}}, "[warning transient_failures warning newer_event warning slow_handler warning postponed_event]"},
		{chatcore.Health{GroupsErr: errors.New("late"), NotReady: errors.New("full")}, "[danger not_ready note groups_unknown]"},
	} {
		var got []string
		for _, f := range c.health.Findings() {
			got = append(got, string(f.Severity)+" "+f.Code)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("found %v, want %s in %+v", got, c.want, c.health)
		}
	}
}

// TestEvictionAtRunTime_IsFound switches eviction on under a core until keys are lost, and off again.
func TestEvictionAtRunTime_IsFound(t *testing.T) {
	server := redistest.Start(t, durable()...)
	client := server.Client(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}}
	core := opened(t)(chatcore.New(t.Context(), config))
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	send := func() error {
		return failure(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	}
	set := func(name, value string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("maxmemory", "12mb")
	for i := range 60 { // of 100 kB each; written before, so that the log's keys are newer
		if err := client.Set(t.Context(), fmt.Sprint("filler", i), strings.Repeat("x", 100_000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	set("maxmemory-policy", "allkeys-lru")
	eventually(t, "writes are refused", func() bool { return errors.Is(send(), chatcore.ErrEvicting) })
	for i := range 60 {
		if err := client.Set(t.Context(), fmt.Sprint("more", i), strings.Repeat("x", 100_000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	h := core.Health(t.Context())
	if found := codes(h.Findings(), chatcore.Danger); h.Ready || !errors.Is(h.NotReady, chatcore.ErrEvicting) || !slices.Contains(found, "evicted") || !slices.Contains(found, "eviction") {
		t.Errorf("while keys are evicted: %v, found %q", h.NotReady, found)
	}
	set("maxmemory-policy", "noeviction")
	set("maxmemory", "1gb")
	eventually(t, "writes are no longer refused", func() bool { return !errors.Is(send(), chatcore.ErrEvicting) })
	if found := codes(examined(t, config), chatcore.Danger); !slices.Contains(found, "evicted") || slices.Contains(found, "eviction") {
		t.Errorf("after the loss: %q", found)
	}
}

func TestFindings_RefusedAnnouncements(t *testing.T) {
	if found := codes(chatcore.Health{Refused: 3}.Findings(), chatcore.Warning); !slices.Contains(found, "refused") {
		t.Errorf("found %v", found)
	}
}
