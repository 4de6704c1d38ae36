package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Inspector asks the servers of a client for their state: all masters of a Cluster, or the single server.
type Inspector struct {
	client  goredis.UniversalClient
	purpose string
}

var _ ports.Inspector = (*Inspector)(nil)

// NewInspector returns an Inspector that uses the client. It does not close the client.
func NewInspector(client goredis.UniversalClient, purpose string) *Inspector {
	return &Inspector{conn.Unwrap(client), purpose}
}

// Pool implements [ports.Inspector].
func (i *Inspector) Pool() ports.Pool {
	s := i.client.PoolStats()
	return ports.Pool{
		Purpose: i.purpose, Total: s.TotalConns, Idle: s.IdleConns, Hits: s.Hits, Misses: s.Misses, Stale: s.StaleConns, Timeouts: s.Timeouts,
	}
}

// Inspect implements [ports.Inspector].
func (i *Inspector) Inspect(ctx context.Context) []ports.Server {
	cluster, several := i.client.(*goredis.ClusterClient)
	if !several {
		address := ""
		if client, ok := i.client.(*goredis.Client); ok {
			address = client.Options().Addr
		}
		return []ports.Server{examine(ctx, i.client, address)}
	}
	var mu sync.Mutex
	var servers []ports.Server
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		server := examine(ctx, node, node.Options().Addr)
		mu.Lock()
		defer mu.Unlock()
		servers = append(servers, server)
		return nil
	})
	if err != nil || len(servers) == 0 {
		if err == nil {
			err = errors.New("no node reports a master")
		}
		return []ports.Server{{Address: "cluster", Err: rediscmd.Unavailable(ctx, err)}}
	}
	slices.SortFunc(servers, func(a, b ports.Server) int { return strings.Compare(a.Address, b.Address) })
	return servers
}

// examine asks one server for its state.
func examine(ctx context.Context, node goredis.Cmdable, address string) ports.Server {
	s := ports.Server{Address: address}
	var took [3]time.Duration
	for n := range took {
		began := time.Now()
		if err := node.Ping(ctx).Err(); err != nil && !rediscmd.Answered(err) {
			s.Err = rediscmd.Unavailable(ctx, err)
			return s
		}
		took[n] = time.Since(began)
	}
	slices.Sort(took[:])
	s.Latency = took[1]

	var info, slots *goredis.StringCmd
	var settings *goredis.MapStringStringCmd
	var entries *goredis.IntCmd
	var slow *goredis.SlowLogCmd
	// Each reply has its own error.
	_, _ = node.Pipelined(ctx, func(p goredis.Pipeliner) error {
		info = p.Info(ctx)
		settings = goredis.NewMapStringStringCmd(ctx, "config", "get", "appendfsync", "save", "stop-writes-on-bgsave-error", "min-replicas-to-write")
		_ = p.Process(ctx, settings)
		entries = goredis.NewIntCmd(ctx, "slowlog", "len")
		_ = p.Process(ctx, entries)
		slow = p.SlowLogGet(ctx, 32)
		slots = p.ClusterInfo(ctx)
		return nil
	})
	published := func(name string, err error) bool {
		if err != nil {
			s.Unknown = append(s.Unknown, name)
		}
		return err == nil
	}
	if published("INFO", info.Err()) {
		parse(info.Val()).fill(&s)
	}
	if published("CONFIG GET", settings.Err()) {
		s.Settings = settingsOf(settings.Val())
	}
	if published("SLOWLOG", errors.Join(entries.Err(), slow.Err())) {
		s.Slow = slowest(entries.Val(), slow.Val())
	}
	if s.Cluster && published("CLUSTER INFO", slots.Err()) {
		s.Slots = slotsOf(parse(slots.Val()))
	}
	return s
}

// report is the reply of INFO by field.
type report map[string]string

func parse(text string) report {
	r := make(report)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			r[name] = value
		}
	}
	return r
}

// number returns the number in a field, or 0 if the field is missing.
func (r report) number(name string) int64 {
	n, err := strconv.ParseInt(r[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (r report) failed(name string) bool { return r[name] != "" && r[name] != "ok" }

// fill copies the sections that the server reports: some servers omit some.
func (r report) fill(s *ports.Server) {
	if port := r["tcp_port"]; s.Address == "FailoverClient" && port != "" {
		s.Address = "master on port " + port
	}
	s.Version, s.Cluster, s.Replica, s.Loading = r["redis_version"], r["cluster_enabled"] == "1", r["role"] == "slave", r["loading"] == "1"
	if _, ok := r["used_memory"]; ok {
		s.Memory = &ports.Memory{
			Used: r.number("used_memory"), Max: r.number("maxmemory"), System: r.number("total_system_memory"), Policy: r["maxmemory_policy"],
			Evicted: r.number("evicted_keys"),
		}
	}
	if _, ok := r["aof_enabled"]; ok {
		s.Persistence = &ports.Persistence{
			AppendOnly: r["aof_enabled"] == "1", AppendFailed: r.failed("aof_last_write_status"), RewriteFailed: r.failed("aof_last_bgrewrite_status"),
			SaveFailed: r.failed("rdb_last_bgsave_status"), LastSave: time.Unix(r.number("rdb_last_save_time"), 0), ChangesSinceSaved: r.number("rdb_changes_since_last_save"),
		}
	}
	if _, ok := r["connected_clients"]; ok {
		s.Clients = &ports.Clients{Connected: r.number("connected_clients"), Max: r.number("maxclients"), Rejected: r.number("rejected_connections")}
	}
	if r["role"] == "master" {
		s.Replication = r.replication()
	}
}

func (r report) replication() *ports.Replication {
	replication := &ports.Replication{}
	written := r.number("master_repl_offset")
	for n := range r.number("connected_slaves") {
		published := make(report)
		for part := range strings.SplitSeq(r[fmt.Sprint("slave", n)], ",") {
			name, value, _ := strings.Cut(part, "=")
			published[name] = value
		}
		replica := ports.Replica{
			Address: net.JoinHostPort(published["ip"], published["port"]), Online: published["state"] == "online", Behind: max(written-published.number("offset"), 0),
			Lag: time.Duration(published.number("lag")) * time.Second,
		}
		replication.Replicas = append(replication.Replicas, replica)
		if replica.Online && replica.Lag <= 10*time.Second {
			replication.Good++
		}
	}
	if _, counted := r["min_slaves_good_slaves"]; counted {
		replication.Good = int(r.number("min_slaves_good_slaves"))
	}
	return replication
}

func settingsOf(config map[string]string) *ports.Settings {
	least, err := strconv.Atoi(config["min-replicas-to-write"])
	if err != nil {
		least = 0
	}
	return &ports.Settings{
		Fsync: config["appendfsync"], SavePoints: config["save"], StopWrites: config["stop-writes-on-bgsave-error"] == "yes", MinReplicas: least,
	}
}

func slowest(entries int64, slow []goredis.SlowLog) *ports.SlowLog {
	found := &ports.SlowLog{Entries: entries}
	for _, entry := range slow {
		if entry.Duration > found.Slowest && len(entry.Args) > 0 {
			found.Slowest, found.Command, found.At = entry.Duration, strings.ToUpper(entry.Args[0]), entry.Time
		}
	}
	return found
}

func slotsOf(r report) *ports.Slots {
	masters := int(r.number("cluster_size"))
	return &ports.Slots{
		OK: r["cluster_state"] == "ok", Assigned: int(r.number("cluster_slots_assigned")), Up: int(r.number("cluster_slots_ok")), Masters: masters,
		Others: int(r.number("cluster_known_nodes")) - masters,
	}
}
