package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkMemory measures how much of Redis's memory chats use, with the delivery streams trimmed: a chat with its creation, a member and a message
// (events of about 256 bytes as JSON), and each further message over its content.
func BenchmarkMemory(b *testing.B) {
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	used := func() float64 {
		trim(b, client)
		return info(b, client, "memory", "used_memory")
	}
	send := func(all []domain.ChatID, times int) {
		together(b, 64, times*len(all), func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
			return err
		})
	}
	chats(b, core, 1) // loads the scripts and creates the stream keys
	send(named(b, core, "warm", 1), 1)
	b.Logf("an event takes %.0f B in its list", encoded(b, client))
	for b.Loop() {
		before := used()
		small := named(b, core, "small", 20_000)
		send(small, 1)
		one := (used() - before) / float64(len(small))
		b.ReportMetric(one, "B/chat")
		for _, size := range []int{50, 1_000, 10_000} {
			count := 200_000 / size
			bigger := named(b, core, fmt.Sprint("bigger", size), count)
			before = used()
			send(bigger, size)
			each := (used()-before)/float64(count*size) - float64(len(content))
			b.ReportMetric(each, fmt.Sprintf("B/message-in-%d", size))
		}
	}
}

func named(b *testing.B, core *chatcore.Core, prefix string, n int) []domain.ChatID {
	all := make([]domain.ChatID, n)
	for i := range all {
		all[i] = domain.ChatID(fmt.Sprintf("%s-0197b8a0-1c2d-7e3f-8a4b-%012d", prefix, i)[len(prefix)+1:])
		all[i] = domain.ChatID(prefix[len(prefix)-1:]) + all[i][1:] + domain.ChatID(fmt.Sprint(len(prefix)))
	}
	together(b, 32, n, func(ctx context.Context, i int) error {
		_, err := core.Chats.Create(ctx, domain.Create{Chat: all[i], Actor: "ada", Title: "Garden"})
		return err
	})
	return all
}

func trim(b *testing.B, client goredis.UniversalClient) {
	streams, err := client.Keys(b.Context(), "message-delivery-stream*").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, stream := range streams {
		if err := client.XTrimMaxLen(b.Context(), stream, 0).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// encoded returns the length of a message's event, without links.
func encoded(b *testing.B, client goredis.UniversalClient) float64 {
	keys, _, err := client.Scan(b.Context(), 0, "cc:*:0", 1000).Result()
	if err != nil || len(keys) == 0 {
		b.Fatal(keys, err)
	}
	entry, err := client.LIndex(b.Context(), keys[0], -1).Result()
	if err != nil {
		b.Fatal(err)
	}
	return float64(len(entry) - strings.IndexByte(entry, '{'))
}
