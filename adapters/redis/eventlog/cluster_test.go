package eventlog_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := rig.Connect(t, cluster.URL())
	t.Run("event log", func(t *testing.T) {
		porttest.EventLog(t, func(t *testing.T) porttest.Log { return rig.Open(t, client, rig.ClusterKeys(t)) })
	})
	t.Run("view of chats", func(t *testing.T) {
		porttest.ChatView(t, func(t *testing.T) porttest.ViewedLog { return rig.Open(t, client, rig.ClusterKeys(t)) })
	})
	t.Run("limits of appends", func(t *testing.T) { testTakesOnCluster(t, client, rig.ClusterKeys(t)) })
	t.Run("activity index", func(t *testing.T) { testActivityIndex(t, client, rig.ClusterKeys(t)) })
	t.Run("a slot between two nodes", func(t *testing.T) { testMigratingSlot(t, cluster, client) })
}

// testMigratingSlot appends to chats of a slot in the state MIGRATING: to a new chat, and to one of which some keys have moved. Missing keys then
// cause an error in the middle of a script.
func testMigratingSlot(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	keys := rig.ClusterKeys(t)
	log := rig.Open(t, client, keys)
	rig.Appended(t, log, rig.Created("c"))
	rig.Appended(t, log, rig.Sent("c", "m"))
	chat := "" // a key of the chat
	for key := range rig.ClusterDump(t, cluster) {
		if len(key) > 4 && key[len(key)-4:] == ":c:x" {
			chat = key
		}
	}
	if chat == "" {
		t.Fatal("the chat has no index")
	}
	before := rig.ClusterDump(t, cluster)
	end := cluster.Migrate(t, chat)
	refused := 0
	for i, a := range []ports.Append{
		rig.Sent("c", "m2"), rig.Deleted("c", "m"), // needs keys that have moved
		rig.Created(sibling(keys, "c")),
	} {
		switch _, err := log.Append(t.Context(), a); {
		case err == nil:
			t.Logf("append %d needed no missing key", i)
			before = rig.ClusterDump(t, cluster)
		case errors.Is(err, ports.ErrUnavailable):
			refused++
			if !maps.Equal(before, rig.ClusterDump(t, cluster)) {
				t.Errorf("append %d failed and left something: %v", i, err)
			}
		default:
			t.Errorf("append %d: %v", i, err)
		}
	}
	if refused == 0 {
		t.Error("nothing ran into the migration")
	}
	end()
	rig.Appended(t, log, rig.Sent("c", "m3"))
	rig.Appended(t, log, rig.Deleted("c", "m"))
	rig.Appended(t, log, rig.Created(sibling(keys, "c")))
}

// sibling returns a chat in the same partition.
func sibling(keys keyspace.Keys, chat domain.ChatID) domain.ChatID {
	for i := 0; ; i++ {
		if other := domain.ChatID(fmt.Sprintf("sibling-%d", i)); keys.Partition(other) == keys.Partition(chat) {
			return other
		}
	}
}
