package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
)

// sendKinds are the kinds of messages that the benchmarks below compare.
var sendKinds = []string{"plain", "reply", "mentions"}

// kindSender returns a send of each kind to chats with five members beside the sender: a plain one, a reply in a thread of the chat, and a message that mentions the five.
func kindSender(b *testing.B, core *chatcore.Core, n int) func(ctx context.Context, kind string, i int) error {
	b.Helper()
	const mentioned = 5
	all := chats(b, core, n)
	users := make([]domain.UserID, mentioned)
	for i := range users {
		users[i] = domain.UserID(fmt.Sprint("mentioned-", i))
	}
	roots := make([]domain.MessageID, len(all))
	for i, chat := range all {
		sent, err := core.Chats.Send(b.Context(), domain.Send{Chat: chat, Actor: "ada", Content: content})
		if err != nil {
			b.Fatal(err)
		}
		roots[i] = sent.MessageID
		if _, err := core.Chats.AddMembers(b.Context(), domain.AddMembers{Chat: chat, Actor: "ada", Users: users}); err != nil {
			b.Fatal(err)
		}
	}
	return func(ctx context.Context, kind string, i int) error {
		send := domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content}
		switch kind {
		case "reply":
			send.Thread = roots[i%len(roots)]
		case "mentions":
			send.Mentions = users
		}
		_, err := core.Chats.Send(ctx, send)
		return err
	}
}

// BenchmarkSendInThread measures sends of 64 callers in 1,000 chats, in turns: plain ones, replies in a thread of each chat, and messages that mention five members. It
// reports the processor time that each costs Redis, as a multiple of a plain send's.
func BenchmarkSendInThread(b *testing.B) {
	const callers, n = 64, 20_000
	server, client := start(b)
	send := kindSender(b, open(b, server, chatcore.Config{}), 1000)
	rates, costs := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for _, kind := range sendKinds {
				before := cpu(b, client)
				took := together(b, callers, n, func(ctx context.Context, i int) error { return send(ctx, kind, i) })
				rates[kind] = append(rates[kind], n/took.Seconds())
				costs[kind] = append(costs[kind], (cpu(b, client)-before)/n)
			}
		}
	}
	for _, kind := range sendKinds {
		b.Logf("%-9s %7.0f/s, %5.1f µs of Redis CPU", kind, median(rates[kind]), 1e6*median(costs[kind]))
	}
	b.ReportMetric(median(costs["reply"])/median(costs["plain"]), "×plain-reply")
	b.ReportMetric(median(costs["mentions"])/median(costs["plain"]), "×plain-mentions")
}

// BenchmarkSendInThreadAlone measures the time of the same sends by one caller, one of each kind in turns, so that other load meets all of them.
func BenchmarkSendInThreadAlone(b *testing.B) {
	const n = 15_000
	server, _ := start(b)
	send := kindSender(b, open(b, server, chatcore.Config{}), 100)
	took := map[string][]float64{}
	for b.Loop() {
		for i := range n {
			for _, kind := range sendKinds {
				began := time.Now()
				if err := send(b.Context(), kind, i); err != nil {
					b.Fatal(err)
				}
				took[kind] = append(took[kind], float64(time.Since(began).Nanoseconds())/1e3)
			}
		}
	}
	for _, kind := range sendKinds {
		b.Logf("%-9s %5.1f µs p50", kind, median(took[kind]))
	}
	b.ReportMetric(median(took["reply"])/median(took["plain"]), "×plain-reply")
	b.ReportMetric(median(took["mentions"])/median(took["plain"]), "×plain-mentions")
}
