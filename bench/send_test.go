package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkSend measures the send use case with 64 callers and 1,000 chats. Beside it are the stock publisher's bare publish of the same bytes and
// bare XADDs of the same entries. It reports the processor time that each costs Redis.
func BenchmarkSend(b *testing.B) {
	const callers, n = 64, 40_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 1000)
	payload, metadata := sample(b, core, client, all[0])
	publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	sides := map[string]func(ctx context.Context, i int) error{
		"send": func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
			return err
		},
		"stock publish": func(_ context.Context, _ int) error {
			msg := message.NewMessage(watermill.NewUUID(), payload)
			msg.Metadata.Set("type", "message:new")
			return publisher.Publish("stock", msg)
		},
		"bare XADD": func(ctx context.Context, _ int) error {
			return client.XAdd(ctx, &goredis.XAddArgs{Stream: "bare", Values: []any{
				"_watermill_message_uuid", watermill.NewUUID(), "metadata", metadata, "payload", payload,
			}}).Err()
		},
	}
	rates, costs := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for name, do := range sides {
				before := cpu(b, client)
				took := together(b, callers, n, do)
				rates[name] = append(rates[name], n/took.Seconds())
				costs[name] = append(costs[name], n/(cpu(b, client)-before))
			}
		}
	}
	for name := range sides {
		b.Logf("%-14s %7.0f/s, %7.0f/s of Redis CPU", name, median(rates[name]), median(costs[name]))
	}
	b.ReportMetric(median(rates["send"]), "sends/s")
	b.ReportMetric(median(rates["send"])/median(rates["stock publish"]), "×stock")
	b.ReportMetric(median(costs["send"])/median(costs["bare XADD"]), "×XADD/cpu")
}

// sample returns the bytes that a send adds to the stream: the payload and the metadata.
func sample(b *testing.B, core *chatcore.Core, client goredis.UniversalClient, chat domain.ChatID) (payload, metadata []byte) {
	b.Helper()
	if _, err := core.Chats.Send(b.Context(), domain.Send{Chat: chat, Actor: "ada", Content: content}); err != nil {
		b.Fatal(err)
	}
	streams, err := client.Keys(b.Context(), "message-delivery-stream*").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, stream := range streams {
		for _, entry := range client.XRevRangeN(b.Context(), stream, "+", "-", 1).Val() {
			if entry.Values["chat"] == string(chat) {
				return []byte(entry.Values["payload"].(string)), []byte(entry.Values["metadata"].(string))
			}
		}
	}
	b.Fatal("the message is on no stream")
	return nil, nil
}

// BenchmarkSendAlone measures one caller's send beside a bare EVALSHA round trip of the same script with the same arguments.
func BenchmarkSendAlone(b *testing.B) {
	const n = 4_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 100)
	var ours, bare []float64
	times := func(do func(i int) error) float64 {
		took := make([]float64, n)
		for i := range n {
			began := time.Now()
			if err := do(i); err != nil {
				b.Fatal(err)
			}
			took[i] = float64(time.Since(began).Nanoseconds())
		}
		return median(took)
	}
	scripts := recorded(b, server, all)
	for b.Loop() {
		for round := range rounds {
			ours = append(ours, times(func(i int) error {
				_, err := core.Chats.Send(b.Context(), domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
				return err
			}))
			bare = append(bare, times(func(i int) error {
				return client.Do(b.Context(), scripts(fmt.Sprintf("%d-%d", round, i), i)...).Err()
			}))
		}
	}
	b.Logf("send %.1f µs, bare EVALSHA %.1f µs", median(ours)/1e3, median(bare)/1e3)
	b.ReportMetric(median(ours)/1e3, "µs-p50")
	b.ReportMetric(median(ours)/median(bare), "×EVALSHA")
}

// BenchmarkSendAllocations counts the allocations of a send: of one caller, and of 64 callers that share batches.
func BenchmarkSendAllocations(b *testing.B) {
	const n = 4_000
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 100)
	send := func(ctx context.Context, i int) error {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
		return err
	}
	allocationsAlone(b, send)
	var shared []float64
	for range rounds {
		shared = append(shared, allocations(n, func() { together(b, 64, n, send) }))
	}
	b.ReportMetric(median(shared), "allocs/call-of-64")
}
