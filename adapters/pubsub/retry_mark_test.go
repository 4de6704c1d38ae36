package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestDeadLetter_KeptThroughRetries retries a dead letter until it succeeds, under another owner each time. It keeps id, first failure and attempts.
func TestDeadLetter_KeptThroughRetries(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		for name, poison := range map[string]delivery.Poison{"skip": delivery.Skip, "park": delivery.Park} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, redistest.Shared(t), 1).plainly(plain)
				var starts atomic.Int64
				config := beginning(r.config("g"))
				config.OnPoison = poison
				const rounds = 3
				handle := func(_ context.Context, d ports.Delivery) error {
					if d.ID.Seq != 2 {
						return nil
					}
					n := starts.Add(1)
					if d.Redelivered != (n > 1) {
						t.Errorf("start %d says that it is a redelivery: %v", n, d.Redelivered)
					}
					if n <= rounds {
						return group.Permanent(fmt.Errorf("failure %d", n))
					}
					return nil
				}
				one := r.start(config, handle)
				r.send(4, "c")
				until(t, "it is a dead letter", func() bool { return len(r.letters("g")) == 1 })
				first := r.letters("g")[0]
				if first.First != "failure 1" || first.Reason != "failure 1" || !first.FailedAt.IsZero() || first.Attempts != 1 {
					t.Errorf("at first: %+v", first)
				}
				for round := 2; round <= rounds; round++ {
					sameOwner := round == 2
					if !sameOwner {
						one.stop()
					}
					if err := r.groups().Retry(t.Context(), "g", first.ID); err != nil {
						t.Fatal(err)
					}
					if !sameOwner {
						if l, err := r.groups().DeadLetter(t.Context(), "g", first.ID); err != nil || !l.Again || l.Parked || l.Attempts != round-1 {
							t.Errorf("about to be given again: %+v, %v", l, err)
						}
						one = r.start(config, handle)
					}
					until(t, "it has failed again", func() bool { l := r.letters("g"); return len(l) == 1 && !l[0].Again && l[0].Attempts == round })
					l := r.letters("g")[0]
					if l.ID != first.ID || !l.At.Equal(first.At) || l.First != "failure 1" || l.Reason != fmt.Sprint("failure ", round) || l.Attempts != round || l.FailedAt.Before(l.At) ||
						l.Parked != (poison == delivery.Park) || string(l.Payload) != string(first.Payload) {
						t.Errorf("round %d: %+v, at first %+v", round, l, first)
					}
				}
				if err := r.groups().Retry(t.Context(), "g", first.ID); err != nil {
					t.Fatal(err)
				}
				until(t, "it is gone", func() bool { l := r.partition("g"); return l.Letters+l.Parked+l.Behind == 0 && l.Lag == 0 })
				if err := r.groups().Retry(t.Context(), "g", first.ID); !errors.Is(err, groups.ErrDeadLetterNotFound) {
					t.Errorf("retried once more: %v", err)
				}
				if n := r.client.HLen(t.Context(), r.partitions[0].Base+"g:again:g").Val(); n != 0 {
					t.Errorf("%d marks of retries are left", n)
				}
			})
		}
	})
}

// TestDeadLetter_DroppedAfterRetries drops a letter that was parked and then skipped in a retry, when its chat is parked for another event. The chat
// stays where it is.
func TestDeadLetter_DroppedAfterRetries(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		config := beginning(r.config("g"))
		handle := func(_ context.Context, d ports.Delivery) error {
			if d.ID.Seq == 2 || d.ID.Seq == 4 {
				return group.Permanent(errors.New("no"))
			}
			return nil
		}
		config.OnPoison = delivery.Park
		one := r.start(config, handle)
		r.send(3, "c")
		until(t, "seq 2 is parked", func() bool { return r.partition("g").Parked == 1 })
		old := r.letters("g")[0]
		one.stop()
		if err := r.groups().Retry(t.Context(), "g", old.ID); err != nil {
			t.Fatal(err)
		}
		config.OnPoison = delivery.Skip
		one = r.start(config, handle)
		until(t, "it is skipped", func() bool {
			l := r.letters("g")
			return len(l) == 1 && !l[0].Again && !l[0].Parked && r.partition("g").Behind == 0 && r.partition("g").Lag == 0
		})
		one.stop()
		config.OnPoison = delivery.Park
		r.start(config, handle)
		r.send(2, "c")
		until(t, "seq 4 is parked", func() bool { return r.partition("g").Parked == 1 && len(r.letters("g")) == 2 })
		if err := r.groups().Drop(t.Context(), "g", old.ID); err != nil {
			t.Fatal(err)
		}
		if l := r.partition("g"); l.Parked != 1 || l.Letters != 1 || r.checkpoint("g", "c") != "3" {
			t.Errorf("after the drop: %+v, checkpoint %s", l, r.checkpoint("g", "c"))
		}
	})
}
