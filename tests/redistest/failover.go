package redistest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatcore/tests/wait"
)

const (
	// failoverTimeout leaves room for a repeated election, and for a node that loads its data.
	failoverTimeout = wait.Limit
	pollCluster     = 20 * time.Millisecond // interval at which all nodes are asked
)

// StartReplicatedCluster starts a Cluster as [StartCluster] does, with the given number of replicas for each of at least three masters. A majority of
// the masters elects a replica about two seconds after its master is gone. It returns when every replica has caught up.
func StartReplicatedCluster(t testing.TB, masters, replicas int, args ...string) *Cluster {
	t.Helper()
	args = append([]string{
		"--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0",
		"--cluster-replica-validity-factor", "0", // by default a replica that is not elected within 20 s, as on a busy machine, never is
	}, args...)
	c := startMasters(t, masters, args)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for shard := range c.Masters {
		for range replicas {
			c.Replicas[shard] = append(c.Replicas[shard], Start(t, append([]string{"--cluster-enabled", "yes"}, args...)...))
		}
	}
	c.introduce(ctx, t)
	for shard, master := range c.Masters {
		id, err := master.Client(t).Do(ctx, "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		for _, replica := range c.Replicas[shard] {
			if err := replica.Client(t).ClusterReplicate(ctx, id).Err(); err != nil {
				t.Fatalf("cluster: %s replicates %s: %v", replica.Addr(), master.Addr(), err)
			}
		}
	}
	c.Settle(t)
	return c
}

// Nodes returns all servers, masters and replicas.
func (c *Cluster) Nodes() []*Server {
	return slices.Concat(c.Masters, slices.Concat(c.Replicas...))
}

// Shard returns the index of the shard that has a slot.
func (c *Cluster) Shard(slot int) int {
	shard := slot * len(c.Masters) / slots
	for c.firstSlot(shard+1) <= slot {
		shard++
	}
	return shard
}

func (c *Cluster) firstSlot(shard int) int { return shard * slots / len(c.Masters) }

// Master returns the present master of a shard, by the latest state that any node knows. A dead master remains the master until a replica is
// promoted.
func (c *Cluster) Master(t testing.TB, shard int) *Server {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	if s := c.master(ctx, shard); s != nil {
		return s
	}
	t.Fatal("cluster: no node answers")
	return nil
}

func (c *Cluster) master(ctx context.Context, shard int) *Server {
	var latest member
	for _, s := range c.Nodes() {
		if m, known := s.holder(ctx, c.firstSlot(shard)); known && (latest.port == "" || m.epoch > latest.epoch) {
			latest = m
		}
	}
	for _, s := range c.shard(shard) {
		if strconv.Itoa(s.port) == latest.port {
			return s
		}
	}
	return nil
}

// shard returns all servers of a shard.
func (c *Cluster) shard(shard int) []*Server {
	return append([]*Server{c.Masters[shard]}, c.Replicas[shard]...)
}

// Failover makes a replica take over a shard from its master, which becomes a replica itself. It returns when every node knows.
func (c *Cluster) Failover(t testing.TB, shard int) {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	c.settle(ctx, t)
	before := c.master(ctx, shard)
	next := c.Masters[shard]
	if next == before {
		next = c.Replicas[shard][0]
	}
	client := next.client()
	defer func() { _ = client.Close() }()
	const patience = 6 * time.Second // a replica stops trying after five
	var asked time.Time
	var refused error
	poll(ctx, t, func() string {
		if c.master(ctx, shard) == next {
			return ""
		}
		if time.Since(asked) > patience {
			asked = time.Now()
			refused = client.ClusterFailover(ctx).Err()
		}
		return fmt.Sprintf("%s does not take over from %s: %v", next.Addr(), before.Addr(), refused)
	})
	c.settle(ctx, t)
}

// KillMaster kills the master of a shard, as a crash would. It returns the killed server when a replica has been promoted. [Server.Restart] and
// [Cluster.Settle] restart it as a replica.
func (c *Cluster) KillMaster(t testing.TB, shard int) (killed *Server) {
	t.Helper()
	c.Settle(t) // a replica that has not caught up is not promoted, or lacks confirmed writes
	killed = c.Master(t, shard)
	killed.Kill()
	c.AwaitPromotion(t, shard, killed)
	return killed
}

// AwaitPromotion returns when another server than the given one is the shard's master and every other node knows.
func (c *Cluster) AwaitPromotion(t testing.TB, shard int, before *Server) {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	poll(ctx, t, func() string {
		for _, s := range c.Nodes() {
			if s == before {
				continue
			}
			if m, known := s.holder(ctx, c.firstSlot(shard)); !known || m.port == strconv.Itoa(before.port) {
				return fmt.Sprintf("%s knows no node that takes over from %s", s.Addr(), before.Addr())
			}
			if why := s.knows(ctx, len(c.Nodes())); why != "" {
				return why
			}
		}
		return ""
	})
}

