package bench

import (
	"context"
	"fmt"
	"testing"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkHotChat measures the cost to Redis of a send, and of a load of its entities by a process without them, in a chat of 10⁶ events beside one
// of 10³.
func BenchmarkHotChat(b *testing.B) {
	const few, many, n = 1_000, 1_000_000, 20_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	fill := func(chat domain.ChatID, events int) {
		together(b, 256, events, func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: content, MessageID: domain.MessageID(fmt.Sprintf("m%d", i))})
			return err
		})
	}
	both := map[domain.ChatID]int{"few": few, "many": many}
	for chat, events := range both {
		if _, err := core.Chats.Create(b.Context(), domain.Create{Chat: chat, Actor: "ada", Title: "Garden"}); err != nil {
			b.Fatal(err)
		}
		fill(chat, events)
	}
	cold := open(b, server, chatcore.Config{Log: chatcore.LogConfig{EntityCache: -1}})
	sends, loads := map[domain.ChatID][]float64{}, map[domain.ChatID][]float64{}
	for b.Loop() {
		for range rounds {
			for chat, events := range both {
				loads[chat] = append(loads[chat], perCall(b, client, func() {
					together(b, 64, n, func(ctx context.Context, i int) error {
						_, err := cold.Queries.Message(ctx, chat, domain.MessageID(fmt.Sprintf("m%d", i*7919%events)))
						return err
					})
				}, n))
			}
			// The small chats must stay small: there are several of them, each with few sends.
			sends["many"] = append(sends["many"], perCall(b, client, func() { sendTo(b, core, "many", n) }, n))
			small := domain.ChatID(fmt.Sprint("small-", len(sends["few"])))
			if _, err := core.Chats.Create(b.Context(), domain.Create{Chat: small, Actor: "ada", Title: "Garden"}); err != nil {
				b.Fatal(err)
			}
			sends["few"] = append(sends["few"], perCall(b, client, func() { sendTo(b, core, small, few) }, few))
		}
	}
	b.Logf("send %.1f µs of Redis at 10⁶, %.1f at 10³; load %.1f and %.1f", median(sends["many"]), median(sends["few"]), median(loads["many"]), median(loads["few"]))
	b.ReportMetric(median(sends["many"])/median(sends["few"]), "×send-10³")
	b.ReportMetric(median(loads["many"])/median(loads["few"]), "×load-10³")
}

func sendTo(b *testing.B, core *chatcore.Core, chat domain.ChatID, n int) {
	together(b, 64, n, func(ctx context.Context, _ int) error {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: content})
		return err
	})
}

// BenchmarkHotMessage measures the cost to Redis of a reaction, and of reading the reactions by a process without them, for a message with 10,000
// reactions beside one with 100.
func BenchmarkHotMessage(b *testing.B) {
	const few, many, n = 100, 10_000, 2_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	if _, err := core.Chats.Create(b.Context(), domain.Create{Chat: "c", Actor: "ada", Title: "Garden"}); err != nil {
		b.Fatal(err)
	}
	join := func(users int) {
		together(b, 64, users, func(ctx context.Context, i int) error {
			_, err := core.Chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: user(i)})
			return err
		})
	}
	join(many + 20*n)
	react := func(message domain.MessageID, from, n int) {
		together(b, 64, n, func(ctx context.Context, i int) error {
			_, err := core.Chats.React(ctx, domain.React{Chat: "c", Actor: user(from + i), MessageID: message, Emoji: "👍"})
			return err
		})
	}
	for _, message := range []domain.MessageID{"few", "many"} {
		if _, err := core.Chats.Send(b.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: message, Content: content}); err != nil {
			b.Fatal(err)
		}
	}
	react("few", 0, few)
	react("many", 0, many)
	cold := open(b, server, chatcore.Config{Log: chatcore.LogConfig{EntityCache: -1}})
	costs := map[string][]float64{}
	reacted := many
	for b.Loop() {
		for round := range rounds {
			costs["react many"] = append(costs["react many"], perCall(b, client, func() { react("many", reacted, n) }, n))
			fresh := domain.MessageID(fmt.Sprintf("fresh-%d-%d", round, reacted))
			if _, err := core.Chats.Send(b.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: fresh, Content: content}); err != nil {
				b.Fatal(err)
			}
			costs["react few"] = append(costs["react few"], perCall(b, client, func() { react(fresh, reacted, n) }, n))
			reacted += n
			for name, message := range map[string]domain.MessageID{"look few": "few", "look many": "many"} {
				costs[name] = append(costs[name], perCall(b, client, func() {
					together(b, 8, 200, func(ctx context.Context, _ int) error {
						_, err := cold.Queries.Message(ctx, "c", message)
						return err
					})
				}, 200))
			}
		}
	}
	b.Logf("react: %.1f µs of Redis at 10,000, %.1f at few; look: %.1f and %.1f", median(costs["react many"]), median(costs["react few"]), median(costs["look many"]), median(costs["look few"]))
	b.ReportMetric(median(costs["react many"])/median(costs["react few"]), "×react-few")
	b.ReportMetric(median(costs["look many"])/median(costs["look few"]), "×look-few")
}

func user(i int) domain.UserID { return domain.UserID(fmt.Sprintf("user-%d", i)) }

// BenchmarkUnread measures the cost to Redis of reading an unread count in a chat of 10⁶ messages beside one of 10³, with half of the chat read.
func BenchmarkUnread(b *testing.B) {
	const few, many, n = 1_000, 1_000_000, 5_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	for chat, messages := range map[domain.ChatID]int{"few": few, "many": many} {
		if _, err := core.Chats.Create(b.Context(), domain.Create{Chat: chat, Actor: "ada", Title: "Garden"}); err != nil {
			b.Fatal(err)
		}
		if _, err := core.Chats.Add(b.Context(), domain.Add{Chat: chat, Actor: "ada", User: "ben"}); err != nil {
			b.Fatal(err)
		}
		together(b, 256, messages, func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "x", MessageID: domain.MessageID(fmt.Sprintf("m%d", i))})
			return err
		})
		if _, err := core.Chats.MarkRead(b.Context(), domain.MarkRead{Chat: chat, Actor: "ben", MessageID: domain.MessageID(fmt.Sprintf("m%d", messages/2))}); err != nil {
			b.Fatal(err)
		}
	}
	costs := map[domain.ChatID][]float64{}
	for b.Loop() {
		for range rounds {
			for _, chat := range []domain.ChatID{"few", "many"} {
				costs[chat] = append(costs[chat], perCall(b, client, func() {
					together(b, 8, n, func(ctx context.Context, _ int) error {
						_, err := core.Queries.Unread(ctx, chat, "ben")
						return err
					})
				}, n))
			}
		}
	}
	b.Logf("unread: %.1f µs of Redis at 10⁶, %.1f at 10³", median(costs["many"]), median(costs["few"]))
	b.ReportMetric(median(costs["many"])/median(costs["few"]), "×unread-10³")
}
