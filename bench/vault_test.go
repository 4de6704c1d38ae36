package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/vault/file"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// flushes is a vault that notes how old the events of journals are once they are stored.
type flushes struct {
	ports.Vault
	codec *object.Codec

	mu    sync.Mutex // guards lags
	lags  []time.Duration
	bytes map[object.Kind]int
}

// Put implements [ports.Vault].
func (f *flushes) Put(ctx context.Context, name string, body []byte) error {
	err := f.Vault.Put(ctx, name, body)
	now := time.Now()
	n, wrong := object.ParseName(name)
	if err != nil || wrong != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes[n.Kind] += len(body)
	if n.Kind != object.KindJournal {
		return nil
	}
	j, err := f.codec.DecodeJournal(n, body)
	if err != nil {
		return err
	}
	for _, b := range j.Blocks {
		for _, e := range b.Entries {
			f.lags = append(f.lags, now.Sub(time.UnixMilli(int64(e.Appended)))) //nolint:gosec // a time
		}
	}
	return nil
}

// BenchmarkVault measures sends with 64 callers and 1,000 chats, of a core that archives its log to files and of one that does not, in turns, and the time from
// an append until the event is stored. The vault decodes each journal to measure that, in the same process.
func BenchmarkVault(b *testing.B) {
	const callers, n, flush = 64, 40_000, 5 * time.Second
	server, client := start(b)
	directory, err := file.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	codec, err := object.NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	stored := &flushes{Vault: directory, codec: codec, bytes: make(map[object.Kind]int)}
	sends := make(map[string]func(ctx context.Context, i int) error)
	for name, config := range map[string]chatcore.Config{
		"archived": {Redis: chatcore.RedisConfig{Namespace: "archived"}, Vault: chatcore.VaultConfig{Store: stored, Flush: flush}},
		"plain":    {Redis: chatcore.RedisConfig{Namespace: "plain"}},
	} {
		core := open(b, server, config)
		if err := core.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		all := chats(b, core, 1000)
		sends[name] = func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
			return err
		}
		if v := core.Vault(); v != nil { // the first tails
			if err := v.Backup(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	stored.lags = nil
	rates, costs := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for name, do := range sends {
				before := cpu(b, client)
				took := together(b, callers, n, do)
				rates[name] = append(rates[name], n/took.Seconds())
				costs[name] = append(costs[name], n/(cpu(b, client)-before))
			}
		}
	}
	stored.mu.Lock()
	defer stored.mu.Unlock()
	slices.Sort(stored.lags)
	for name := range sends {
		b.Logf("%-9s %7.0f/s, %7.0f/s of Redis CPU", name, median(rates[name]), median(costs[name]))
	}
	if len(stored.lags) == 0 {
		b.Fatal("nothing was archived")
	}
	p50, p99 := stored.lags[len(stored.lags)/2], stored.lags[len(stored.lags)*99/100]
	b.Log(fmt.Sprintf("%d events journaled, lag p50 %v p99 %v, %d bytes of journals", len(stored.lags), p50, p99, stored.bytes[object.KindJournal]))
	b.ReportMetric(median(rates["archived"])/median(rates["plain"]), "×plain")
	b.ReportMetric(median(costs["archived"])/median(costs["plain"]), "×plain/cpu")
	b.ReportMetric(p99.Seconds()/flush.Seconds(), "p99/flush")
	b.ReportMetric(float64(stored.bytes[object.KindJournal])/float64(len(stored.lags)), "B/journaled")
}
