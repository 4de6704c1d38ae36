package redistest_test

import (
	"strconv"
	"testing"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestAwaitPromotion_AfterALateElection is about masters that do not vote for longer than ten node timeouts, as on a busy machine.
func TestAwaitPromotion_AfterALateElection(t *testing.T) {
	t.Parallel()
	c := redistest.StartReplicatedCluster(t, 3, 1, "--cluster-require-full-coverage", "no", "--repl-ping-replica-period", "1")
	killed, replica := c.Master(t, 0), c.Replicas[0][0].Client(t)
	voters := []*redistest.Server{c.Master(t, 1), c.Master(t, 2)}
	for _, s := range voters {
		s.Freeze()
	}
	killed.Kill()
	wait.Until(t, "the replica is without its master for 13 s", func() bool {
		info, err := replica.InfoMap(t.Context(), "replication").Result()
		if err != nil {
			t.Fatal(err)
		}
		down, _ := strconv.Atoi(info["Replication"]["master_link_down_since_seconds"])
		return down >= 13
	})
	for _, s := range voters {
		s.Thaw()
	}
	c.AwaitPromotion(t, 0, killed)
}
