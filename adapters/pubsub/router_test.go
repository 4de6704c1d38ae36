package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestRouter_MixedGroups runs groups of Watermill handlers, of plain functions and of batch handlers on one router. A deleted group ends alone, and the
// router ends with the last group.
func TestRouter_MixedGroups(t *testing.T) {
	for name, last := range map[string]string{"the last group is deleted": "", "the router is stopped": "plain-1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				handled := make(map[string]*atomic.Int64)
				var names []string
				add := func(name string, add func(c pubsub.SubscriberConfig, n *atomic.Int64) error) {
					handled[name] = &atomic.Int64{}
					names = append(names, name)
					b.check(add(b.config(name, group.Config{}), handled[name]))
				}
				for i := range 2 {
					add(fmt.Sprint("watermill-", i), func(c pubsub.SubscriberConfig, n *atomic.Int64) error {
						return b.router.AddGroup(pubsub.Topic, c, func(*message.Message) error { n.Add(1); return nil })
					})
					add(fmt.Sprint("batch-", i), func(c pubsub.SubscriberConfig, n *atomic.Int64) error {
						c.Batch = func(_ context.Context, all []*ports.ChatBatch) {
							for _, chat := range all {
								chat.Done = len(chat.Deliveries)
								n.Add(int64(chat.Done))
							}
						}
						return b.router.AddCalls(pubsub.Topic, c, nil)
					})
					add(fmt.Sprint("plain-", i), func(c pubsub.SubscriberConfig, n *atomic.Int64) error {
						return b.router.AddCalls(pubsub.Topic, c, group.Calls(func(context.Context, ports.Delivery) error { n.Add(1); return nil }))
					})
				}
				ended := b.start()
				want := make(map[string]int64)
				for i, gone := range names {
					b.send("c", 3)
					b.pass(time.Second)
					for j, name := range names {
						if j >= i {
							want[name] += 3
						}
						if n := handled[name].Load(); n != want[name] {
							t.Errorf("with %d groups gone %s has handled %d of %d", i, name, n, want[name])
						}
					}
					if len(ended) > 0 {
						t.Fatal("the router has ended")
					}
					if gone == last {
						break
					}
					b.check(b.groups.Delete(t.Context(), gone))
					b.pass(10 * time.Second)
				}
				if last != "" {
					b.cancel()
				}
				if err := <-ended; !errors.Is(err, groups.ErrGroupDeleted) {
					t.Errorf("the router ended with %v", err)
				}
				<-b.router.Stopping()
				b.cancel()
			})
		})
	}
}

// TestRouter_LostLogEndsAllGroups checks that any other reason than the deletion of a group ends the router: while its groups run, and while one of them
// still joins.
func TestRouter_LostLogEndsAllGroups(t *testing.T) {
	for name, early := range map[string]bool{"while all run": false, "while another joins": true} {
		t.Run(name, func(t *testing.T) {
			ways(t, func(t *testing.T, plain bool) {
				synctest.Test(t, func(t *testing.T) {
					b := newBubble(t)
					var lost atomic.Bool
					lost.Store(early)
					for _, name := range []string{"lost", "other"} {
						config := b.config(name, group.Config{})
						if name == "lost" {
							config.Stores = lostStores{b.groups, &lost}
						} else {
							config.Stores = memgroup.WithFaults(b.groups, func(c memgroup.Call) memgroup.Fault {
								return map[string]memgroup.Fault{"Create": {Delay: time.Second}}[c.Method]
							})
						}
						if plain {
							b.check(b.router.AddCalls(pubsub.Topic, config, group.Calls(nothing)))
						} else {
							b.check(b.router.AddGroup(pubsub.Topic, config, func(*message.Message) error { return nil }))
						}
					}
					ended := b.start()
					b.pass(time.Second)
					lost.Store(true)
					b.pass(time.Minute)
					if len(ended) == 0 {
						t.Error("the router runs on")
					}
					b.cancel()
					if err := <-ended; !errors.Is(err, ports.ErrLogLost) {
						t.Errorf("the router ended with %v", err)
					}
				})
			})
		})
	}
}

// lostStores have lost their log since lost was set.
type lostStores struct {
	groups.Stores
	lost *atomic.Bool
}

type lostStore struct {
	groups.Store
	lost *atomic.Bool
}

func (s lostStores) Store(name string) groups.Store { return lostStore{s.Stores.Store(name), s.lost} }

func (s lostStore) Heartbeat(ctx context.Context, member string, ttl time.Duration, declined []groups.Partition, coolDown time.Duration) (groups.Members, error) {
	if s.lost.Load() {
		return groups.Members{}, ports.ErrLogLost
	}
	return s.Store.Heartbeat(ctx, member, ttl, declined, coolDown)
}
