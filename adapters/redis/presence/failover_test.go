package presence_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestPresenceAfterLostWrites kills each master of a Cluster in turn, so that its last writes are lost: users that came online, and others that left.
// The keys of one user are lost together, so one heartbeat restores them. The set of online users may be on another master, and Repair corrects it.
// Users that left are published as offline again once their last heartbeat would have ended.
func TestPresenceAfterLostWrites(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	client, keys := rig.Connect(t, cluster.URL()), rig.ClusterKeys(t)
	s := agedStore(t.Context(), t, client, keys, newEar(t, client))
	beatsOnce := func(users []domain.UserID) {
		t.Helper()
		for _, user := range users {
			until(t, func() bool {
				_, err := s.Heartbeat(t.Context(), user, rig.Phone, ports.Meta{})
				return err == nil
			})
		}
	}
	lost := 0
	for shard := range 3 {
		var there, gone []domain.UserID
		for i := range 20 {
			gone = append(gone, domain.UserID(fmt.Sprintf("gone-%d-%d", shard, i)))
			there = append(there, domain.UserID(fmt.Sprintf("there-%d-%d", shard, i)))
		}
		beatsOnce(gone)
		cluster.Settle(t)
		master, replica := cluster.Masters[shard], cluster.Replicas[shard][0]
		if n := master.Client(t).Wait(t.Context(), 1, wait.Limit).Val(); n != 1 {
			t.Fatal("the replica has not caught up")
		}
		replica.Freeze()
		if err := master.Client(t).ClientKillByFilter(t.Context(), "TYPE", "replica").Err(); err != nil { // no write waits for the replica in a buffer
			t.Fatal(err)
		}
		for _, user := range gone {
			if published, err := s.Leave(t.Context(), user, rig.Phone, ports.Meta{}); err != nil || published == nil {
				t.Fatalf("told %+v, error %v", published, err)
			}
		}
		beatsOnce(there)
		master.Kill()
		replica.Thaw()
		cluster.AwaitPromotion(t, shard, master)

		for i, user := range append(slices.Clone(there), gone...) {
			var status domain.Status
			until(t, func() bool {
				statuses, err := s.Statuses(t.Context(), user)
				if err == nil {
					status = statuses[0].Status
				}
				return err == nil
			})
			if (i < len(there)) != (status == domain.Online) {
				lost++
			}
		}
		beatsOnce(there)
		for _, user := range there {
			if status := statusOf(t, s, user); status != domain.Online {
				t.Errorf("shard %d: after a heartbeat %s is %d", shard, user, status)
			}
		}
		for range 3 * keyspace.DefaultPartitions {
			if _, err := s.Repair(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		if online, err := s.AreOnline(t.Context(), there...); err != nil || slices.Contains(online, false) {
			t.Errorf("shard %d: after repair %v are online, error %v", shard, online, err)
		}
		s.Forward(60 * time.Second)
		beatsOnce(there)
		s.Forward(60 * time.Second) // only the users in there have sent a heartbeat since
		for more := true; more; {
			published, again, err := s.Expire(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, status := range published {
				if status.Status != domain.Offline || slices.Contains(there, status.User) {
					t.Errorf("shard %d: told %+v", shard, status)
				}
			}
			more = again
		}
		for range 3 * keyspace.DefaultPartitions {
			if _, err := s.Repair(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		for user, err := range s.Online(t.Context()) {
			if err != nil || !slices.Contains(there, user) {
				t.Errorf("shard %d: %s is online, error %v", shard, user, err)
			}
		}
		if online, err := s.AreOnline(t.Context(), there...); err != nil || slices.Contains(online, false) {
			t.Errorf("shard %d: %v are online, error %v", shard, online, err)
		}
		master.Restart(t)
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
	t.Logf("%d statuses were lost", lost)
}

// TestEntriesAreRenewedBeforeTheyAreDue has a device send its heartbeats in time: its user never becomes due.
func TestEntriesAreRenewedBeforeTheyAreDue(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys, ctx := rig.NewKeys(t, 1), t.Context()
	s := agedStore(ctx, t, client, keys, newEar(t, client))
	for range 8 {
		now := client.Time(ctx).Val().UnixMilli()
		if due := client.ZCount(ctx, keys.Prefix()+"cc:presence-due", "-inf", fmt.Sprint(now)).Val(); due != 0 {
			t.Fatal("a user is due whose device has sent all its heartbeats")
		}
		beats(t, s, "ann", "phone")
		s.Forward(porttest.PresenceTTL().Heartbeat/3 + time.Second)
	}
}

// beforeTx calls do before the first transaction.
type beforeTx struct {
	once sync.Once
	do   func()
}

func (*beforeTx) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (*beforeTx) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (b *beforeTx) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if cmds[0].Name() == "multi" {
			b.once.Do(b.do)
		}
		return next(ctx, cmds)
	}
}

// TestAlignmentsThatOvertakeEachOther has a user leave through another process after the online status was published, and before the set of online
// users is updated.
func TestAlignmentsThatOvertakeEachOther(t *testing.T) {
	server := redistest.Shared(t)
	client, keys := rig.Connect(t, server.URL()), anyKeys(t, true) // a single server accepts the keys of a Cluster too
	others := rig.NewPresence(t, rig.Connect(t, server.URL()), keys)
	overtaken := false
	client.AddHook(&beforeTx{do: func() {
		published, err := others.Leave(t.Context(), "ann", rig.Phone, ports.Meta{})
		overtaken = err == nil && published != nil
	}})
	p := rig.NewPresence(t, client, keys)
	if published := beats(t, p, "ann", "phone"); published == nil || !overtaken {
		t.Fatalf("told %+v, overtaken: %v", published, overtaken)
	}
	if online, err := p.AreOnline(t.Context(), "ann"); err != nil || online[0] {
		t.Errorf("ann, who has left, is online: %v, error %v", online, err)
	}
}
