package bench

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/child"
	"chatcore/tests/redistest"
)

// heartbeat returns the measured calls: a heartbeat of a known device, one of a new device, a bare EVALSHA of the same script with the same
// arguments, and one of a script that does nothing with them.
func heartbeat(b *testing.B, server *redistest.Server, client goredis.UniversalClient) map[string]func(ctx context.Context, i int) error {
	b.Helper()
	const users = 1000
	core := open(b, server, chatcore.Config{})
	names := make([]domain.UserID, users)
	for i := range names {
		names[i] = beating(i)
	}
	nothing, err := goredis.NewScript("return 0").Load(b.Context(), client).Result()
	if err != nil {
		b.Fatal(err)
	}
	evalsha, trivial := heartbeats(b, server, names), heartbeats(b, server, names)
	for _, call := range trivial {
		call[1] = nothing
	}
	var fresh atomic.Int64
	sides := map[string]func(ctx context.Context, i int) error{
		"known": func(ctx context.Context, i int) error {
			return core.Presence.Heartbeat(ctx, names[i%users], "phone", "")
		},
		"comes": func(ctx context.Context, _ int) error {
			return core.Presence.Heartbeat(ctx, domain.UserID(fmt.Sprintf("fresh-%d", fresh.Add(1))), "phone", "")
		},
		"evalsha": func(ctx context.Context, i int) error { return client.Do(ctx, evalsha[i%users]...).Err() },
		"trivial": func(ctx context.Context, i int) error { return client.Do(ctx, trivial[i%users]...).Err() },
	}
	together(b, 8, users, sides["known"])
	before := calls(b, client, "evalsha")
	together(b, 8, users, sides["known"])
	if n := calls(b, client, "evalsha") - before; n != users {
		b.Fatalf("%d heartbeats took %.0f round trips", users, n)
	}
	return sides
}

// BenchmarkHeartbeat measures 64 callers' heartbeats, with the processor time that each costs Redis.
func BenchmarkHeartbeat(b *testing.B) {
	const callers, n = 64, 40_000
	server, client := start(b)
	sides := heartbeat(b, server, client)
	took, costs := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for name, do := range sides {
				var d time.Duration
				costs[name] = append(costs[name], perCall(b, client, func() { d = together(b, callers, n, do) }, n))
				took[name] = append(took[name], n/d.Seconds())
			}
		}
	}
	for name := range sides {
		b.Logf("%-8s %7.0f/s, %5.2f µs of Redis CPU", name, median(took[name]), median(costs[name]))
	}
	b.ReportMetric(median(took["evalsha"])/median(took["known"]), "×EVALSHA")
	b.ReportMetric(median(took["trivial"])/median(took["known"]), "×trivial")
	b.ReportMetric(median(costs["known"])/median(costs["trivial"]), "×trivial/cpu")
}

// BenchmarkHeartbeatAlone measures one caller's heartbeats, as the median of calls that take turns.
func BenchmarkHeartbeatAlone(b *testing.B) {
	const n = 10_000
	server, client := start(b)
	sides := heartbeat(b, server, client)
	took := map[string][]float64{}
	for b.Loop() {
		for i := range n {
			for name, do := range sides {
				began := time.Now()
				if err := do(b.Context(), i); err != nil {
					b.Fatal(err)
				}
				took[name] = append(took[name], float64(time.Since(began).Nanoseconds())/1e3)
			}
		}
	}
	for name := range sides {
		b.Logf("%-8s %7.1f µs", name, median(took[name]))
	}
	b.ReportMetric(median(took["known"])/median(took["evalsha"]), "×EVALSHA")
	b.ReportMetric(median(took["known"])/median(took["trivial"]), "×trivial")
	b.ReportMetric(median(took["comes"])/median(took["trivial"]), "×trivial(comes)")
}

// heartbeats records a known device's heartbeat, and returns the same call for each user.
func heartbeats(b *testing.B, server *redistest.Server, users []domain.UserID) [][]any {
	b.Helper()
	proxy := listen(b, server.Addr())
	core, err := chatcore.New(b.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://" + proxy.addr}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	for range 2 { // the first one is a transition
		if err := core.Presence.Heartbeat(b.Context(), "template", "phone", ""); err != nil {
			b.Fatal(err)
		}
	}
	call := proxy.last("evalsha", "template")
	all := make([][]any, len(users))
	for i, user := range users {
		all[i] = make([]any, len(call))
		for k, arg := range call {
			all[i][k] = strings.ReplaceAll(arg, "template", string(user))
		}
	}
	return all
}

// BenchmarkHeartbeatAllocations counts the allocations of a known device's heartbeat.
func BenchmarkHeartbeatAllocations(b *testing.B) {
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	allocationsAlone(b, func(ctx context.Context, _ int) error { return core.Presence.Heartbeat(ctx, "user", "phone", "") })
}

const (
	beatsOf    = "BENCH_BEATS_OF" // number of users whose heartbeats a child sends to REDIS_URL
	beatEvery  = 30 * time.Second
	beatRhythm = 10 * time.Millisecond
)

