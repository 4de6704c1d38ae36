package group_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// TestCommit_OfManyDeliveries has several windows of events on one partition. The next window is read without waiting for deliveries that could share a
// commit.
func TestCommit_OfManyDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chats, each = 1000, 10
		clock, codec := &storeClock{}, wireformat.New()
		log := memory.New(codec, clock, nil)
		stores := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock, Partitions: 1})
		var left atomic.Int64
		left.Store(chats * each)
		appended, last := make(chan struct{}), make(chan struct{})
		m, err := group.Join(t.Context(), group.Config{
			Group: "g", Store: stores.Store("g"), Partitions: stores.Partitions(), LogID: log.ID(), Backlog: stores.Backlog(), Codec: codec,
			Concurrency: 1, Logger: slog.New(slog.DiscardHandler), Counters: &group.Counters{},
		}, group.Calls(func(context.Context, ports.Delivery) error {
			<-appended
			if left.Add(-1) == 0 {
				close(last)
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { m.Run(ctx); close(ended) }()
		time.Sleep(time.Minute) // the member owns the partition
		for i := range chats * each {
			chat := domain.ChatID(fmt.Sprint("chat-", i%chats))
			e := domain.MessageNew{Chat: chat, Message: domain.MessageID(fmt.Sprint("m-", i)), Sender: "ada", Content: "hi", At: clock.Now()}
			if _, err := log.Append(t.Context(), ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e-", i)), Event: e, Moves: domain.Moves(e)}}}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		close(appended)
		<-last
		if took := time.Since(began); took > 0 {
			t.Errorf("the deliveries took %v of virtual time, in which nothing but a commit waits", took)
		}
		stop()
		<-ended
	})
}
