package bench

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkListen measures the time from a send to the live handler of another core, at 300 sends a second that do not wait for one another, under the
// settings of Announce.
func BenchmarkListen(b *testing.B) {
	for _, announce := range []chatcore.Announce{chatcore.AnnounceBoth, chatcore.AnnouncePartition} {
		b.Run(announce.String(), func(b *testing.B) { hearSends(b, chatcore.Config{Log: chatcore.LogConfig{Announce: announce}}) })
	}
}

func hearSends(b *testing.B, config chatcore.Config) {
	const n, each = 1500, time.Second / 300
	server, _ := start(b)
	sender, listener := open(b, server, config), open(b, server, config)
	all := chats(b, sender, 100)
	arrived := make(chan time.Duration, n)
	began := make([]time.Time, n)
	var mu sync.Mutex // mu guards began
	if err := listener.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) {
		now := time.Now()
		i, err := strconv.Atoi(string(l.Event.Content))
		if err != nil {
			b.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		arrived <- now.Sub(began[i])
	})); err != nil {
		b.Fatal(err)
	}
	if err := listener.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	var p50, p99 []float64
	for b.Loop() {
		for range rounds {
			tick := time.NewTicker(each)
			for i := range n {
				<-tick.C
				go func() {
					mu.Lock()
					began[i] = time.Now()
					mu.Unlock()
					if _, err := sender.Chats.Send(b.Context(), domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: strconv.Itoa(i)}); err != nil {
						b.Error(err)
					}
				}()
			}
			tick.Stop()
			took := make([]float64, n)
			for i := range took {
				took[i] = float64(<-arrived) / float64(time.Microsecond)
			}
			p50, p99 = append(p50, percentile(took, 0.5)), append(p99, percentile(took, 0.99))
		}
	}
	b.ReportMetric(median(p50), "µs-p50")
	b.ReportMetric(median(p99), "µs-p99")
}
