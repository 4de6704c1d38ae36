package bench

import (
	"context"
	"fmt"
	"testing"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkSendInThread measures sends of 64 callers in 1,000 chats, in turns: plain ones, replies in a thread of each chat, and messages that mention five members. It
// reports the processor time that each costs Redis, as a multiple of a plain send's.
func BenchmarkSendInThread(b *testing.B) {
	const callers, n, mentioned = 64, 20_000, 5
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 1000)
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
	names := []string{"plain", "reply", "mentions"}
	sends := map[string]func(i int) domain.Send{
		"plain":    func(int) domain.Send { return domain.Send{} },
		"reply":    func(i int) domain.Send { return domain.Send{Thread: roots[i%len(roots)]} },
		"mentions": func(int) domain.Send { return domain.Send{Mentions: users} },
	}
	rates, costs := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for _, name := range names {
				before := cpu(b, client)
				took := together(b, callers, n, func(ctx context.Context, i int) error {
					send := sends[name](i)
					send.Chat, send.Actor, send.Content = all[i%len(all)], "ada", content
					_, err := core.Chats.Send(ctx, send)
					return err
				})
				rates[name] = append(rates[name], n/took.Seconds())
				costs[name] = append(costs[name], (cpu(b, client)-before)/n)
			}
		}
	}
	for _, name := range names {
		b.Logf("%-9s %7.0f/s, %5.1f µs of Redis CPU", name, median(rates[name]), 1e6*median(costs[name]))
	}
	b.ReportMetric(median(costs["reply"])/median(costs["plain"]), "×plain-reply")
	b.ReportMetric(median(costs["mentions"])/median(costs["plain"]), "×plain-mentions")
}
