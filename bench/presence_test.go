package bench

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkHeartbeat is a heartbeat, of a device that is known to be there and of one that comes, beside a bare EVALSHA of a script that does nothing,
// with the processor time that each costs Redis; with one caller for the time that it takes, and with 64.
func BenchmarkHeartbeat(b *testing.B) {
	const users = 1000
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			n := 5_000 * min(callers, 8)
			server, client := start(b)
			core := open(b, server, chatcore.Config{})
			bare := goredis.NewScript("return 0")
			fresh := 0
			sides := map[string]func(ctx context.Context, i int) error{
				"known": func(ctx context.Context, i int) error {
					return core.Presence.Heartbeat(ctx, domain.UserID(fmt.Sprintf("user-%d", i%users)), "phone")
				},
				"comes": func(ctx context.Context, i int) error {
					return core.Presence.Heartbeat(ctx, domain.UserID(fmt.Sprintf("fresh-%d-%d", fresh, i)), "phone")
				},
				"bare": func(ctx context.Context, i int) error {
					return bare.Run(ctx, client, []string{fmt.Sprintf("user-%d", i%users)}).Err()
				},
			}
			together(b, callers, users, sides["known"])
			took, costs := map[string][]float64{}, map[string][]float64{}
			for b.Loop() {
				for range rounds {
					for name, do := range sides {
						fresh++
						var d time.Duration
						costs[name] = append(costs[name], perCall(b, client, func() { d = together(b, callers, n, do) }, n))
						took[name] = append(took[name], float64(d.Microseconds())*float64(callers)/float64(n))
					}
				}
			}
			for name := range sides {
				b.Logf("%-6s %7.1f µs, %5.2f µs of Redis CPU", name, median(took[name]), median(costs[name]))
			}
			b.ReportMetric(median(took["known"])/median(took["bare"]), "×bare")
			b.ReportMetric(median(costs["known"])/median(costs["bare"]), "×bare/cpu")
			b.ReportMetric(median(took["comes"])/median(took["bare"]), "×bare(comes)")
		})
	}
}

// BenchmarkSweep is what sweeping costs while 100,000 users are there: the share of a core of this process and of Redis. Nobody sends a
// heartbeat meanwhile, as in the first half of a heartbeat's life. With -short there are 10,000.
func BenchmarkSweep(b *testing.B) {
	users, watched := 100_000, 10*time.Second
	if testing.Short() {
		users, watched = 10_000, 2*time.Second
	}
	server, client := start(b)
	core := open(b, server, chatcore.Config{TTL: chatcore.TTLs{Heartbeat: 10 * time.Minute, Presence: time.Hour, UserStatus: time.Hour}})
	together(b, 64, users, func(ctx context.Context, i int) error {
		return core.Presence.Heartbeat(ctx, domain.UserID(fmt.Sprintf("user-%d", i)), "phone")
	})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	<-core.Running()
	var mine, redis []float64
	for b.Loop() {
		before, began, used := cpu(b, client), time.Now(), own(b)
		time.Sleep(watched)
		took := time.Since(began).Seconds()
		mine, redis = append(mine, 100*(own(b)-used)/took), append(redis, 100*(cpu(b, client)-before)/took)
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(median(mine), "%core")
	b.ReportMetric(median(redis), "%core-redis")
}

// own is the processor time that this process has used, in seconds.
func own(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
