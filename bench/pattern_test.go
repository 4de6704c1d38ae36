package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
)

// BenchmarkDelPattern removes all keys of a pattern, beside a few that stay, so that Redis shrinks its table meanwhile, while another client sends
// PINGs. Redis must not be blocked for more than 5 ms. It measures the slowest command by SLOWLOG, which is Redis's own time, and the slowest PING,
// which includes the machine's. Beside it, it measures PINGs for as long without other load.
func BenchmarkDelPattern(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n, " keys"), func(b *testing.B) {
			server, client := start(b, "--slowlog-log-slower-than", "100", "--slowlog-max-len", "10000")
			core := open(b, server, chatcore.Config{})
			var rates, slowest, pings, idle []float64
			for b.Loop() {
				fill(b, client, "go:", n)
				fill(b, client, "stay:", n/100)
				client.SlowLogReset(b.Context())
				worst := probe(b, client)
				began := time.Now()
				removed, err := core.Helpers.DelPattern(b.Context(), "go:*")
				took := time.Since(began)
				pings = append(pings, worst())
				if err != nil || removed != n {
					b.Fatalf("removed %d of %d: %v", removed, n, err)
				}
				rates = append(rates, float64(n)/took.Seconds())
				slowest = append(slowest, slowestCommand(b, client))
				worst = probe(b, client)
				timer := time.NewTimer(took)
				<-timer.C
				idle = append(idle, worst())
				client.FlushAll(b.Context())
			}
			b.Logf("%.0f keys/s, slowest command %.2f ms, slowest PING %.2f ms, with nothing going on %.2f ms",
				median(rates), slices.Max(slowest), slices.Max(pings), slices.Max(idle))
			b.ReportMetric(median(rates), "keys/s")
			b.ReportMetric(slices.Max(slowest), "ms-slowest-command")
			b.ReportMetric(slices.Max(pings), "ms-slowest-ping")
			b.ReportMetric(slices.Max(idle), "ms-slowest-ping-idle")
		})
	}
}

// fill creates n keys, with names and values like those of sessions.
func fill(b *testing.B, client goredis.UniversalClient, prefix string, n int) {
	b.Helper()
	const some = 10_000
	for from := 0; from < n; from += some {
		err := client.Eval(b.Context(), `for i = ARGV[2], ARGV[3] do redis.call('SET', ARGV[1] .. string.format('%012d', i), '{"user":"ada"}', 'EX', 3600) end return 1`,
			nil, prefix, strconv.Itoa(from), strconv.Itoa(min(from+some, n)-1)).Err()
		if err != nil {
			b.Fatal(err)
		}
	}
}

// probe sends PINGs until the returned function is called, which returns the longest that one took, in milliseconds.
func probe(b *testing.B, client goredis.UniversalClient) func() float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	worst := make(chan time.Duration)
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if err := client.Ping(context.WithoutCancel(ctx)).Err(); err != nil {
				b.Error(err)
				break
			}
			most = max(most, time.Since(began))
		}
		worst <- most
	}()
	return func() float64 {
		cancel()
		return float64((<-worst).Microseconds()) / 1e3
	}
}

// slowestCommand returns the longest time of a command in Redis's slow log, in milliseconds.
func slowestCommand(b *testing.B, client goredis.UniversalClient) float64 {
	b.Helper()
	slow, err := client.SlowLogGet(b.Context(), -1).Result()
	if err != nil {
		b.Fatal(err)
	}
	var most time.Duration
	for _, s := range slow {
		most = max(most, s.Duration)
	}
	return float64(most.Microseconds()) / 1e3
}
