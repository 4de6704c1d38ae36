package tests

import (
	"context"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// started starts a core, and returns a function that stops it.
func started(t *testing.T, core *chatcore.Core) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		cancel()
		if err := core.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// delivering opens a core with a group on one partition whose handler does nothing but report.
func delivering(t *testing.T, partitions int) (server *redistest.Server, core *chatcore.Core, handled chan domain.Seq) {
	t.Helper()
	server, core = costing(t, func(config *chatcore.Config) { config.Log.Partitions = partitions })
	handled = make(chan domain.Seq)
	if err := core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		handled <- d.ID.Seq
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	return server, core, handled
}

// TestCosts_OfADelivery counts a send and its way to a typed handler: a read that waits, and the check of the entry before. Commits gather deliveries for
// 20 ms, so that most deliveries have none; TestCosts of package redisgroup counts their commands.
func TestCosts_OfADelivery(t *testing.T) {
	server, core, handled := delivering(t, 1)
	stop := started(t, core)
	defer stop()
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	deliver := func() {
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "The tomatoes are ripe."}))
		<-handled
	}
	deliver()
	wait.Until(t, "the group reads the stream alone", func() bool {
		group := must[[]chatcore.GroupState](t)(core.Groups().List(t.Context()))[0].Partitions[0]
		return group.Lag == 0 && group.Behind == 0
	})
	most := sendCommands().And(redistest.Commands{"xread": 1, "xrange": 1})
	for _, difference := range redistest.CommandsOf(t, server.Client(t), deliver).Beyond(most) {
		t.Error(difference)
	}
}

// perSecond are the commands of a member with 4 partitions while nothing happens, and of its core, including those inside scripts.
func perSecond() map[string]float64 {
	return map[string]float64{
		// heartbeats, every 500 ms, and the leases of the partitions
		"exists": 2, "zadd": 2, "zrangebyscore": 2, "zremrangebyscore": 6, "zrange": 6, "pttl": 3, "pexpire": 2, "time": 9, "set": 1,
		// each partition: commits that renew its lease, reads that wait for 500 ms, comparisons of heads with checkpoints
		"evalsha": 15, "get": 14, "hmget": 5, "hset": 5, "xlen": 6.5, "xread": 10, "xrange": 15, "xrevrange": 4, "scard": 4, "sscan": 5,
	}
}

// TestCosts_OfAnIdleMember counts the commands of four seconds. A slow machine sends fewer.
func TestCosts_OfAnIdleMember(t *testing.T) {
	t.Parallel()
	server, core, _ := delivering(t, 4)
	client := server.Client(t)
	stop := started(t, core)
	defer stop()
	heartbeats := func() int { return redistest.AllCommands(t, client)["zadd"] }
	wait.Until(t, "the member has its partitions", func() bool { return heartbeats() >= 4 })
	began, before := time.Now(), redistest.AllCommands(t, client)
	wait.Until(t, "eight heartbeats", func() bool { return heartbeats() >= before["zadd"]+8 })
	calls, took := redistest.AllCommands(t, client).Since(before), time.Since(began).Seconds()
	delete(calls, "info") // mostly of this test
	most := make(redistest.Commands)
	for name := range calls {
		most[name] = int(1.25*took*perSecond()[name]) + 3
	}
	for _, difference := range calls.Beyond(most) {
		t.Errorf("in %.1f s %s", took, difference)
	}
}
