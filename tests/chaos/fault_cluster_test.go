package chaos

import (
	"fmt"
	"testing"
	"time"

	"chatcore/tests/redistest"
)

const (
	killMaster   = "kill master"
	freezeMaster = "freeze master" // it may answer reads when it goes on, though it is no longer the master
)

// onCluster are the attacks on a Cluster with replicas, some of which need an election.
func onCluster(t *testing.T, c *redistest.Cluster, watches *clocks) []attack {
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
			watches.electable()
			c.Failover(t, i)
			return on, nil
		}},
		attack{killMaster, func(d dice) (string, func()) {
			i, on := shard(d)
			watches.electable()
			killed := c.KillMaster(t, i)
			return on, func() {
				d.between(0, time.Second)
				killed.Restart(t)
				c.Settle(t)
			}
		}},
		attack{freezeMaster, func(d dice) (string, func()) {
			i, on := shard(d)
			watches.electable()
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
