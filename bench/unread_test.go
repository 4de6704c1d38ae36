package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
)

// groupChats is one side of growByMembers: a core with its own server and chats.
type groupChats struct {
	core   *chatcore.Core
	client goredis.UniversalClient
	chats  []domain.ChatID
}

// withMembers opens a core on a new server, with the given number of chats and of members of each. It runs the built-in subscribers if builtins is
// set.
func withMembers(b *testing.B, chats, members int, builtins bool) *groupChats {
	b.Helper()
	server, client := start(b)
	g := &groupChats{core: open(b, server, chatcore.Config{}), client: client, chats: make([]domain.ChatID, chats)}
	users := make([]domain.UserID, members-1)
	for i := range users {
		users[i] = domain.UserID(fmt.Sprint("user-", i))
	}
	for i := range g.chats {
		g.chats[i] = domain.ChatID(fmt.Sprint("room-", i))
		first := users[:min(len(users), 255)] // no command makes more members
		if _, err := g.core.Chats.Create(b.Context(), domain.Create{Chat: g.chats[i], Actor: "ada", Members: first, Title: "Garden"}); err != nil {
			b.Fatal(err)
		}
		together(b, 16, len(users)-len(first), func(ctx context.Context, k int) error {
			_, err := g.core.Chats.Add(ctx, domain.Add{Chat: g.chats[i], Actor: "ada", User: users[len(first)+k]})
			return err
		})
	}
	if !builtins {
		return g
	}
	if err := g.core.SubscribeBuiltins(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	if err := g.core.Start(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		if err := g.core.Wait(); err != nil {
			b.Error(err)
		}
	})
	g.settle(b)
	return g
}

// settle waits until the stored unread counts equal the exact ones.
func (g *groupChats) settle(b *testing.B) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		kept, err := g.core.Queries.KeptUnread(b.Context(), "user-0")
		if err != nil {
			b.Fatal(err)
		}
		exact, err := g.core.Queries.UnreadOf(b.Context(), "user-0")
		if err != nil {
			b.Fatal(err)
		}
		same := len(exact) == len(g.chats)
		for chat, n := range exact {
			same = same && kept[chat] == n
		}
		if same {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("kept are %v, exact are %v", kept, exact)
		}
	}
}

// idle waits until the built-in group has handled everything. It writes the counts of chats of more than 256 members once a minute only, so that those are
// not waited for: two intervals are enough for it to read the streams.
func (g *groupChats) idle(b *testing.B, members int) {
	b.Helper()
	if members > 256 {
		time.Sleep(2 * time.Second)
		return
	}
	g.settle(b)
}

func (g *groupChats) send(ctx context.Context, i int) error {
	_, err := g.core.Chats.Send(ctx, domain.Send{Chat: g.chats[i%len(g.chats)], Actor: "ada", Content: content})
	return err
}

// paced sends n messages, a hundred a second.
func (g *groupChats) paced(b *testing.B, n int) {
	b.Helper()
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * 10 * time.Millisecond)))
		if err := g.send(b.Context(), i); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(time.Until(began.Add(time.Duration(n) * 10 * time.Millisecond)))
}

// BenchmarkUnreadOf measures reading a user's unread counts in 200 chats, against as many reads of one chat.
func BenchmarkUnreadOf(b *testing.B) {
	const chats, calls = 200, 50
	g := withMembers(b, chats, 5, true)
	together(b, 32, 20*chats, g.send)
	for i := range chats / 2 { // in half of them some are read
		page, err := g.core.Queries.History(b.Context(), g.chats[i], domain.Span{Limit: 10})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := g.core.Chats.MarkRead(b.Context(), domain.MarkRead{Chat: g.chats[i], Actor: "user-0", MessageID: page[9].ID}); err != nil {
			b.Fatal(err)
		}
	}
	g.settle(b)
	var all, single []float64
	var redis float64
	for b.Loop() {
		for range rounds {
			redis = perCall(b, g.client, func() {
				for range calls {
					began := time.Now()
					counts, err := g.core.Queries.UnreadOf(b.Context(), "user-0")
					all = append(all, time.Since(began).Seconds()*1e3)
					if err != nil || len(counts) != chats {
						b.Fatalf("%d counts, error %v", len(counts), err)
					}
				}
			}, calls)
			began := time.Now()
			for _, chat := range g.chats {
				if _, err := g.core.Queries.Unread(b.Context(), chat, "user-0"); err != nil {
					b.Fatal(err)
				}
			}
			single = append(single, time.Since(began).Seconds()*1e3)
		}
	}
	b.Logf("200 chats: p50 %.2f ms, one by one %.2f ms, Redis %.0f µs a call", median(all), median(single), redis)
	b.ReportMetric(median(all), "ms-p50")
	b.ReportMetric(median(all)/median(single), "×single")
	b.ReportMetric(redis, "µs-redis")
}
