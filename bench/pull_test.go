package bench

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"chatcore"
	"chatcore/consume"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// BenchmarkPull consumes events of 1,000 chats through one stream of Consume over loopback, with the loop of package consume and 64 deliveries in flight. The
// whole server is in the process, and Redis beside it.
func BenchmarkPull(b *testing.B) {
	const n = 60_000
	server, _ := start(b)
	config := chatcore.Config{Log: chatcore.LogConfig{Partitions: 4}}
	config.Redis.URL, config.Logger = server.URL(), slog.New(slog.DiscardHandler)
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
	all := chats(b, core, 1000)
	if _, err := core.Definitions().Create(b.Context(), groups.Definition{Group: "pull", Kind: groups.KindPull}); err != nil {
		b.Fatal(err)
	}
	url := "http://" + serveAPI(b, core)
	for b.Loop() {
		b.StopTimer()
		together(b, 64, n, func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
			return err
		})
		handled := newCount(n)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		b.StartTimer()
		before, began := cpuTime(b), time.Now()
		go func() {
			ended <- consume.Run(ctx, consume.Config{URLs: []string{url}, Group: "pull", Credit: 64, Logger: slog.New(slog.DiscardHandler)}, func(context.Context, consume.Delivery) error {
				handled.add()
				return nil
			})
		}()
		handled.wait(b, "the consumer")
		took, cpu := time.Since(began), cpuTime(b)-before
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
		b.ReportMetric(n/took.Seconds(), "deliveries/s")
		b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/delivery") // of server and consumer together
	}
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
