package redis_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func clusterKeys(t *testing.T) redis.Keys {
	t.Helper()
	keys, err := redis.NewKeys("test-"+uuid.NewString(), redis.DefaultPartitions, true)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := connect(t, cluster.URL())
	t.Run("event log", func(t *testing.T) {
		porttest.EventLog(t, func(t *testing.T) porttest.Log { return open(t, client, clusterKeys(t)) })
	})
	t.Run("limits of appends", func(t *testing.T) { testTakesOnCluster(t, client, clusterKeys(t)) })
	t.Run("activity index", func(t *testing.T) { testActivityIndex(t, client, clusterKeys(t)) })
	t.Run("a slot between two nodes", func(t *testing.T) { testMigratingSlot(t, cluster, client) })
}

// testMigratingSlot appends to chats of a slot in the state MIGRATING: to a new chat, and to one of which some keys have moved. Missing keys then
// cause an error in the middle of a script.
func testMigratingSlot(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	keys := clusterKeys(t)
	log := open(t, client, keys)
	appended(t, log, created("c"))
	appended(t, log, sent("c", "m"))
	chat := "" // a key of the chat
	for key := range clusterDump(t, cluster) {
		if len(key) > 4 && key[len(key)-4:] == ":c:x" {
			chat = key
		}
	}
	if chat == "" {
		t.Fatal("the chat has no index")
	}
	before := clusterDump(t, cluster)
	end := cluster.Migrate(t, chat)
	refused := 0
	for i, a := range []ports.Append{
		sent("c", "m2"), deleted("c", "m"), // needs keys that have moved
		created(sibling(keys, "c")),
	} {
		switch _, err := log.Append(t.Context(), a); {
		case err == nil:
			t.Logf("append %d needed no missing key", i)
			before = clusterDump(t, cluster)
		case errors.Is(err, ports.ErrUnavailable):
			refused++
			if !maps.Equal(before, clusterDump(t, cluster)) {
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
	appended(t, log, sent("c", "m3"))
	appended(t, log, deleted("c", "m"))
	appended(t, log, created(sibling(keys, "c")))
}

// sibling returns a chat in the same partition.
func sibling(keys redis.Keys, chat domain.ChatID) domain.ChatID {
	for i := 0; ; i++ {
		if other := domain.ChatID(fmt.Sprintf("sibling-%d", i)); keys.Partition(other) == keys.Partition(chat) {
			return other
		}
	}
}

func clusterDump(t *testing.T, cluster *redistest.Cluster) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for i := range cluster.Masters {
		maps.Copy(all, dump(t, cluster.Client(t, i)))
	}
	return all
}
