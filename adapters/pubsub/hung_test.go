package pubsub_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestHandlerTimeout_IsAFailedAttempt has handlers that observe their context: each start ends after the timeout, and the last makes a dead letter.
func TestHandlerTimeout_IsAFailedAttempt(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		var seen calls
		var last time.Duration
		handle := func(ctx context.Context, d ports.Delivery) error {
			seen.add(d)
			if d.ID.Seq == 2 {
				return nil
			}
			began := time.Now()
			<-ctx.Done()
			last = time.Since(began)
			return errors.Join(ports.ErrUnavailable, ctx.Err()) // as a port returns if its context ended during the call
		}
		inBubble(t, group.Config{Retry: delivery.RetryPolicy{Attempts: 3}}, plain, handle, 20*time.Second, func(b *bubble) {
			b.send("c", 2)
			b.pass(2 * time.Minute)
			letters := b.letters()
			if len(letters) != 1 || letters[0].Attempts != 3 || last != 20*time.Second {
				t.Errorf("dead letters %+v, the last start took %v", letters, last)
			}
			if n := len(seen.of("c")); n != 4 {
				t.Errorf("%d starts", n)
			}
		})
	})
}

// TestHungHandlers_AreNamed has a handler that ignores its context. Its chat waits, others continue, and the handler is named among the running ones.
func TestHungHandlers_AreNamed(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		for name, timeout := range map[string]time.Duration{"with a timeout": 10 * time.Second, "without": 0} {
			t.Run(name, func(t *testing.T) {
				release := make(chan struct{})
				var seen calls
				handle := func(_ context.Context, d ports.Delivery) error {
					seen.add(d)
					if d.ID.Chat == "hung" && d.ID.Seq == 1 {
						for range 90 * 60 { // a channel from outside of the bubble would stop its clock
							time.Sleep(time.Second)
							select {
							case <-release:
								return nil
							default:
							}
						}
					}
					return nil
				}
				inBubble(t, group.Config{}, plain, handle, timeout, func(b *bubble) {
					began := time.Now()
					b.send("hung", 2)
					b.send("other", 2)
					b.pass(25 * time.Second)
					if s := b.state(); s.Blocked != 0 {
						t.Errorf("after 25 s it is %+v", s)
					}
					b.pass(10 * time.Second)
					s := b.state()
					if s.Blocked != 1 || s.Longest[0].Chat != "hung" || s.Longest[0].Seq != 1 || s.Longest[0].Reason != groups.BlockedSlow ||
						s.Longest[0].Since.Sub(began).Abs() > time.Second || b.counters.BlockedSlow.Load() != 1 {
						t.Fatalf("after 35 s it is %+v", s)
					}
					b.pass(time.Hour)
					if hung, other := len(seen.of("hung")), len(seen.of("other")); hung != 1 || other != 2 {
						t.Errorf("%d starts of the chat that waits, %d of the other", hung, other)
					}
					close(release)
					b.pass(time.Minute)
					if s := b.state(); len(seen.of("hung")) != 2 || s.Blocked+s.Failing+s.Letters != 0 || b.counters.BlockedSlow.Load() != 0 {
						t.Errorf("in the end it is %+v after %d starts", s, len(seen.of("hung")))
					}
				})
			})
		}
	})
}

// TestHandlersThatDoNotReturn_HaveFailed has handlers that panic, or end their goroutine as testing.T.FailNow does.
func TestHandlersThatDoNotReturn_HaveFailed(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		var seen calls
		handle := func(_ context.Context, d ports.Delivery) error {
			seen.add(d)
			switch d.Attempt {
			case 1:
				runtime.Goexit()
			case 2:
				panic("no")
			}
			return nil
		}
		inBubble(t, group.Config{}, plain, handle, time.Minute, func(b *bubble) {
			b.send("c", 2)
			b.pass(10 * time.Second)
			found := seen.of("c")
			if len(found) != 6 || found[2].Attempt != 3 || found[2].ID.Seq != 1 || found[5].ID.Seq != 2 {
				t.Errorf("starts %+v", found)
			}
			if s := b.state(); s.Failing+s.Letters != 0 || s.Lag != 0 {
				t.Errorf("left: %+v", s)
			}
		})
	})
}
