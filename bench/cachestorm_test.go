package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore"
)

// BenchmarkMissStorm makes many callers miss one value. It measures the number of loads, and how long after the loader's return the first, the middle
// and the last caller have the value. Beside it, as many goroutines wait for one channel and their contexts: no cache wakes them faster.
func BenchmarkMissStorm(b *testing.B) {
	for _, callers := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			var cache, bare served
			s := newStorm(b)
			for b.Loop() {
				for range rounds {
					cache.add(s.run(b, callers))
					bare.add(wake(b, callers))
				}
			}
			b.ReportMetric(float64(s.loads)/float64(len(cache.last)), "loads/storm")
			cache.report(b, "")
			bare.report(b, "bare-")
		})
	}
}

// served records how long callers waited, in milliseconds, storm by storm.
type served struct{ first, middle, last []float64 }

func (s *served) add(ended time.Time, at []time.Time) {
	slices.SortFunc(at, time.Time.Compare)
	after := func(i int) float64 { return at[i].Sub(ended).Seconds() * 1000 }
	s.first, s.middle, s.last = append(s.first, after(0)), append(s.middle, after(len(at)/2)), append(s.last, after(len(at)-1))
}

func (s *served) report(b *testing.B, prefix string) {
	b.ReportMetric(median(s.first), prefix+"first-ms")
	b.ReportMetric(median(s.middle), prefix+"median-ms")
	b.ReportMetric(median(s.last), prefix+"last-ms")
}

// storm is a cache whose loader waits until it is released.
type storm struct {
	cache *chatcore.Cache[cachedValue]
	loads int
	begun chan struct{}
	open  chan struct{}
	ended time.Time
}

func newStorm(b *testing.B) *storm {
	server, _ := start(b)
	s := &storm{begun: make(chan struct{}), open: make(chan struct{})}
	cached, err := chatcore.NewCache(open(b, server, chatcore.Config{}), chatcore.CacheConfig{Prefix: "storm:"}, func(context.Context, string) (cachedValue, error) {
		s.begun <- struct{}{}
		<-s.open
		s.loads++
		s.ended = time.Now()
		return cachedValue{Content: content}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	s.cache = cached
	return s
}

// run makes the callers miss a new value, most of them while it is loaded. It returns when its loader returned, and when each of them had the value.
func (s *storm) run(b *testing.B, callers int) (time.Time, []time.Time) {
	before := s.cache.Stats().Misses
	id, at := fmt.Sprint(before), make([]time.Time, callers)
	var wg sync.WaitGroup
	for i, ctx := range contexts(b, callers) {
		wg.Go(func() {
			if _, err := s.cache.Get(ctx, id); err != nil {
				b.Error(err)
			}
			at[i] = time.Now()
		})
	}
	<-s.begun
	for look := time.NewTicker(time.Millisecond); s.cache.Stats().Misses < before+uint64(callers); <-look.C {
	}
	<-time.After(5 * time.Millisecond) // the measured callers begin to wait a moment later
	s.open <- struct{}{}
	wg.Wait()
	return s.ended, at
}

// wake makes the callers wait for a channel or the ends of their contexts.
func wake(b *testing.B, callers int) (time.Time, []time.Time) {
	at, open := make([]time.Time, callers), make(chan struct{})
	var ready, wg sync.WaitGroup
	ready.Add(callers)
	for i, ctx := range contexts(b, callers) {
		wg.Go(func() {
			ready.Done()
			select {
			case <-open:
			case <-ctx.Done():
			}
			at[i] = time.Now()
		})
	}
	ready.Wait()
	<-time.After(5 * time.Millisecond)
	ended := time.Now()
	close(open)
	wg.Wait()
	return ended, at
}

// contexts returns one context for each caller, as requests have them.
func contexts(b *testing.B, callers int) []context.Context {
	all := make([]context.Context, callers)
	for i := range all {
		ctx, cancel := context.WithCancel(b.Context())
		b.Cleanup(cancel)
		all[i] = ctx
	}
	return all
}