// BenchmarkSweep measures the cost of sweeping while 100,000 users are online, whose devices send heartbeats from another process: the share of a
// core that this process uses, which does nothing else, and that of Redis, as the difference between times with and without. With -short there are
// 10,000 users.
func BenchmarkSweep(b *testing.B) {
	users, watched := 100_000, beatEvery/2 // all rounds together are longer than it takes to renew each user's keys
	if testing.Short() {
		users, watched = 10_000, 2*time.Second
	}
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	together(b, 64, users, func(ctx context.Context, i int) error { return core.Presence.Heartbeat(ctx, beating(i), "phone", "") })
	beat(b, server, users)
	var mine, alone, swept []float64
	for b.Loop() {
		for range rounds {
			_, redis := shares(b, client, watched)
			alone = append(alone, redis)
			sweeping(b, server, func() {
				own, redis := shares(b, client, watched)
				mine, swept = append(mine, own), append(swept, redis)
			})
		}
	}
	b.Logf("Redis %.2f %% of a core with heartbeats alone, %.2f %% with sweeping", alone, swept)
	b.ReportMetric(median(mine), "%core")
	b.ReportMetric(median(swept)-median(alone), "%core-redis")
	b.ReportMetric(median(alone), "%core-redis(heartbeats)")
}

func beating(i int) domain.UserID { return domain.UserID(fmt.Sprintf("user-%d", i)) }

// shares returns the shares of a core that this process and Redis use for a while, in percent.
func shares(b *testing.B, client goredis.UniversalClient, watched time.Duration) (mine, redis float64) {
	b.Helper()
	before, used, began := cpu(b, client), own(b), time.Now()
	<-time.NewTimer(watched).C
	took := time.Since(began).Seconds()
	return 100 * (own(b) - used) / took, 100 * (cpu(b, client) - before) / took
}

// sweeping calls do while a core sweeps.
func sweeping(b *testing.B, server *redistest.Server, do func()) {
	b.Helper()
	core := open(b, server, chatcore.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	if err := core.Start(ctx); err != nil {
		b.Fatal(err)
	}
	do()
	cancel()
	if err := core.Wait(); err != nil {
		b.Fatal(err)
	}
}

// beat starts a child that sends every user's heartbeats until the benchmark ends.
func beat(b *testing.B, server *redistest.Server, users int) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", beatsOf, users), "REDIS_URL="+server.URL())
	cmd.Stderr = os.Stderr
	process, err := child.Start(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { process.End(syscall.SIGKILL, time.Second) })
}

// beats is the main function of that child.
func beats(users int) {
	ctx := context.Background()
	core, err := chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: os.Getenv("REDIS_URL")}})
	if err != nil {
		log.Fatal(err)
	}
	due := make(chan int, users)
	for range 8 {
		go func() {
			for i := range due {
				if err := core.Presence.Heartbeat(ctx, beating(i), "phone", ""); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	began, sent := time.Now(), 0
	for range time.Tick(beatRhythm) {
		for want := int(time.Since(began) * time.Duration(users) / beatEvery); sent < want; sent++ {
			due <- sent % users
		}
	}
}

// BenchmarkMassExpiry lets the devices of 10,000 users expire at once. It measures how long it takes until all of them are published as offline, and
// how long heartbeats of another user take meanwhile.
func BenchmarkMassExpiry(b *testing.B) {
	const users, life = 10_000, 5 * time.Second
	var took, slowest, usual []float64
	for b.Loop() {
		server, client := start(b)
		config := chatcore.Config{Presence: chatcore.PresenceConfig{HeartbeatTTL: life}}
		core := open(b, server, config)
		pubsub := client.Subscribe(b.Context(), "user:status")
		told := pubsub.Channel(goredis.WithChannelSize(4 * users))
		together(b, 64, users, func(ctx context.Context, i int) error { return core.Presence.Heartbeat(ctx, beating(i), "phone", "") })
		<-time.NewTimer(life).C // after the last heartbeat
		probe := func(until <-chan struct{}) (times []float64) {
			for {
				select {
				case <-until:
					return times
				case <-time.After(time.Millisecond):
				}
				began := time.Now()
				if err := core.Presence.Heartbeat(b.Context(), "other", "phone", ""); err != nil {
					b.Error(err)
				}
				times = append(times, float64(time.Since(began).Microseconds())/1e3)
			}
		}
		quiet, end := context.WithTimeout(b.Context(), time.Second)
		usual = append(usual, probe(quiet.Done())...)
		end()
		all := make(chan struct{})
		var wg sync.WaitGroup
		var times []float64
		wg.Go(func() { times = probe(all) })
		began := time.Now()
		sweeping(b, server, func() {
			for n := 0; n < users; {
				if msg := <-told; strings.Contains(msg.Payload, `"status":"offline"`) {
					n++
				}
			}
			took = append(took, time.Since(began).Seconds())
			close(all)
		})
		wg.Wait()
		slowest = append(slowest, percentile(times, 1))
		b.Logf("all told in %.2f s; %d heartbeats of another took %.2f ms (median), %.2f ms (99 %%), %.2f ms at most; before, %.2f, %.2f and %.2f ms",
			took[len(took)-1], len(times), median(times), percentile(times, 0.99), percentile(times, 1), median(usual), percentile(usual, 0.99), percentile(usual, 1))
		_ = pubsub.Close()
	}
	b.ReportMetric(median(took), "s")
	b.ReportMetric(median(slowest), "ms-slowest")
}

// own returns the processor time that this process has used, in seconds.
func own(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
