package pubsub_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// restartCommand is the argument with which this test binary asks the test process to restart its redis-server.
const restartCommand = "restart-redis"

// askForRestart connects to the process that runs the tests and waits until it has restarted its server.
func askForRestart(addr string) int {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 1
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return 1
	}
	return 0
}

// restarter restarts a server for each process that connects, one after another. It returns the command that connects.
func restarter(t *testing.T, server *redistest.Server) []string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server.Restart(t)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return []string{os.Args[0], restartCommand, listener.Addr().String()}
}

// heldBack delays the last message of the suite's TestReconnect. The suite compares the received messages with those that one of its goroutines has
// recorded as published, and does not wait for that goroutine.
type heldBack struct{ message.Subscriber }

func (h heldBack) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	const last, moment = 10_000, 300 * time.Millisecond
	in, err := h.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		seen := make(map[string]struct{})
		for msg := range in {
			seen[msg.UUID] = struct{}{}
			if len(seen) == last {
				<-time.After(moment)
			}
			out <- msg
		}
	}()
	return out, nil
}

// raced reports whether the race detector is on.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestUniversalSuite runs Watermill's suite for Pub/Subs: in strict order with one message in flight, and with many in flight.
func TestUniversalSuite(t *testing.T) {
	for name, features := range map[string]tests.Features{
		"ordered":  {GuaranteedOrder: true},
		"windowed": {},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			features.ConsumerGroups, features.Persistent = true, true
			if !raced() { // TestReconnect itself has a race: it reads variables that its goroutines still write
				features.RestartServiceCommand = restarter(t, server)
			}
			inFlight := 64
			if features.GuaranteedOrder {
				inFlight = 1
			}
			ofGroup := func(t *testing.T, name string) (message.Publisher, message.Subscriber) {
				client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, PoolSize: 32})
				t.Cleanup(func() {
					if err := client.Close(); err != nil {
						t.Errorf("the client was closed by somebody else: %v", err)
					}
				})
				publisher, err := newPublisher(client)
				if err != nil {
					t.Fatal(err)
				}
				config := group.Config{
					Group: name, Start: groups.Start{Beginning: true}, Concurrency: inFlight,
					Retry: delivery.RetryPolicy{Attempts: 1000, First: time.Millisecond, Max: 5 * time.Millisecond}, // the suite refuses one message 300 times
					Lease: time.Second, Drain: time.Second, Logger: slog.New(slog.DiscardHandler),
				}
				if !features.GuaranteedOrder {
					config.Order = delivery.Unordered
				}
				stores := redisgroup.New(redisgroup.Config{Commands: client, Blocking: client})
				subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Config: config, Stream: stores.Stream})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { // the suite does not close all of them
					if err := errors.Join(subscriber.Close(), stores.Close()); err != nil {
						t.Error(err)
					}
				})
				if strings.Contains(t.Name(), "TestReconnect") {
					return publisher, heldBack{subscriber}
				}
				return publisher, subscriber
			}
			tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) { return ofGroup(t, "universal") }, ofGroup)
		})
	}
}
