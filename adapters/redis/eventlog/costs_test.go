package eventlog_test

import (
	"fmt"
	"testing"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestCosts_OfABatch counts the commands of 32 sends in one batch, and the allocations of all of them together.
func TestCosts_OfABatch(t *testing.T) {
	const sends, partitions, most = 32, 4, 12
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, partitions))
	chats := make([]domain.ChatID, sends)
	for i := range chats {
		chats[i] = domain.ChatID(fmt.Sprint("c", i))
		rig.Appended(t, log, rig.Created(chats[i]))
	}
	n := 0
	build := func(chats []domain.ChatID) []ports.Append {
		appends := make([]ports.Append, sends)
		for i := range appends {
			n++
			appends[i] = rig.Sent(chats[i%len(chats)], domain.MessageID(fmt.Sprint("m", n)))
		}
		return appends
	}
	batch := redistest.Commands{"evalsha": 1, "mget": 1, "info": 1, "exists": 1} // the script, identities and witnesses, replication ID, types of keys
	each := redistest.Commands{"hmget": sends, "xadd": sends, "publish": sends}
	for name, test := range map[string]struct {
		chats []domain.ChatID
		want  redistest.Commands
	}{
		"one chat": {chats[:1], batch.And(each).And(redistest.Commands{"llen": 1, "rpush": 1, "hset": 1, "xlen": 1, "pubsub|numsub": 1})},
		"a chat each": {chats, batch.And(each).And(redistest.Commands{
			"llen": sends, "rpush": sends, "hset": sends, "xlen": partitions, "pubsub|numsub": partitions,
		})},
	} {
		t.Run(name, func(t *testing.T) {
			send := func() {
				outcomes, err := log.AppendBatch(t.Context(), build(test.chats))
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range outcomes {
					if o.Err != nil {
						t.Fatal(o.Err)
					}
				}
			}
			send() // Redis then has the script
			for _, difference := range redistest.CommandsOf(t, client, send).Differences(test.want) {
				t.Error(difference)
			}
			if redistest.Race {
				return
			}
			if n := testing.AllocsPerRun(50, send) - testing.AllocsPerRun(50, func() { build(test.chats) }); n > most {
				t.Errorf("%v allocations, want at most %d", n, most)
			}
		})
	}
}

// TestCosts_OfMembers counts the commands of a call that counts the members of 20 chats in 4 partitions, and of one that counts some of them.
func TestCosts_OfMembers(t *testing.T) {
	const chats, partitions = 20, 4
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, partitions))
	all, some := make([]ports.CountRequest, chats), make([]ports.CountRequest, chats)
	for i := range all {
		chat := domain.ChatID(fmt.Sprint("c", i))
		rig.Appended(t, log, rig.Created(chat))
		all[i] = ports.CountRequest{Chat: chat, Most: ports.MaxCountMembers, After: 1}
		some[i] = ports.CountRequest{Chat: chat, Users: []domain.UserID{"ada", "bob"}}
	}
	call := redistest.Commands{"evalsha": 1, "mget": 1}
	for name, test := range map[string]struct {
		requests []ports.CountRequest
		want     redistest.Commands
	}{
		"all":  {all, call.And(redistest.Commands{"hmget": 2 * chats, "hkeys": chats})},
		"some": {some, call.And(redistest.Commands{"hmget": chats, "hget": chats})}, // of a user that never was a member, the entry is looked up
	} {
		t.Run(name, func(t *testing.T) {
			count := func() {
				if _, err := log.CountMembers(t.Context(), test.requests...); err != nil {
					t.Fatal(err)
				}
			}
			count() // Redis then has the script
			for _, difference := range redistest.CommandsOf(t, client, count).Differences(test.want) {
				t.Error(difference)
			}
		})
	}
}
