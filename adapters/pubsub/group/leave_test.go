package group_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// slowReads is a store whose reads of the stream return some time after their context has ended.
type slowReads struct {
	groups.Store

	delay time.Duration
}

func (s slowReads) Next(ctx context.Context, p groups.Partition, after groups.StreamID, wait bool) (*groups.Batch, error) {
	b, err := s.Store.Next(ctx, p, after, wait)
	if ctx.Err() != nil {
		time.Sleep(s.delay)
	}
	return b, err
}

// starts passes the deliveries of a member on.
type starts chan group.Delivery

func (s starts) Handle(d group.Delivery)   { s <- d }
func (s starts) Reclaim() []group.Delivery { return nil }

// TestRun_OutcomeAfterLastCommit has a handler outlast the drain of a member whose last read is slow. Its outcome counts while a commit stores it, and not
// once the last commit is made: the next member delivers exactly what did not count.
func TestRun_OutcomeAfterLastCommit(t *testing.T) {
	const drain, finish, slow = 10 * time.Second, 5 * time.Second, time.Minute
	for name, after := range map[string]time.Duration{
		"before the end of the drain":    drain - 2*time.Second,
		"just after the last commit":     drain + time.Second,
		"long after the last commit":     drain + finish + time.Second,
		"after the end of the last read": slow + 2*time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock, codec := &storeClock{}, wireformat.New()
				log := memory.New(codec, clock, nil)
				stores := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock, Partitions: 1})
				run := func(store groups.Store) (starts, context.CancelFunc, *group.Member) {
					handed := make(starts, 8)
					m, err := group.Join(t.Context(), group.Config{
						Group: "g", Store: store, Partitions: stores.Partitions(), LogID: log.ID(), Backlog: stores.Backlog(), Codec: codec, Drain: drain, Finish: finish,
						Logger: slog.New(slog.DiscardHandler), Counters: &group.Counters{},
					}, handed)
					if err != nil {
						t.Fatal(err)
					}
					ctx, stop := context.WithCancel(t.Context())
					go m.Run(ctx)
					return handed, stop, m
				}
				handed, stop, first := run(slowReads{stores.Store("g"), slow})
				e := domain.MessageNew{Chat: "chat", Message: "m", Sender: "ada", Content: "hi", At: clock.Now()}
				if _, err := log.Append(t.Context(), ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: "e", Event: e, Moves: domain.Moves(e)}}}); err != nil {
					t.Fatal(err)
				}
				d := <-handed
				stop()
				time.Sleep(after)
				counts := d.Done(nil)
				<-first.Done()
				again, end, second := run(stores.Store("g"))
				time.Sleep(time.Minute)
				if delivered := len(again) == 1; counts == delivered {
					t.Errorf("the outcome counts: %v; the next member delivers the event: %v", counts, delivered)
				}
				end()
				<-second.Done()
			})
		})
	}
}
