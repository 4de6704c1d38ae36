package eventlog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/embedded"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestClock_Server opens a log on a server with a wrong clock, and moves that clock.
func TestClock_Server(t *testing.T) {
	server := miniredis.RunT(t)
	embedded.Identify(server)
	ahead := func(d time.Duration) time.Time {
		at := time.Now().Add(d)
		server.SetTime(at)
		return at
	}
	at := ahead(time.Hour)
	log := rig.Open(t, rig.Connect(t, "redis://"+server.Addr()), rig.NewKeys(t, 4))
	if now := log.Clock().Now(); now.Before(at) || now.After(at.Add(wait.Limit)) {
		t.Errorf("the log's clock says %v, Redis's %v", now, at)
	}
	log.Watch(t.Context())
	t.Cleanup(log.Close)
	at = ahead(3 * time.Hour)
	wait.Until(t, "the log's clock to follow Redis's forward", func() bool { return !log.Clock().Now().Before(at) })
	at = ahead(-24 * time.Hour)
	wait.Until(t, "the log's clock to follow Redis's far back", func() bool { return log.Clock().Now().Before(at.Add(time.Hour)) })
}

// TestClock_Sleep waits by the log's clock.
func TestClock_Sleep(t *testing.T) {
	clock := rig.Open(t, rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)).Clock()
	until := clock.Now().Add(20 * time.Millisecond)
	if err := clock.Sleep(t.Context(), until); err != nil || clock.Now().Before(until) {
		t.Errorf("it sleeps until %v instead of %v: %v", clock.Now(), until, err)
	}
}

// TestClock_Cluster checks that one server provides the time of all partitions: the master of the first one.
func TestClock_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	keys := rig.ClusterKeys(t)
	for range 8 { // each opening samples once; a random node would not be the same one eight times
		rig.Open(t, rig.Connect(t, cluster.URL()), keys)
	}
	asked := 0
	for i := range cluster.Masters {
		stats := cluster.Client(t, i).Info(t.Context(), "commandstats").Val()
		if strings.Contains(stats, "cmdstat_time:calls=") {
			asked++
			if !strings.Contains(stats, "cmdstat_time:calls=8,") {
				t.Errorf("master %d: %s", i, stats)
			}
		}
	}
	if asked != 1 {
		t.Errorf("%d masters were asked for the time", asked)
	}
}