// Settle returns when all nodes run and agree, and every replica has caught up with its master.
func (c *Cluster) Settle(t testing.TB) {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	c.settle(ctx, t)
}

func (c *Cluster) settle(ctx context.Context, t testing.TB) {
	t.Helper()
	reached := make(map[*Server]uint64) // by master: its offset when it was first asked, which its replicas have to confirm
	poll(ctx, t, func() string {
		for _, s := range c.Nodes() {
			if why := s.knows(ctx, len(c.Nodes())); why != "" {
				return why
			}
		}
		for shard := range c.Masters {
			master := c.master(ctx, shard)
			for _, s := range c.Nodes() {
				if m, known := s.holder(ctx, c.firstSlot(shard)); !known || m.port != strconv.Itoa(master.port) {
					return fmt.Sprintf("%s does not know %s as the master of shard %d", s.Addr(), master.Addr(), shard)
				}
			}
			for _, s := range c.shard(shard) {
				if s == master {
					continue
				}
				if why := s.follows(ctx, master); why != "" {
					return why
				}
				if why := master.confirmedBy(ctx, s, reached); why != "" {
					return why
				}
			}
		}
		return ""
	})
}

func within(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), failoverTimeout)
}

// poll calls problem until it returns "". The test fails with the problem when ctx ends.
func poll(ctx context.Context, t testing.TB, problem func() string) {
	t.Helper()
	again := time.NewTicker(pollCluster)
	defer again.Stop()
	for {
		why := problem()
		if why == "" {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("cluster: %s", why)
		}
	}
}

// ask sends a command to a node that may not answer.
func (s *Server) ask(ctx context.Context, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := s.client()
	defer func() { _ = client.Close() }()
	return client.Do(ctx, args...).Text()
}

// follows returns why a node is no replica that has caught up, "" if it is one.
func (s *Server) follows(ctx context.Context, master *Server) string {
	info, err := s.ask(ctx, "info", "replication")
	for _, line := range []string{"role:slave\r\n", fmt.Sprintf("master_port:%d\r\n", master.port), "master_link_status:up\r\n"} {
		if !strings.Contains(info, line) {
			return fmt.Sprintf("%s does not follow %s: %s, %v", s.Addr(), master.Addr(), info, err)
		}
	}
	return ""
}

// confirmedBy returns why a replica has not confirmed the offset that its master had when it was first asked, "" if it has. A replica's own view is
// not enough: its link is up from the end of the synchronization on, and its master streams to it from its first confirmation on.
func (s *Server) confirmedBy(ctx context.Context, replica *Server, reached map[*Server]uint64) string {
	info, err := s.ask(ctx, "info", "replication")
	if err != nil {
		return err.Error()
	}
	number := func(pattern string) (n uint64, ok bool) {
		m := regexp.MustCompile(pattern).FindStringSubmatch(info)
		if m == nil {
			return 0, false
		}
		n, err := strconv.ParseUint(m[1], 10, 64)
		return n, err == nil
	}
	if _, asked := reached[s]; !asked {
		if offset, ok := number(`master_repl_offset:(\d+)`); ok {
			reached[s] = offset
		}
	}
	if offset, ok := number(fmt.Sprintf(`slave\d+:ip=[^,]*,port=%d,state=online,offset=(\d+)`, replica.port)); !ok || offset < reached[s] {
		return fmt.Sprintf("%s has not confirmed offset %d of %s: %s", replica.Addr(), reached[s], s.Addr(), info)
	}
	return ""
}

// member is a node as another node knows it.
type member struct {
	port  string
	epoch uint64 // of its claim to its slots; the latest wins
}

// holder returns the node that has a slot, as this node knows.
func (s *Server) holder(ctx context.Context, slot int) (member, bool) {
	nodes, err := s.ask(ctx, "cluster", "nodes")
	if err != nil {
		return member{}, false
	}
	for line := range strings.Lines(nodes) { // id host:port@bus flags master ping pong epoch link slots…
		fields := strings.Fields(line)
		if len(fields) < 8 || !slices.ContainsFunc(fields[8:], func(r string) bool { return covers(r, slot) }) {
			continue
		}
		address, _, _ := strings.Cut(fields[1], "@")
		epoch, err := strconv.ParseUint(fields[6], 10, 64)
		return member{port: address[strings.LastIndexByte(address, ':')+1:], epoch: epoch}, err == nil
	}
	return member{}, false
}

// covers reports whether a range such as 0-5460 contains a slot. A slot that is migrating is in brackets, which is no range.
func covers(r string, slot int) bool {
	first, last, several := strings.Cut(r, "-")
	if !several {
		last = first
	}
	from, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	to, err := strconv.Atoi(last)
	return err == nil && from <= slot && slot <= to
}
