package redistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const slots = 16384

// Cluster is a Redis Cluster of the test: masters that share the slots evenly, each with its replicas. A shard is a share of the slots with its
// servers. Its methods may be called by one goroutine at a time.
type Cluster struct {
	Masters  []*Server   // masters at the start, one for each shard; [Cluster.Master] returns the present one
	Replicas [][]*Server // replicas at the start, by shard
}

// StartCluster starts a Cluster of the given number of masters for this test alone, with extra arguments for each, and stops it when the test ends.
func StartCluster(t testing.TB, masters int, args ...string) *Cluster {
	t.Helper()
	return startMasters(t, masters, append([]string{"--cluster-node-timeout", "2000"}, args...))
}

func startMasters(t testing.TB, masters int, args []string) *Cluster {
	t.Helper()
	c := &Cluster{Replicas: make([][]*Server, masters)}
	for range masters {
		c.Masters = append(c.Masters, Start(t, append([]string{"--cluster-enabled", "yes"}, args...)...))
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for i, s := range c.Masters {
		client := c.Client(t, i)
		if err := client.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
			t.Fatalf("cluster: slots of %s: %v", s.Addr(), err)
		}
	}
	c.introduce(ctx, t)
	return c
}

// introduce makes all nodes meet the first one, until each knows all others. Redis limits a handshake to the node timeout, which passes on a busy
// machine, and does not retry by itself: a node that was met may know the other one and not be known by it.
func (c *Cluster) introduce(ctx context.Context, t testing.TB) {
	t.Helper()
	const patience = 3 * time.Second
	host, port, _ := strings.Cut(c.Masters[0].Addr(), ":")
	var met time.Time
	poll(ctx, t, func() (why string) {
		for _, s := range c.Nodes() {
			if why = s.knows(ctx, len(c.Nodes())); why != "" {
				break
			}
		}
		if why == "" || time.Since(met) < patience {
			return why
		}
		met = time.Now()
		for _, s := range c.Nodes() {
			if _, err := s.ask(ctx, "cluster", "meet", host, port); err != nil {
				return err.Error()
			}
		}
		return why
	})
}

// knows returns why a node does not serve in a Cluster of the given number of nodes, "" if it does.
func (s *Server) knows(ctx context.Context, nodes int) string {
	info, err := s.ask(ctx, "cluster", "info")
	if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", nodes)) {
		return ""
	}
	return fmt.Sprintf("%s does not serve among %d nodes: %s, %v", s.Addr(), nodes, info, err)
}

// URL returns the URLs of the servers, with commas between them.
func (c *Cluster) URL() string {
	var urls []string
	for _, s := range c.Nodes() {
		urls = append(urls, s.URL())
	}
	return strings.Join(urls, ",")
}

// Client returns a client of a single node, one of Masters.
func (c *Cluster) Client(t testing.TB, node int) *goredis.Client {
	t.Helper()
	return c.Masters[node].Client(t)
}

// Migrate starts the migration of a key's slot: it is MIGRATING at its node and IMPORTING at the next one. end cancels that, with the slot where it
// was.
func (c *Cluster) Migrate(t testing.TB, key string) (end func()) {
	t.Helper()
	ctx := t.Context()
	slot, err := c.Client(t, 0).ClusterKeySlot(ctx, key).Result()
	if err != nil {
		t.Fatal(err)
	}
	shard := c.Shard(int(slot))
	from, to := c.Master(t, shard), c.Master(t, (shard+1)%len(c.Masters))
	id := func(s *Server) string {
		id, err := s.Client(t).Do(ctx, "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	set := func(s *Server, args ...any) {
		if err := s.Client(t).Do(context.WithoutCancel(ctx), append([]any{"cluster", "setslot", slot}, args...)...).Err(); err != nil {
			t.Fatalf("cluster: setslot %d %v: %v", slot, args, err)
		}
	}
	set(to, "importing", id(from))
	set(from, "migrating", id(to))
	return func() {
		set(from, "stable")
		set(to, "stable")
	}
}
