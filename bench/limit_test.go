package bench

import (
	"fmt"
	"testing"
	"time"

	"chatcore/domain"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/ports"
)

// BenchmarkLimit measures one caller's check of a limit, and of both limits of a send. Beside each is a bare EVALSHA of the same script with the same
// arguments, and beside all a script that only counts.
func BenchmarkLimit(b *testing.B) {
	const n, per = 4_000, time.Hour
	server, client := start(b)
	limits := map[string]app.Limit{
		"window": {Rate: 1_000_000_000, Per: per}, "gcra": {Algorithm: ports.GCRA, Rate: 1_000_000_000, Per: per},
		app.LimitSend: {Rate: 1_000_000_000, Per: per}, app.LimitSendInChat: {Algorithm: ports.GCRA, Rate: 1_000_000_000, Per: per},
	}
	core := open(b, server, chatcore.Config{Limits: chatcore.LimitsConfig{Rates: limits}})
	counting := goredis.NewScript("local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n")
	if err := counting.Load(b.Context(), client).Err(); err != nil {
		b.Fatal(err)
	}
	// The proxy records the commands that a core sends to Redis.
	proxy := listen(b, server.Addr())
	recorded, err := chatcore.New(b.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://" + proxy.addr}, Limits: chatcore.LimitsConfig{Rates: limits}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = recorded.Close() }()
	if _, err := recorded.Chats.Create(b.Context(), domain.Create{Chat: "c", Actor: "both"}); err != nil {
		b.Fatal(err)
	}
	if _, err := recorded.Chats.Send(b.Context(), domain.Send{Chat: "c", Actor: "both", Content: content}); err != nil {
		b.Fatal(err)
	}
	same := func(text string) func() error {
		var args []any
		for _, arg := range proxy.last("evalsha", text) {
			args = append(args, arg)
		}
		if len(args) == 0 {
			b.Fatalf("nothing was asked of %s", text)
		}
		return func() error { return client.Do(b.Context(), args...).Err() }
	}
	sides := map[string]func() error{"both, same": same("send-in-chat"), "counting": func() error {
		return counting.EvalSha(b.Context(), client, []string{"bare"}, per.Milliseconds()).Err()
	}}
	for _, kind := range []string{"window", "gcra"} {
		if _, err := recorded.Limits.Allow(b.Context(), kind, "ada"); err != nil {
			b.Fatal(err)
		}
		sides[kind] = func() error {
			_, err := core.Limits.Allow(b.Context(), kind, "ada")
			return err
		}
		sides[kind+", same"] = same(kind + ":ada")
	}
	took := map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for side, do := range sides {
				one := make([]float64, n)
				for i := range n {
					began := time.Now()
					if err := do(); err != nil {
						b.Fatal(err)
					}
					one[i] = float64(time.Since(began).Nanoseconds())
				}
				took[side] = append(took[side], median(one))
			}
		}
	}
	for side := range sides {
		b.Logf("%-12s %.1f µs", side, median(took[side])/1e3)
	}
	for _, kind := range []string{"window", "gcra"} {
		b.ReportMetric(median(took[kind])/median(took[kind+", same"]), kind+"×EVALSHA")
		b.ReportMetric(median(took[kind])/median(took["counting"]), kind+"×INCR")
	}
	b.ReportMetric(median(took["both, same"])/median(took["counting"]), "both×INCR")
}

// BenchmarkSendWithLimits measures one caller's send without limits and with both of its limits, in turns.
func BenchmarkSendWithLimits(b *testing.B) {
	const n = 4_000
	server, _ := start(b)
	limits := map[string]app.Limit{
		app.LimitSend: {Rate: 1_000_000_000, Per: time.Hour}, app.LimitSendInChat: {Algorithm: ports.GCRA, Rate: 1_000_000_000, Per: time.Hour},
	}
	free, limited := open(b, server, chatcore.Config{}), open(b, server, chatcore.Config{Limits: chatcore.LimitsConfig{Rates: limits}})
	all := chats(b, free, 100)
	took := map[*chatcore.Core][]float64{}
	for b.Loop() {
		for range rounds {
			for _, core := range []*chatcore.Core{free, limited} {
				one := make([]float64, n)
				for i := range n {
					began := time.Now()
					if _, err := core.Chats.Send(b.Context(), domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content}); err != nil {
						b.Fatal(err)
					}
					one[i] = float64(time.Since(began).Nanoseconds())
				}
				took[core] = append(took[core], median(one))
			}
		}
	}
	b.Log(fmt.Sprintf("without %.1f µs, with both limits %.1f µs", median(took[free])/1e3, median(took[limited])/1e3))
	b.ReportMetric((median(took[limited])-median(took[free]))/1e3, "µs-limits")
}
