package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// BenchmarkWithoutRedis measures how long calls take to fail with a CommandTimeout of 300 ms, by one caller and by 64: with a stopped Redis, whose
// port refuses, and with one that swallows its input.
func BenchmarkWithoutRedis(b *testing.B) {
	for _, away := range []string{"stopped", "silent"} {
		server := redistest.Start(b)
		proxy := redistest.StartProxy(b, server)
		url := server.URL()
		if away == "silent" {
			url = proxy.URL()
		}
		core, err := chatcore.New(b.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: url, CommandTimeout: 300 * time.Millisecond}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		all := chats(b, core, 64)
		session, err := core.Sessions.Open(b.Context(), domain.OpenSession{User: "ada"})
		if err != nil {
			b.Fatal(err)
		}
		if away == "silent" {
			proxy.Swallow(true)
		} else {
			server.Kill()
		}
		for _, call := range []struct {
			name string
			do   func(ctx context.Context, i int) error
		}{
			{"Chats.Send", func(ctx context.Context, i int) error {
				_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
				return err
			}},
			{"Helpers.Get", func(ctx context.Context, _ int) error {
				_, _, err := helpers.Get[string](ctx, core.Helpers, "k")
				return err
			}},
			{"Sessions.Get", func(ctx context.Context, _ int) error {
				_, err := core.Sessions.Get(ctx, session.Token)
				return err
			}},
		} {
			for _, callers := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", away, call.name, callers), func(b *testing.B) {
					n := 5 * callers
					took := make([]float64, n)
					for b.Loop() {
						together(b, callers, n, func(ctx context.Context, i int) error {
							began := time.Now()
							if err := call.do(ctx, i); !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrOutcomeUnknown) {
								return fmt.Errorf("it fails with %w", err)
							}
							took[i] = time.Since(began).Seconds() * 1e3
							return nil
						})
					}
					b.ReportMetric(median(took), "ms-p50")
					longest := 0.0
					for _, t := range took {
						longest = max(longest, t)
					}
					b.ReportMetric(longest, "ms-max")
				})
			}
		}
		if err := core.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDials measures how often a core connects in a second while 64 callers keep calling. The port accepts connections and closes them at once,
// as a load balancer in front of a stopped Redis does.
func BenchmarkDials(b *testing.B) {
	proxy := redistest.StartProxy(b, redistest.Start(b))
	var dials atomic.Int64
	drop := func() bool {
		dials.Add(1)
		return false
	}
	core, err := chatcore.New(b.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: proxy.URL(), CommandTimeout: 300 * time.Millisecond}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	session, err := core.Sessions.Open(b.Context(), domain.OpenSession{User: "ada"})
	if err != nil {
		b.Fatal(err)
	}
	proxy.Accept.Store(&drop)
	proxy.Cut()
	var calls, took float64
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
		var made atomic.Int64
		dials.Store(0)
		began := time.Now()
		together(b, 64, 64, func(context.Context, int) error {
			for ctx.Err() == nil {
				made.Add(1)
				_, _ = core.Sessions.Get(ctx, session.Token)
			}
			return nil
		})
		cancel()
		calls, took = float64(made.Load()), time.Since(began).Seconds()
	}
	b.ReportMetric(float64(dials.Load())/took, "dials/s")
	b.ReportMetric(calls/took, "calls/s")
}
