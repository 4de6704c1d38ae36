package bench

import (
	"os"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/ports"
)

// BenchmarkLimit is one caller's check of a limit beside a bare EVALSHA of the same script, and beside one that only counts.
func BenchmarkLimit(b *testing.B) {
	const n, per = 4_000, time.Hour
	server, client := start(b)
	core := open(b, server, chatcore.Config{Limits: map[string]app.Limit{
		"window": {Rate: 1_000_000_000, Per: per}, "gcra": {Algorithm: ports.GCRA, Rate: 1_000_000_000, Per: per},
	}})
	if _, err := core.Limits.Allow(b.Context(), "window", "ada"); err != nil { // loads the script
		b.Fatal(err)
	}
	source, err := os.ReadFile("../adapters/redis/script/limit.lua")
	if err != nil {
		b.Fatal(err)
	}
	same := goredis.NewScript(string(source))
	bare := goredis.NewScript("local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n")
	if err := bare.Load(b.Context(), client).Err(); err != nil {
		b.Fatal(err)
	}
	allow := func(kind string) func() error {
		return func() error {
			_, err := core.Limits.Allow(b.Context(), kind, "ada")
			return err
		}
	}
	sides := map[string]func() error{
		"window": allow("window"),
		"gcra":   allow("gcra"),
		"same": func() error {
			return same.EvalSha(b.Context(), client, []string{"same"}, 1_000_000_000, per.Milliseconds(), 1).Err()
		},
		"incr": func() error { return bare.EvalSha(b.Context(), client, []string{"bare"}, per.Milliseconds()).Err() },
	}
	took := map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for side, do := range sides {
				one := make([]float64, n)
				for i := range n {
					began := time.Now()
					if err := do(); err != nil {
						b.Fatal(err)
					}
					one[i] = float64(time.Since(began).Nanoseconds())
				}
				took[side] = append(took[side], median(one))
			}
		}
	}
	for side := range sides {
		b.Logf("%-6s %.1f µs", side, median(took[side])/1e3)
	}
	b.ReportMetric(median(took["window"])/1e3, "µs-window")
	b.ReportMetric(median(took["window"])/median(took["same"]), "×EVALSHA")
	b.ReportMetric(median(took["window"])/median(took["incr"]), "×INCR")
	b.ReportMetric(median(took["gcra"])/median(took["incr"]), "gcra×INCR")
}
