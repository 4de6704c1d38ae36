package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkCold measures the bytes of an event outside of Redis, compressed in frames of 64 events of one chat as a vault keeps them, and of its index,
// which stays in Redis. Ids are random.
func BenchmarkCold(b *testing.B) {
	const n, frame, length = 20_000, 64, 1000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, n/length)
	texts := sampleTexts(b)
	together(b, 32, n, func(ctx context.Context, i int) error {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		_, err = core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", MessageID: domain.MessageID(id.String()), Content: texts[rand.IntN(len(texts))]})
		return err
	})
	compressor, err := zstd.NewWriter(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = compressor.Close() }()
	for b.Loop() {
		var events, plain, compressed, index int64
		keys := client.Scan(b.Context(), 0, "cc:*", 1000).Iterator()
		for keys.Next(b.Context()) {
			key := keys.Val()
			switch kind := client.Type(b.Context(), key).Val(); kind {
			case "list":
				entries := client.LRange(b.Context(), key, 0, -1).Val()
				events += int64(len(entries))
				for len(entries) > 0 {
					text := strings.Join(entries[:min(frame, len(entries))], "\n")
					plain += int64(len(text))
					compressed += int64(len(compressor.EncodeAll([]byte(text), nil)))
					entries = entries[min(frame, len(entries)):]
				}
			case "hash":
				index += memoryOf(b, client, key)
			}
		}
		if err := keys.Err(); err != nil {
			b.Fatal(err)
		}
		each := func(bytes int64) string { return fmt.Sprintf("%.0f", float64(bytes)/float64(events)) }
		writeTable(b, "cold", [][]string{{"bytes of an event", "encoded", "in compressed frames", "index in Redis"}, {"chatcore", each(plain), each(compressed), each(index)}})
		b.ReportMetric(float64(compressed)/float64(events), "B/event-cold")
		b.ReportMetric(float64(index)/float64(events), "B/event-index")
	}
}

func memoryOf(b *testing.B, client goredis.UniversalClient, key string) int64 {
	b.Helper()
	bytes, err := client.MemoryUsage(b.Context(), key, 0).Result()
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

// sampleTexts returns the texts of the transcript that CHATCORE_TRANSCRIPT names, or lines of docs/guide.md.
func sampleTexts(b *testing.B) []string {
	b.Helper()
	file, isTranscript := os.LookupEnv("CHATCORE_TRANSCRIPT")
	if !isTranscript {
		file = "../docs/guide.md"
	}
	page, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(string(page)) {
		text := strings.TrimSpace(line)
		if isTranscript {
			var said struct{ Text string }
			if err := json.Unmarshal([]byte(line), &said); err != nil {
				b.Fatal(err)
			}
			text = said.Text
		}
		if len(text) > 3 && len(text) < 500 {
			texts = append(texts, text)
		}
	}
	return texts
}
