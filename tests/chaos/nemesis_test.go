package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/tests/redistest"
)

// nemesis does harm, and remembers it.
type nemesis struct {
	t     *testing.T
	seed  uint64
	ctx   context.Context
	calm  time.Duration // between two faults of a hand at most
	until time.Time

	mu     sync.Mutex
	faults []Fault
}

// attack is one kind of harm. It tells what it was done to and returns when the fault has ended; what it gives besides, unless nil, puts
// back what is missing then.
type attack struct {
	kind string
	do   func(dice) (on string, heal func())
}

// dice are thrown by one hand.
type dice struct {
	*rand.Rand
	ctx context.Context
}

// between waits for some time.
func (d dice) between(least, most time.Duration) {
	_ = pause(d.ctx, least+time.Duration(d.Int64N(int64(most-least)+1))) // cut short when the test ends
}

// hand does one harm after another, each kind once before one comes again.
func (n *nemesis) hand(number uint64, attacks ...attack) {
	d := dice{rand.New(rand.NewPCG(n.seed, number)), n.ctx} //nolint:gosec // dice
	deck := slices.Clone(attacks)
	for {
		d.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, a := range deck {
			d.between(0, n.calm)
			if n.ctx.Err() != nil || time.Now().After(n.until) {
				return
			}
			f := Fault{Kind: a.kind, Began: time.Now()}
			on, heal := a.do(d)
			f.On, f.Ended = on, time.Now()
			n.mu.Lock()
			n.faults = append(n.faults, f)
			n.mu.Unlock()
			if heal != nil {
				heal()
			}
		}
	}
}

const freezeWorker = "freeze worker"

// onWorkers are the attacks on a crew. They need no test to fail, and so may come from any goroutine.
func onWorkers(c *crew) []attack {
	return []attack{
		{"kill worker", func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			p.kill()
			return p.name, func() {
				d.between(0, time.Second)
				p.start()
			}
		}},
		{freezeWorker, func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			p.process.Freeze()
			d.between(lease+500*time.Millisecond, lease+2*time.Second)
			p.process.Thaw()
			return p.name, nil
		}},
		{"restart worker", func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			p.stop()
			return p.name, p.start
		}},
	}
}

// onServers are the attacks that any Redis takes; servers gives those that answer clients now.
func onServers(t *testing.T, servers func() []*redistest.Server) []attack {
	return []attack{
		{"kill clients", func(dice) (string, func()) {
			for _, s := range servers() {
				s.KillClients(t)
			}
			return "", nil
		}},
		{"flush scripts", func(dice) (string, func()) {
			for _, s := range servers() {
				if err := s.Client(t).ScriptFlush(t.Context()).Err(); err != nil {
					t.Error(err)
				}
			}
			return "", nil
		}},
	}
}

// onServer are the attacks on a single Redis, which forgets nothing, and on the ways to it: one for each post, and the last for writers.
func onServer(t *testing.T, s *redistest.Server, ways []*redistest.Proxy) []attack {
	down := func(kind string, end func()) attack {
		return attack{kind, func(d dice) (string, func()) {
			end()
			d.between(0, time.Second)
			s.Restart(t)
			return "", nil
		}}
	}
	return append(onServers(t, func() []*redistest.Server { return []*redistest.Server{s} }),
		down("crash redis", s.Kill),
		down("restart redis", s.Stop),
		attack{"freeze redis", func(d dice) (string, func()) {
			s.Freeze()
			d.between(500*time.Millisecond, 3*time.Second)
			s.Thaw()
			return "", nil
		}},
		attack{"black hole", func(d dice) (string, func()) {
			posts := len(ways) - 1
			chosen, on := ways[:posts], "before all workers"
			if one := d.IntN(2 * posts); one < posts {
				chosen, on = ways[one:one+1], fmt.Sprintf("before w%d", one)
			}
			for _, w := range chosen {
				w.Swallow(true)
			}
			d.between(time.Second, lease+2*time.Second)
			for _, w := range chosen {
				w.Swallow(false)
			}
			return on, nil
		}},
		attack{"cut", func(dice) (string, func()) {
			for _, w := range ways {
				w.Cut()
			}
			return "all connections", nil
		}},
	)
}

// onCluster are the attacks on a Cluster with replicas.
func onCluster(t *testing.T, c *redistest.Cluster) []attack {
	masters := func() []*redistest.Server {
		var all []*redistest.Server
		for shard := range c.Masters {
			all = append(all, c.Master(t, shard))
		}
		return all
	}
	shard := func(d dice) (int, string) {
		i := d.IntN(len(c.Masters))
		return i, fmt.Sprintf("shard %d", i)
	}
	return append(onServers(t, masters),
		attack{"failover", func(d dice) (string, func()) {
			i, on := shard(d)
			c.Failover(t, i)
			return on, nil
		}},
		attack{"kill master", func(d dice) (string, func()) {
			i, on := shard(d)
			killed := c.KillMaster(t, i)
			return on, func() {
				d.between(0, time.Second)
				killed.Restart(t)
				c.Settle(t)
			}
		}},
		attack{"freeze master", func(d dice) (string, func()) {
			i, on := shard(d)
			c.Settle(t) // so that its replica may take over
			frozen := c.Master(t, i)
			frozen.Freeze()
			c.AwaitPromotion(t, i, frozen)
			d.between(0, time.Second)
			frozen.Thaw()
			return on, func() { c.Settle(t) }
		}},
	)
}
