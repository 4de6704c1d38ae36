package bench

import (
	"context"
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

// flushes is a vault that notes when journals were stored.
type flushes struct {
	ports.Vault

	mu       sync.Mutex // guards journals
	journals map[string]time.Time
}

// Put implements [ports.Vault].
func (f *flushes) Put(ctx context.Context, name string, body []byte) error {
	err := f.Vault.Put(ctx, name, body)
	if n, wrong := object.ParseName(name); err == nil && wrong == nil && n.Kind == object.KindJournal {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.journals[name] = time.Now()
	}
	return err
}

// lags returns how old each event of a journal was when it was stored, and the bytes of the journals.
func (f *flushes) lags(b *testing.B) (lags []time.Duration, size int) {
	b.Helper()
	codec, err := object.NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, stored := range f.journals {
		data, err := f.Get(b.Context(), name, 0, ports.WholeObject)
		if err != nil {
			b.Fatal(err)
		}
		n, _ := object.ParseName(name)
		j, err := codec.DecodeJournal(n, data)
		if err != nil {
			b.Fatal(err)
		}
		size += len(data)
		for _, block := range j.Blocks {
			for _, e := range block.Entries {
				lags = append(lags, stored.Sub(time.UnixMilli(int64(e.Appended)))) //nolint:gosec // a time
			}
		}
	}
	slices.Sort(lags)
	return lags, size
}

// BenchmarkVault measures sends with 64 callers and 1,000 chats, of a core that archives its log to files and of one that does not, in turns, and the time from
// an append until the event is stored.
func BenchmarkVault(b *testing.B) {
	const callers, n, flush = 64, 40_000, 5 * time.Second
	server, client := start(b)
	directory, err := file.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	stored := &flushes{Vault: directory, journals: make(map[string]time.Time)}
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
	clear(stored.journals)
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
	for name := range sends {
		b.Logf("%-9s %7.0f/s, %7.0f/s of Redis CPU", name, median(rates[name]), median(costs[name]))
	}
	lags, size := stored.lags(b)
	if len(lags) == 0 {
		b.Fatal("nothing was archived")
	}
	p50, p99 := lags[len(lags)/2], lags[len(lags)*99/100]
	b.Logf("%d events in %d journals, lag p50 %v p99 %v", len(lags), len(stored.journals), p50, p99)
	b.ReportMetric(median(rates["archived"])/median(rates["plain"]), "×plain")
	b.ReportMetric(median(costs["archived"])/median(costs["plain"]), "×plain/cpu")
	b.ReportMetric(p99.Seconds()/flush.Seconds(), "p99/flush")
	b.ReportMetric(float64(size)/float64(len(lags)), "B/journaled")
}
