package webhook_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/subscribers"
	"chatcore/adapters/subscribers/webhook"
	"chatcore/ports/groups"
	"chatcore/tests/wait"
)

// newRealWorld is a world with real connections.
func newRealWorld(t testing.TB) (*world, *webhook.Runner) {
	t.Helper()
	w := newWorld(t, nil)
	guard, err := webhook.NewGuard([]string{"127.0.0.1"}, true)
	if err != nil {
		t.Fatal(err)
	}
	return w, webhook.NewRunner(webhook.Config{
		Guard: guard, Keys: w.keys, Codec: w.codec, Attempts: memory.NewWebhookAttempts(clock{}), Logger: slog.New(slog.DiscardHandler),
	})
}

// BenchmarkRunner posts events of 256 chats to a local receiver, 64 at a time.
func BenchmarkRunner(b *testing.B) {
	w, r := newRealWorld(b)
	var taken atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		taken.Add(1)
	}))
	defer server.Close()
	for i := range b.N {
		w.send(fmt.Sprint("c", i%256))
	}
	d := w.definition
	hook := *d.Webhook
	hook.URL, d.Webhook, d.Concurrency = server.URL, &hook, 64
	began := time.Now()
	b.ResetTimer()
	e, err := r.Run(b.Context(), d, w.join)
	if err != nil {
		b.Fatal(err)
	}
	for taken.Load() < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "posts/s")
	if err := e.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// TestRunner_MemoryOfEndpointsThatAreDown runs 100 webhooks whose endpoints are down, and appends 25,000 events: what the webhooks hold is bounded.
func TestRunner_MemoryOfEndpointsThatAreDown(t *testing.T) {
	w, r := newRealWorld(t)
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	const endpoints = 100
	var running []subscribers.Running
	for i := range endpoints {
		d := w.definition
		hook := *d.Webhook
		d.Group = fmt.Sprint("hook", i)
		sealed, err := w.keys.Seal(d.Group, w.secret)
		if err != nil {
			t.Fatal(err)
		}
		hook.URL, hook.Secrets, d.Webhook = url, []groups.SealedSecret{sealed}, &hook
		e, err := r.Run(t.Context(), d, w.join)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, e)
	}
	down := func(n int) {
		t.Helper()
		wait.Until(t, "all endpoints down", func() bool {
			found := 0
			for _, s := range r.Statuses() {
				if s.State != webhook.Up {
					found++
				}
			}
			return found == n
		})
	}
	append1000 := func() {
		for i := range 1000 {
			w.send(fmt.Sprint("c", i%50))
		}
	}
	append1000()
	down(endpoints)
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	grow := func() (grown float64) {
		before := heap()
		for range 12 {
			append1000()
		}
		down(endpoints)
		return (heap() - before) / (1 << 20)
	}
	first, second := grow(), grow()
	t.Logf("the heap grows by %.1f MiB with 12,000 events, and by %.1f MiB with 12,000 more: %.2f MiB for each webhook", first, second, first/endpoints)
	if second > first/3 {
		t.Errorf("the heap grows by %.1f MiB with 12,000 events, and by %.1f MiB with 12,000 more", first, second)
	}
	if goroutines := runtime.NumGoroutine(); goroutines > endpoints*40 {
		t.Errorf("%d goroutines", goroutines)
	}
	for _, e := range running {
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
