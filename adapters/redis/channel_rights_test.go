package redis_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestLeastRights_OfTheChannels subscribes to the channels of partitions and of memberships, and publishes there, as a user with the least rights.
func TestLeastRights_OfTheChannels(t *testing.T) {
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 3)
	for _, namespace := range []string{"", "shop"} {
		for _, sharded := range []bool{false, true} {
			keys, err := keyspace.New(namespace, 4, sharded)
			if err != nil {
				t.Fatal(err)
			}
			url, nodes := server.URL(), []*redistest.Server{server}
			if sharded {
				url, nodes = cluster.URL(), cluster.Masters
			}
			for _, node := range nodes {
				setUser(t, rig.Connect(t, node.URL()), health.LogRights(keys).Rules(false)...)
			}
			client := rig.Connect(t, strings.ReplaceAll(url, "redis://", "redis://core:secret@"))
			subscribe, publish := client.Subscribe, client.Publish
			hears := func(channel string) {
				t.Helper()
				subscription := subscribe(t.Context(), channel)
				defer func() { _ = subscription.Close() }()
				if _, err := subscription.Receive(t.Context()); err != nil {
					t.Fatalf("namespace %q, cluster %t: subscribe to %s: %v", namespace, sharded, channel, err)
				}
				wait.Until(t, "a message on "+channel, func() bool { // a node of a Cluster may lose it while its links to the others are new
					if err := publish(t.Context(), channel, "x").Err(); err != nil {
						t.Fatalf("namespace %q, cluster %t: publish on %s: %v", namespace, sharded, channel, err)
					}
					heard, err := subscription.ReceiveTimeout(t.Context(), time.Second)
					var network net.Error
					if err != nil && (!errors.As(err, &network) || !network.Timeout()) {
						t.Fatalf("namespace %q, cluster %t: hear on %s: %v", namespace, sharded, channel, err)
					}
					m, is := heard.(*goredis.Message)
					return is && m.Payload == "x"
				})
				if err := unsubscribe(t, subscription, sharded, channel); err != nil {
					t.Fatalf("namespace %q, cluster %t: unsubscribe from %s: %v", namespace, sharded, channel, err)
				}
			}
			hears(keys.Views().Memberships())
			hears(keys.Relays().Channel("instance"))
			if sharded {
				subscribe, publish = client.SSubscribe, client.SPublish
			}
			for p := range keys.PartitionCount() {
				hears(keys.Log().Live(p))
			}
		}
	}
}

// unsubscribe ends a subscription, and waits for the reply, which messages may precede.
func unsubscribe(t *testing.T, subscription *goredis.PubSub, sharded bool, channel string) error {
	t.Helper()
	end := subscription.Unsubscribe
	if sharded && strings.HasSuffix(channel, ":live") {
		end = subscription.SUnsubscribe
	}
	if err := end(t.Context(), channel); err != nil {
		return err
	}
	for {
		reply, err := subscription.ReceiveTimeout(t.Context(), wait.Limit)
		if _, ended := reply.(*goredis.Subscription); ended || err != nil {
			return err
		}
	}
}

// TestRights_NameEveryChannel checks the rights of a user without the channels of partitions and memberships.
func TestRights_NameEveryChannel(t *testing.T) {
	server := redistest.Start(t)
	keys, err := keyspace.New("", 4, false)
	if err != nil {
		t.Fatal(err)
	}
	rights := health.LogRights(keys)
	setUser(t, rig.Connect(t, server.URL()), slices.DeleteFunc(rights.Rules(false), func(rule string) bool { return rule == "&cc:*" })...)
	want := []string{keys.Views().Memberships(), keys.Relays().Channel(":rights")}
	for p := range keys.PartitionCount() {
		want = append(want, keys.Log().Live(p))
	}
	err = rights.Check(t.Context(), rig.Connect(t, asCore(server)))
	var missing *ports.RightsError
	if !errors.As(err, &missing) {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(missing.Channels)
	if !slices.Equal(missing.Channels, want) {
		t.Errorf("the channels %q are missing, want %q", missing.Channels, want)
	}
}
