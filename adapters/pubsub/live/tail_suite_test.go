package live_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/redis/view"
	"chatcore/adapters/wireformat"
	"chatcore/embedded"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

type uuids struct{}

func (uuids) NewID() string { return uuid.NewString() }

func suite(t *testing.T, open func(*testing.T, rigConfig) *tailRig) {
	for name, c := range map[string]rigConfig{
		"one partition":        {announce: true},
		"several partitions":   {partitions: 5, announce: true},
		"without announcement": {partitions: 5, tail: live.TailConfig{Sweep: 20 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			porttest.Tail(t, func(t *testing.T) porttest.TailRig {
				r := open(t, c)
				return porttest.TailRig{
					Tail: r.Tail, Log: r.log, Live: live.NewBus(r.pubsub, wireformat.New(), uuids{}), Chats: view.NewUserChats(r.client, r.keys.Views()),
					LogName: r.log.ID(), Close: r.Close,
				}
			})
		})
	}
}

func TestTailSuite(t *testing.T) {
	suite(t, func(t *testing.T, c rigConfig) *tailRig { return newTailRig(t, redistest.Shared(t), c) })
}

func TestTailSuite_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	suite(t, func(t *testing.T, c rigConfig) *tailRig { return newClusterRig(t, cluster, c) })
}

func TestTailSuite_Embedded(t *testing.T) {
	server, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	o, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	suite(t, func(t *testing.T, c rigConfig) *tailRig {
		return newRigOn(t, func() goredis.UniversalClient { return goredis.NewClient(o) }, false, c)
	})
}
