package redisgroup_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestStores runs the suite of consumer groups on a server.
func TestStores(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			porttest.Groups(t, func(t *testing.T) porttest.GroupsRig {
				return suiteRig(t, connect(t, server), []*goredis.Client{server.Client(t)}, partitions)
			})
		})
	}
}

// TestStores_OnACluster runs the suite on a Cluster, whose servers share the partitions.
func TestStores_OnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 2)
	porttest.Groups(t, func(t *testing.T) porttest.GroupsRig {
		user, password := redistest.Credentials()
		client := goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: []string{cluster.Masters[0].Addr(), cluster.Masters[1].Addr()}, Username: user, Password: password, ContextTimeoutEnabled: true,
		})
		t.Cleanup(func() { _ = client.Close() })
		return suiteRig(t, client, []*goredis.Client{cluster.Client(t, 0), cluster.Client(t, 1)}, 3)
	})
}

// TestStores_UnderTheLeastRights runs the suite again on a server whose user has the required commands and no others.
func TestStores_UnderTheLeastRights(t *testing.T) {
	t.Parallel()
	keys, err := keyspace.New("", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	commands := slices.DeleteFunc(health.LogRights(keys).Rules(false), func(rule string) bool { return rule[0] != '+' })
	redistest.RunUnderACL(t, append([]string{"~*", "&*"}, commands...), "TestStores", "TestCreate_At")
}

// suiteRig returns the groups of a new log, the only one on its servers.
func suiteRig(t *testing.T, client goredis.UniversalClient, nodes []*goredis.Client, partitions int) porttest.GroupsRig {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range nodes {
		check(node.FlushAll(t.Context()).Err())
	}
	keys, err := keyspace.New("", partitions, len(nodes) > 1)
	check(err)
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys})
	check(err)
	t.Cleanup(log.Close)
	config := redisgroup.Config{Commands: client, Blocking: client, Log: log, Timeout: wait.Limit}
	for _, p := range keys.Log().Partitions() {
		config.Partitions = append(config.Partitions, redisgroup.Partition{Stream: p.Stream, Base: p.Base, Number: p.Number})
	}
	all, sent := redisgroup.New(config), 0
	t.Cleanup(func() { check(all.Close()) })
	return porttest.GroupsRig{
		Stores:      all,
		PartitionOf: func(chat string) groups.Partition { return all.Partitions()[keys.Partition(domain.ChatID(chat))] },
		Append: func(chat string, n int) {
			t.Helper()
			for range n {
				sent++
				e := domain.MessageNew{Chat: domain.ChatID(chat), Message: domain.MessageID(fmt.Sprint("m", sent)), Sender: "ada", Content: "hi", At: time.UnixMilli(1764057600000)}
				a := ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", sent)), Event: e, Moves: domain.Moves(e)}}}
				_, err := log.Append(t.Context(), a)
				check(err)
			}
		},
		AppendForeign: func(p groups.Partition, e groups.Entry) {
			t.Helper()
			var values []any
			for _, field := range [][2]string{{wireformat.FieldUUID, e.UUID}, {wireformat.FieldMetadata, e.Metadata}, {wireformat.FieldPayload, string(e.Payload)}} {
				if field[1] != "" {
					values = append(values, field[0], field[1])
				}
			}
			if len(values) == 0 {
				values = []any{"x", "y"}
			}
			check(client.XAdd(t.Context(), &goredis.XAddArgs{Stream: p.Stream, Values: values}).Err())
		},
		Remove: func(p groups.Partition, ids ...groups.StreamID) {
			t.Helper()
			for _, id := range ids {
				n, err := client.XDel(t.Context(), p.Stream, id.String()).Result()
				check(err)
				if n != 1 {
					t.Fatalf("%s has no entry %s", p.Stream, id)
				}
			}
		},
		Advance: func(d time.Duration) {
			for _, node := range nodes {
				check(age(t.Context(), node, d))
			}
		},
	}
}

// age brings the ends of all leases, heartbeats and offers of a server nearer by d.
func age(ctx context.Context, node *goredis.Client, d time.Duration) error {
	keys, err := node.Keys(ctx, "*}:g:*").Result()
	if err != nil {
		return err
	}
	for _, key := range keys {
		kind, _, _ := strings.Cut(key[strings.Index(key, "}:g:")+len("}:g:"):], ":")
		switch kind {
		case "state":
			err = node.HIncrBy(ctx, key, "until", -d.Milliseconds()).Err()
		case "members", "declined":
			err = ageMembers(ctx, node, key, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func ageMembers(ctx context.Context, node *goredis.Client, key string, d time.Duration) error {
	members, err := node.ZRange(ctx, key, 0, -1).Result()
	if err != nil {
		return err
	}
	for _, member := range members {
		if err := node.ZIncrBy(ctx, key, -float64(d.Milliseconds()), member).Err(); err != nil {
			return err
		}
	}
	left, err := node.PTTL(ctx, key).Result()
	if err != nil || left <= 0 {
		return err
	}
	return node.PExpire(ctx, key, left-d).Err()
}
