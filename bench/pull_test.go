package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"chatcore"
	"chatcore/consume"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// BenchmarkPull consumes a backlog of 1,000 chats through one stream of Consume over loopback, with the loop of package consume and 64 deliveries in flight,
// beside a typed handler in the process that consumes the same events. The whole server is in the process, and Redis beside it.
func BenchmarkPull(b *testing.B) {
	const n = 60_000 // fewer entries than the streams keep for groups that are behind
	server, _ := start(b)
	config := chatcore.Config{Log: chatcore.LogConfig{Partitions: 4}}
	config.Redis.URL, config.Logger = server.URL(), slog.New(slog.DiscardHandler)
	core := serving(b, config)
	all := chats(b, core, 1000)
	for g := range rounds {
		if _, err := core.Definitions().Create(b.Context(), groups.Definition{Group: fmt.Sprint("pull-", g), Kind: groups.KindPull}); err != nil {
			b.Fatal(err)
		}
		typed(b, config, fmt.Sprint("typed-", g), 0)
	}
	together(b, 64, n, func(ctx context.Context, i int) error {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
		return err
	})
	url := "http://" + serveAPI(b, core)
	var pulls, own, cpu []float64
	for b.Loop() {
		for g := range rounds {
			took, used := pulled(b, url, fmt.Sprint("pull-", g), n)
			pulls, cpu = append(pulls, n/took.Seconds()), append(cpu, float64(used.Microseconds())/n)
			own = append(own, n/typed(b, config, fmt.Sprint("typed-", g), n).Seconds())
		}
	}
	b.Logf("one stream %.0f/s, a handler in the process %.0f/s", pulls, own)
	b.ReportMetric(median(pulls), "deliveries/s")
	b.ReportMetric(median(cpu), "cpu-µs/delivery") // of server and consumer together
	b.ReportMetric(median(pulls)/median(own), "×handler")
}

// serving returns a core that runs until the end of the benchmark, and serves defined groups.
func serving(b *testing.B, config chatcore.Config) *chatcore.Core {
	b.Helper()
	core, err := chatcore.New(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	if err := core.SubscribeDefined(); err != nil {
		b.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	if err := core.Start(running); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stop()
		_ = core.Wait()
	})
	return core
}

// pulled consumes n events of a pull group over a stream. It returns the time that it took, and the CPU time of the process.
func pulled(b *testing.B, url, group string, n int) (took, cpu time.Duration) {
	b.Helper()
	handled := newCount(n)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, 1)
	before, began := cpuTime(b), time.Now()
	go func() {
		ended <- consume.Run(ctx, consume.Config{URLs: []string{url}, Group: group, Credit: 64, Logger: slog.New(slog.DiscardHandler)}, func(_ context.Context, d consume.Delivery) error {
			if d.Event.GetMessageNew() != nil {
				handled.add()
			}
			return nil
		})
	}()
	handled.wait(b, group)
	took, cpu = time.Since(began), cpuTime(b)-before
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	return took, cpu
}

// typed consumes n events of a group with a typed handler, and returns the time that it took.
func typed(b *testing.B, config chatcore.Config, group string, n int) time.Duration {
	b.Helper()
	core, err := chatcore.New(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	handled := newCount(n)
	if err := core.Subscribe(group, chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
		handled.add()
		return nil
	})); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	began := time.Now()
	if err := core.Start(ctx); err != nil {
		b.Fatal(err)
	}
	handled.wait(b, group)
	took := time.Since(began)
	cancel()
	if err := core.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
