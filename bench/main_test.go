package bench

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

func TestMain(m *testing.M) {
	if users, err := strconv.Atoi(os.Getenv(beatsOf)); err == nil { // this is a child of BenchmarkSweep
		beats(users)
	}
	if address := os.Getenv(feedsAt); address != "" { // this is a child of BenchmarkFeeds
		readFeeds(address)
	}
	if directory := os.Getenv(natsIn); directory != "" { // this is a child of natsPeer
		serveNATS(directory)
	}
	redistest.Main(m)
}

const rounds = 5 // of every side, in turns; figures are medians

// content makes a message's event about 256 bytes long.
const content = "The tomatoes are ripe."

func start(b *testing.B, args ...string) (*redistest.Server, goredis.UniversalClient) {
	b.Helper()
	server := redistest.Start(b, args...)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), PoolSize: 128, MaxRetries: -1})
	b.Cleanup(func() { _ = client.Close() })
	return server, client
}

func open(b *testing.B, server *redistest.Server, config chatcore.Config) *chatcore.Core {
	b.Helper()
	config.Redis.URL = server.URL()
	config.Logger = slog.New(slog.DiscardHandler)
	core, err := chatcore.New(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = core.Close() })
	return core
}

// chats creates n chats of one member.
func chats(b *testing.B, core *chatcore.Core, n int) []domain.ChatID {
	b.Helper()
	all := make([]domain.ChatID, n)
	for i := range all {
		all[i] = domain.ChatID(chatID(i))
	}
	together(b, 32, n, func(ctx context.Context, i int) error {
		_, err := core.Chats.Create(ctx, domain.Create{Chat: all[i], Actor: "ada", Title: "Garden"})
		return err
	})
	return all
}

// together makes n calls by a number of concurrent callers, and returns the time that they took.
func together(b *testing.B, callers, n int, do func(ctx context.Context, i int) error) time.Duration {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(b.Context(), int(i)); err != nil {
					cause := err // err itself would be allocated for each call
					failed.Store(&cause)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return took
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(p*float64(len(sorted)-1))]
}

// cpu returns the processor time that Redis has used, in seconds.
func cpu(b *testing.B, client goredis.UniversalClient) float64 {
	b.Helper()
	return info(b, client, "cpu", "used_cpu_user") + info(b, client, "cpu", "used_cpu_sys")
}

func info(b *testing.B, client goredis.UniversalClient, section, name string) float64 {
	b.Helper()
	text, err := client.Info(b.Context(), section).Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("INFO %s has no %s", section, name)
	return 0
}

// perCall returns the processor time of Redis for each of n calls, in microseconds.
func perCall(b *testing.B, client goredis.UniversalClient, do func(), n int) float64 {
	b.Helper()
	before := cpu(b, client)
	do()
	return 1e6 * (cpu(b, client) - before) / float64(n)
}

// allocations returns the allocations of the process for each of the n calls that do makes.
func allocations(n int, do func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// allocationsAlone reports the allocations of a call by one caller. It makes as many calls before, whatever -benchtime is.
func allocationsAlone(b *testing.B, call func(ctx context.Context, i int) error) {
	b.Helper()
	const n = 4_000
	all := func() { together(b, 1, n, call) }
	var found []float64
	for all(); b.Loop(); {
		for range rounds {
			found = append(found, allocations(n, all))
		}
	}
	b.ReportMetric(median(found), "allocs/call")
}

// calls returns how often a command was called.
func calls(b *testing.B, client goredis.UniversalClient, command string) float64 {
	b.Helper()
	text, err := client.Info(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			number, _, _ := strings.Cut(rest, ",")
			n, err := strconv.ParseFloat(number, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}
