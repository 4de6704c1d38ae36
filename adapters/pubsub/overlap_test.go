package pubsub_test

import (
	"context"
	"testing"
	"time"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestOverlap_RedeliveredAfterALeaseThatEndsEarly guards against an owner that cannot know yet that its lease has ended. It starts handlers for
// events that are appended after the next owner has acquired the partition, and the next owner delivers them as new.
func TestOverlap_RedeliveredAfterALeaseThatEndsEarly(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		clock := func(t *testing.T, r *rig) { // as if set forward: lease and heartbeat have expired
			err := r.client.HSet(t.Context(), r.partitions[0].Base+"g:state:g", "until", 1).Err()
			if err == nil {
				err = r.client.Del(t.Context(), r.partitions[0].Base+"g:members:g").Err()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, test := range map[string]struct {
			end   func(t *testing.T, r *rig)
			again bool
		}{
			"clock set forward": {clock, true},
			"rebuild": {func(t *testing.T, r *rig) {
				clock(t, r)
				if err := r.groups().Rebuild(t.Context(), "g"); err != nil {
					t.Fatal(err)
				}
			}, true},
			"repair": {func(t *testing.T, r *rig) {
				clock(t, r)
				if err := r.client.HSet(t.Context(), r.partitions[0].Base+"g:chats:g", "old", 9).Err(); err != nil {
					t.Fatal(err)
				}
				found := 0
				err := r.groups().Fsck(t.Context(), redisgroup.FsckConfig{
					Backlog: r.log, Codec: wireformat.New(), Repair: true, Report: func(ports.Contradiction) error { found++; return nil },
				})
				if err != nil || found == 0 {
					t.Fatalf("%d contradictions, %v", found, err)
				}
			}, true},
			"an owner between them that released": {func(t *testing.T, r *rig) {
				clock(t, r)
				between := r.start(r.config("g"), nothing)
				r.reading("g")
				between.stop()
			}, true},
			"released": {nil, false},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, redistest.Shared(t), 1).plainly(plain)
				config := beginning(r.config("g"))
				config.Lease, config.Drain, config.Finish = time.Minute, time.Second, time.Second
				first := r.start(config, nothing)
				r.send(1, "old")
				r.idle("g")
				if test.end == nil {
					first.stop()
				} else {
					first.crash()
					test.end(t, r)
				}
				deliveries := make(chan ports.Delivery, 8)
				r.start(r.config("g"), func(_ context.Context, d ports.Delivery) error {
					deliveries <- d
					return nil
				})
				r.reading("g")
				r.send(1, "new")
				d := receive(t, deliveries)
				for d.ID.Chat == "old" { // again, after a rebuild
					d = receive(t, deliveries)
				}
				if d.Redelivered != test.again || d.Attempt != 1 {
					t.Errorf("the next owner delivers a new event as %+v, want redelivered: %v", d, test.again)
				}
			})
		}
	})
}

// TestOverlap_Ends checks that the overlap ends with the earlier owner's lease, counted from the takeover: events that are appended later are new.
func TestOverlap_Ends(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	r.start(beginning(r.config("g")), nothing).crash()
	deliveries := make(chan ports.Delivery, 8)
	r.start(r.config("g"), func(_ context.Context, d ports.Delivery) error {
		deliveries <- d
		return nil
	})
	until(t, "an event is new", func() bool {
		r.send(1, "c")
		return !receive(t, deliveries).Redelivered
	})
}
