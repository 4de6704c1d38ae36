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

// Cluster is a Redis Cluster of the test: masters that share the slots evenly.
type Cluster struct {
	Masters []*Server
}

// StartCluster starts a Cluster of so many masters for this test alone, with extra arguments for each, and stops it when the test ends.
func StartCluster(t testing.TB, masters int, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range masters {
		c.Masters = append(c.Masters, Start(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
		}, args...)...))
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for i, s := range c.Masters {
		client := c.Client(t, i)
		if err := client.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
			t.Fatalf("cluster: slots of %s: %v", s.Addr(), err)
		}
		host, port, _ := strings.Cut(c.Masters[0].Addr(), ":")
		if err := client.ClusterMeet(ctx, host, port).Err(); err != nil {
			t.Fatalf("cluster: %s meets: %v", s.Addr(), err)
		}
	}
	for i := range c.Masters {
		c.await(ctx, t, i)
	}
	return c
}

// await returns once a node knows all others and that the slots are covered.
func (c *Cluster) await(ctx context.Context, t testing.TB, node int) {
	t.Helper()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	client := c.Client(t, node)
	for {
		info, err := client.ClusterInfo(ctx).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Masters))) {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("cluster: %s is not ready: %s, %v", c.Masters[node].Addr(), info, err)
		}
	}
}

// URL names the masters, with commas between them.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.Masters))
	for i, s := range c.Masters {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Client is one for a single node.
func (c *Cluster) Client(t testing.TB, node int) *goredis.Client {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: c.Masters[node].Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Migrate puts the slot of a key into the state between two nodes, MIGRATING where it is and IMPORTING at the next node, and gives what
// ends that again, with the slot where it was.
func (c *Cluster) Migrate(t testing.TB, key string) (end func()) {
	t.Helper()
	ctx := t.Context()
	slot, err := c.Client(t, 0).ClusterKeySlot(ctx, key).Result()
	if err != nil {
		t.Fatal(err)
	}
	from := int(slot) * len(c.Masters) / slots
	for (from+1)*slots/len(c.Masters)-1 < int(slot) {
		from++
	}
	to := (from + 1) % len(c.Masters)
	id := func(node int) string {
		id, err := c.Client(t, node).Do(ctx, "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	set := func(node int, args ...any) {
		if err := c.Client(t, node).Do(context.WithoutCancel(ctx), append([]any{"cluster", "setslot", slot}, args...)...).Err(); err != nil {
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
