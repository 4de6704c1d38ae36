package bench

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"chatcore"
)

type cachedValue struct {
	ID      string   `json:"id"`
	Content string   `json:"content"`
	Users   []string `json:"users"`
}

// BenchmarkCacheHit measures a hit, beside a bare GET of the same bytes and beside one that also decodes them.
func BenchmarkCacheHit(b *testing.B) {
	const n = 2000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	value := cachedValue{ID: "m-1", Content: content, Users: []string{"ada", "ben", "cyd"}}
	cached, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "bench:"}, func(context.Context, string) (cachedValue, error) { return value, nil })
	if err != nil {
		b.Fatal(err)
	}
	if _, err := cached.Get(b.Context(), "a"); err != nil {
		b.Fatal(err)
	}
	sides := []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"hit", func(ctx context.Context) error {
			_, err := cached.Get(ctx, "a")
			return err
		}},
		{"bare GET", func(ctx context.Context) error { return client.Get(ctx, "bench:a").Err() }},
		{"GET, decoded", func(ctx context.Context) error {
			raw, err := client.Get(ctx, "bench:a").Bytes()
			if err != nil {
				return err
			}
			var v cachedValue
			return json.Unmarshal(raw, &v)
		}},
	}
	took, allocations := make([][]float64, len(sides)), make([]float64, len(sides))
	for b.Loop() {
		for range rounds {
			for i, side := range sides {
				began := time.Now()
				for range n {
					if err := side.do(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				took[i] = append(took[i], float64(time.Since(began).Nanoseconds())/n)
			}
		}
		for i, side := range sides {
			allocations[i] = testing.AllocsPerRun(100, func() { _ = side.do(b.Context()) })
		}
	}
	for i, side := range sides {
		ratios := make([]float64, len(took[i]))
		for round := range ratios {
			ratios[round] = took[i][round] / took[1][round]
		}
		b.Logf("%-14s %6.1f µs, %.2f × a bare GET, %.0f allocations", side.name, median(took[i])/1000, median(ratios), allocations[i])
	}
}
