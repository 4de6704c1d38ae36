package group_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
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

type machine struct{}

func (machine) Now() time.Time { return time.Now() }
func (machine) Sleep(ctx context.Context, until time.Time) error {
	time.Sleep(time.Until(until))
	return nil
}

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codec := wireformat.New()
		log := memory.New(codec, machine{}, nil)
		stores := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: machine{}})
		var mu sync.Mutex
		var got []string
		calls := group.Calls(func(_ context.Context, d ports.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%s/%d/%d", d.ID.Chat, d.ID.Seq, d.Attempt))
			if d.ID.Seq == 3 && d.Attempt < 3 {
				return fmt.Errorf("no")
			}
			return nil
		})
		m, err := group.Join(t.Context(), group.Config{Group: "g", Store: stores.Store("g"), Partitions: stores.Partitions(), LogID: log.ID(), Backlog: log, Codec: codec, Start: groups.Start{Beginning: true}, Logger: slog.Default()}, calls)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go m.Run(ctx)
		for i := range 10 {
			for _, c := range []string{"a", "b"} {
				e := domain.MessageNew{Chat: domain.ChatID(c), Message: domain.MessageID(fmt.Sprint(c, i)), Sender: "x", Content: "hi", At: time.Now().UTC().Truncate(time.Millisecond)}
				if _, err := log.Append(t.Context(), ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", c, i)), Event: e, Moves: domain.Moves(e)}}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		t.Log(got)
		t.Log(stores.Idle())
		cancel()
		<-m.Done()
	})
}
