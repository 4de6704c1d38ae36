package pubsub_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// newerCodec returns a codec that writes messages as the next version of the program does.
func newerCodec() *wireformat.Codec {
	return wireformat.New(wireformat.WithUpcaster(wireformat.TypeMessageNew, 1, func(map[string]json.RawMessage) error { return nil }))
}

// newerLog makes a rig append with another codec.
func (r *rig) newerLog(codec *wireformat.Codec) {
	r.t.Helper()
	log, err := eventlog.Open(r.t.Context(), r.client, codec, eventlog.Config{Keys: r.keys})
	if err != nil {
		r.t.Fatal(err)
	}
	r.log = log
}

// TestNewerEvents_GoToTheMemberThatReadsThem runs an old and a new version of one group side by side while the new one appends. It guards against
// dead letters of the old one.
func TestNewerEvents_GoToTheMemberThatReadsThem(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 4).plainly(plain)
		r.send(1, chats(16)...)
		e := newEffects()
		var mu sync.Mutex
		by := make(map[string]int)
		handle := func(version string) pubsub.Handler {
			return e.around(func(context.Context, ports.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				by[version]++
				return nil
			})
		}
		config := beginning(r.config("g"))
		config.OnPoison = delivery.Park
		config.CoolDown = time.Minute
		old := config
		old.Counters = &group.Counters{}
		r.start(old, handle("old"))
		until(t, "the old version delivers", func() bool { return e.all(r) })

		r.newerLog(newerCodec())
		r.send(2, chats(16)...) // no member can read these
		until(t, "every chat waits and is named", func() bool {
			list, err := r.groups().List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			blocked := 0
			for _, partition := range list[0].Partitions {
				blocked += partition.Blocked
				for _, chat := range partition.Longest {
					if chat.Seq != 2 || chat.Reason != groups.BlockedNewer || !strings.Contains(chat.Error, `"message:new" v2`) {
						t.Fatalf("blocked: %+v", chat)
					}
				}
			}
			return blocked == 16
		})
		if n := old.Counters.BlockedNewer.Load(); n != 16 {
			t.Errorf("the gauge is at %d", n)
		}

		r.newerLog(wireformat.New())
		r.send(1, "old-kind") // events that the old version can read are delivered meanwhile
		until(t, "other chats flow", func() bool { return e.done("old-kind") == 1 })

		fresh := config
		fresh.Codec, fresh.Counters = newerCodec(), &group.Counters{}
		r.start(fresh, handle("new"))
		e.complete(r)
		r.newerLog(newerCodec())
		r.send(5, chats(16)...)
		e.complete(r)
		e.once(t)
		if n := len(r.letters("g")); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		if by["new"] != 16*7 {
			t.Errorf("handler starts are %v", by)
		}
		until(t, "nothing is left blocked", func() bool {
			list, err := r.groups().List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left := 0
			for _, partition := range list[0].Partitions {
				left += partition.Blocked + partition.Failing + partition.Parked + partition.Behind
			}
			return left == 0 && old.Counters.BlockedNewer.Load()+fresh.Counters.BlockedNewer.Load() == 0
		})
	})
}

// TestNewerEvents_ComeBackAfterTheCoolDown runs two old versions, which offer a partition to each other, until one of them is upgraded.
func TestNewerEvents_ComeBackAfterTheCoolDown(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		r.newerLog(newerCodec())
		r.send(2, "c")
		r.newerLog(wireformat.New())
		e := newEffects()
		config := beginning(r.config("g"))
		config.CoolDown = 300 * time.Millisecond
		r.start(config, e.around(nothing))
		r.start(config, e.around(nothing))
		until(t, "both have offered the partition, more than once", func() bool { return r.counters.Offered.Load() >= 4 })
		r.send(20, "d", "e")
		until(t, "other chats flow", func() bool { return e.done("d") == 20 && e.done("e") == 20 })
		config.Codec = newerCodec()
		r.start(config, e.around(nothing))
		e.complete(r)
		r.idle("g")
		if n := len(r.letters("g")); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// TestUnknownCoreTypes_Wait adds an event to the log whose type only a later version of the core knows.
func TestUnknownCoreTypes_Wait(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Start(t), 1).plainly(plain)
		r.send(2, "c")
		r.send(1, "d")
		ctx := t.Context()
		poll := strings.Replace(r.storedJSON("c", 1), `"message:new"`, `"message:poll"`, 1)
		if err := r.client.LSet(ctx, r.partitions[0].Base+"c:0", 0, poll).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.client.XTrimMaxLen(ctx, r.partitions[0].Stream, 0).Err(); err != nil { // the events are read from the log
			t.Fatal(err)
		}
		e := newEffects()
		config := beginning(r.config("g"))
		config.Retry = delivery.RetryPolicy{First: 10 * time.Millisecond, Max: 20 * time.Millisecond}
		r.start(config, e.around(nothing))
		until(t, "the chat waits", func() bool {
			l := r.partition("g")
			return l.Blocked == 1 && l.Longest[0].Reason == groups.BlockedNewer && strings.Contains(l.Longest[0].Error, `"message:poll"`)
		})
		until(t, "the other chat flows", func() bool { return e.done("d") == 1 })
		if n := len(r.letters("g")); n != 0 || e.done("c") != 0 {
			t.Errorf("%d dead letters, %d events are handled", n, e.done("c"))
		}
	})
}

// TestForeignEntriesOfUnknownTypes_AreDeadLetters checks that unknown types on the stream of other programs do not wait.
func TestForeignEntriesOfUnknownTypes_AreDeadLetters(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		c := newCarrier(t).plainly(plain)
		publisher, err := newPublisher(c.client)
		if err != nil {
			t.Fatal(err)
		}
		for typ, payload := range map[string]string{
			"message:pin": `{"chatId":"c"}`,
			"message:new": `{"eventId":"e","type":"message:new","v":99,"timestamp":"2026-01-02T03:04:05Z","chatId":"c"}`,
		} {
			msg := message.NewMessage(typ, []byte(payload))
			msg.Metadata.Set(wireformat.MetaType, typ)
			if err := publisher.Publish(c.partitions[len(c.partitions)-1].Stream, msg); err != nil {
				t.Fatal(err)
			}
		}
		c.run("g", c.handlers(map[string]pubsub.Handler{pubsub.AnyType: nothing}))
		until(t, "they are dead letters", func() bool { return len(c.letters("g")) == 2 })
		if n := c.counters.Offered.Load(); n != 0 {
			t.Errorf("%d partitions were offered", n)
		}
	})
}
