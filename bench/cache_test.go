package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore"
)

type cachedValue struct {
	ID      string   `json:"id"`
	Content string   `json:"content"`
	Users   []string `json:"users"`
}

// BenchmarkCacheHit is a hit, beside a bare GET of the same bytes and beside one that also decodes them.
func BenchmarkCacheHit(b *testing.B) {
	const n = 2000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	value := cachedValue{ID: "m-1", Content: content, Users: []string{"ada", "ben", "cyd"}}
	cached, err := chatcore.CacheOf(core, chatcore.Kind{Prefix: "bench:"}, func(context.Context, string) (cachedValue, error) { return value, nil })
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

// BenchmarkMissStorm has ten thousand callers miss one value: how many loads that makes, and how long after the load the last of them has it.
func BenchmarkMissStorm(b *testing.B) {
	const callers = 10_000
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	var mu sync.Mutex
	var loads int
	var ended time.Time
	open := make(chan struct{})
	cached, err := chatcore.CacheOf(core, chatcore.Kind{Prefix: "storm:"}, func(context.Context, string) (cachedValue, error) {
		<-open
		mu.Lock()
		defer mu.Unlock()
		loads++
		ended = time.Now()
		return cachedValue{Content: content}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	var middle, last []float64
	for b.Loop() {
		for range rounds {
			before := cached.Stats().Misses
			open = make(chan struct{})
			id := fmt.Sprint(before)
			at := make([]time.Time, callers)
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					if _, err := cached.Get(b.Context(), id); err != nil {
						b.Error(err)
					}
					at[i] = time.Now()
				})
			}
			for look := time.NewTicker(time.Millisecond); cached.Stats().Misses < before+callers; <-look.C {
			}
			close(open)
			wg.Wait()
			waited := make([]float64, callers)
			most := 0.0
			for i := range at {
				waited[i] = at[i].Sub(ended).Seconds() * 1000
				most = max(most, waited[i])
			}
			middle, last = append(middle, median(waited)), append(last, most)
		}
	}
	b.Logf("%.2f loads a storm; of %d callers the median had the value %.2f ms after its load, the last %.2f ms", float64(loads)/float64(len(last)), callers, median(middle), median(last))
}
