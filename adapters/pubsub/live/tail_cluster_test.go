package live_test

import (
	"strings"
	"testing"
	"time"

	"chatcore/adapters/pubsub/live"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// appendAll appends an event to a chat of each partition, again until that succeeds.
func (r *tailRig) appendAll(partitions int) {
	r.t.Helper()
	for p := range partitions {
		chat := r.chatIn(p)
		wait.Until(r.t, "an append", func() bool { return r.append(r.t.Context(), chat, 1) == nil })
	}
}

// moveSlot moves the slot of a partition to the next master.
func (r *tailRig) moveSlot(c *redistest.Cluster, partition int) {
	r.t.Helper()
	ctx := r.t.Context()
	stream := r.keys.Log().Stream(partition)
	slot, err := c.Client(r.t, 0).ClusterKeySlot(ctx, stream).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	var ids []string
	from := -1
	for i, s := range c.Masters {
		client := s.Client(r.t)
		id, err := client.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, id)
		if client.Exists(ctx, stream).Err() == nil { // others answer MOVED
			from = i
		}
	}
	to := (from + 1) % len(c.Masters)
	do := func(s *redistest.Server, args ...any) {
		if err := s.Client(r.t).Do(ctx, args...).Err(); err != nil {
			r.t.Fatalf("%v: %v", args, err)
		}
	}
	do(c.Masters[to], "cluster", "setslot", slot, "importing", ids[from])
	do(c.Masters[from], "cluster", "setslot", slot, "migrating", ids[to])
	keys, err := c.Client(r.t, from).ClusterGetKeysInSlot(ctx, int(slot), 1000).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	host, port, _ := strings.Cut(c.Masters[to].Addr(), ":")
	for _, key := range keys {
		do(c.Masters[from], "migrate", host, port, key, 0, 5000)
	}
	for _, s := range append([]*redistest.Server{c.Masters[to], c.Masters[from]}, c.Masters...) {
		do(s, "cluster", "setslot", slot, "node", ids[to])
	}
}

// TestTail_FollowsSlots moves slots between the servers of a Cluster while events are appended.
func TestTail_FollowsSlots(t *testing.T) {
	const partitions = 6
	cluster := redistest.StartCluster(t, 3)
	for name, sweep := range map[string]time.Duration{"without a sweep": never, "with sweeps": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			r := newClusterRig(t, cluster, rigConfig{partitions: partitions, announce: true, tail: live.TailConfig{Sweep: sweep}})
			var ears []*ear
			for p := range partitions {
				ears = append(ears, r.watch(p))
			}
			count := 0
			round := func() {
				count++
				r.appendAll(partitions)
				for p, e := range ears {
					e.hears(r.chatIn(p), 1, count)
				}
			}
			round()
			found := r.Found()
			if found > 0 && sweep == never {
				t.Errorf("%d events were found by reads", found)
			}
			for _, p := range []int{0, 3, 0, 5} {
				r.moveSlot(cluster, p)
				round()
				round()
			}
			if r.Losts() != 0 {
				t.Errorf("%d losses", r.Losts())
			}
			for _, e := range ears {
				e.stop()
			}
		})
	}
}

// TestTail_OneConnectionPerMaster counts connections and subscriptions on a Cluster.
func TestTail_OneConnectionPerMaster(t *testing.T) {
	const partitions = 9
	cluster := redistest.StartCluster(t, 3)
	r := newClusterRig(t, cluster, rigConfig{partitions: partitions, announce: true, tail: live.TailConfig{Linger: time.Millisecond}})
	var ears []*ear
	for p := range partitions {
		ears = append(ears, r.watch(p))
	}
	for _, s := range cluster.Masters {
		if n := connections(t, s, "pubsub"); n != 1 {
			t.Errorf("%d subscribed connections of %s", n, s.Addr())
		}
		if channels, err := s.Client(t).PubSubShardChannels(t.Context(), "*").Result(); err != nil || len(channels) != partitions/3 {
			t.Errorf("%s has the channels %q, %v", s.Addr(), channels, err)
		}
	}
	r.appendAll(partitions)
	for p, e := range ears {
		e.hears(r.chatIn(p), 1, 1)
		e.stop()
	}
	if r.Found() != 0 {
		t.Errorf("%d events were found by reads", r.Found())
	}
	for _, s := range cluster.Masters {
		wait.Until(t, "the connection ends", func() bool { return connections(t, s, "pubsub") == 0 })
	}
}

// TestTail_ReloadsTheTopologyOnce counts the commands that a lost connection costs on a Cluster.
func TestTail_ReloadsTheTopologyOnce(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	r := newClusterRig(t, cluster, rigConfig{partitions: 6, announce: true})
	for p := range 6 {
		r.watch(p)
	}
	before := r.Reconnects()
	if err := cluster.Client(t, 0).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the loss is counted", func() bool { return r.Reconnects() > before })
	wait.Until(t, "a new connection", func() bool {
		channels, err := cluster.Client(t, 0).PubSubShardChannels(t.Context(), "*").Result()
		return err == nil && len(channels) == 2
	})
	quiet := 0
	wait.Until(t, "no command", func() bool {
		calls := 0
		for _, s := range cluster.Masters {
			of := commands(t, s)
			delete(of, "pubsub|shardchannels")
			calls += len(of)
		}
		if quiet++; calls > 0 {
			quiet = 0
		}
		return quiet == 100
	})
}

// TestTail_Failovers has replicas take over, by command and after a crash.
func TestTail_Failovers(t *testing.T) {
	const partitions = 3
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	r := newClusterRig(t, cluster, rigConfig{
		partitions: partitions, announce: true, tail: live.TailConfig{Sweep: 200 * time.Millisecond}, pubsub: live.PubSubConfig{Probe: 500 * time.Millisecond},
	})
	var ears []*ear
	for p := range partitions {
		ears = append(ears, r.watch(p))
	}
	round := func() { // an event that was appended before a crash may be lost with the master, so the last one counts
		r.appendAll(partitions)
		for p, e := range ears {
			chat := r.chatIn(p)
			head := r.head(chat)
			wait.Until(t, "the last event is heard", func() bool {
				seqs, _ := e.heard(chat)
				return len(seqs) > 0 && seqs[len(seqs)-1] == head
			})
		}
	}
	round()
	cluster.Failover(t, 0)
	round()
	round()
	killed := cluster.KillMaster(t, 1)
	round()
	killed.Restart(t)
	cluster.Settle(t)
	round()
	for p, e := range ears {
		seqs, lost := e.heard(r.chatIn(p))
		for i, seq := range seqs {
			if lost == 0 && seq != i+1 {
				t.Errorf("partition %d: heard %v without a loss", p, seqs)
				break
			}
		}
	}
}

// head returns the last seq of a chat.
func (r *tailRig) head(chat domain.ChatID) int {
	r.t.Helper()
	head := 0
	wait.Until(r.t, "the log is read", func() bool {
		page, err := r.log.Read(r.t.Context(), chat, ports.Range{Limit: 1, Backward: true})
		head = int(page.Head) //nolint:gosec // a few
		return err == nil
	})
	return head
}
