package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// BenchmarkBatch measures the cost of an event to Redis in batches of a given size, without the use case around it, by the channels on which the events
// are announced. "heard" has one subscriber to the channels of all partitions.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{1, 8, 32, 64, 128} {
		for _, announced := range []struct {
			name   string
			config eventlog.Config
			heard  bool
		}{
			{"legacy", eventlog.Config{Announce: true}, false},
			{"both", eventlog.Config{Announce: true, AnnouncePartitions: true}, false},
			{"both, heard", eventlog.Config{Announce: true, AnnouncePartitions: true}, true},
			{"partition", eventlog.Config{AnnouncePartitions: true}, false},
			{"partition, heard", eventlog.Config{AnnouncePartitions: true}, true},
		} {
			b.Run(fmt.Sprint(size, "/", announced.name), func(b *testing.B) { benchmarkBatch(b, size, announced.config, announced.heard) })
		}
	}
}

func benchmarkBatch(b *testing.B, size int, config eventlog.Config, heard bool) {
	_, client := start(b)
	var err error
	if config.Keys, err = keyspace.New("", 16, false); err != nil {
		b.Fatal(err)
	}
	log, err := eventlog.Open(b.Context(), client, wireformat.New(), config)
	if err != nil {
		b.Fatal(err)
	}
	if heard {
		channels := make([]string, 16)
		for p := range channels {
			channels[p] = config.Keys.Log().Live(p)
		}
		discardMessages(b, client, channels)
	}
	const n = 20_000
	message := func(i int) ports.Append {
		chat := domain.ChatID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4b-%012d", i%1000))
		id := domain.MessageID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4c-%012d", i))
		e := domain.MessageNew{Chat: chat, Message: id, Sender: "ada", Content: content, At: time.Now()}
		return ports.Append{
			Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID(id), Event: e, Moves: domain.Moves(e)}},
			Conditions: []domain.Condition{{Entity: domain.ChatEntity()}, {Entity: domain.MemberEntity("ada")}, {Entity: domain.MessageEntity(id)}},
			EndsTyping: "ada",
		}
	}
	before, began, events := cpu(b, client), time.Now(), 0
	for b.Loop() {
		for range n / size {
			batch := make([]ports.Append, size)
			for i := range batch {
				batch[i] = message(events)
				events++
			}
			if _, err := log.AppendBatch(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(1e6*(cpu(b, client)-before)/float64(events), "µs-of-Redis-CPU/event")
	b.ReportMetric(float64(events)/time.Since(began).Seconds(), "events/s")
}

// discardMessages subscribes to channels until the benchmark ends.
func discardMessages(b *testing.B, client goredis.UniversalClient, channels []string) {
	b.Helper()
	subscription := client.Subscribe(b.Context(), channels...)
	for range channels { // the confirmations
		if _, err := subscription.Receive(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			if _, err := subscription.Receive(context.Background()); err != nil {
				return
			}
		}
	})
	b.Cleanup(func() {
		_ = subscription.Close()
		running.Wait()
	})
}
