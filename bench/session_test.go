package bench

import (
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// BenchmarkSessionGet measures the look-up of a session, by one caller and by 64, with the processor time that each costs Redis: beside a bare
// EVALSHA of the same script with the same arguments, and beside a trivial script on arguments and values of the same sizes.
func BenchmarkSessionGet(b *testing.B) {
	const users, n = 1000, 20_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	tokens := make([]app.SessionToken, users)
	for i := range tokens {
		user := domain.UserID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4b-%012d", i))
		opened, err := core.Sessions.Open(b.Context(), domain.OpenSession{User: user, Device: domain.Device{ID: "phone", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", IP: "192.0.2.1"}})
		if err != nil {
			b.Fatal(err)
		}
		tokens[i] = opened.Token
	}
	same := recordedUses(b, server, tokens)
	trivial := goredis.NewScript(`return {1, redis.call('GET', KEYS[1]), redis.call('HGET', KEYS[2], 'f')}`)
	if err := trivial.Load(b.Context(), client).Err(); err != nil {
		b.Fatal(err)
	}
	small := make([][]any, users)
	for i, call := range same {
		record, hash := "{t}"+call[3].(string), "{t}"+call[4].(string)
		client.Set(b.Context(), record, client.Get(b.Context(), call[3].(string)).Val(), 0)
		for _, field := range client.HGetAll(b.Context(), call[4].(string)).Val() {
			client.HSet(b.Context(), hash, "f", field)
		}
		small[i] = append([]any{call[0], trivial.Hash(), call[2], record, hash}, call[5:]...)
	}
	bare := func(calls [][]any) func(context.Context, int) error {
		return func(ctx context.Context, i int) error { return client.Do(ctx, calls[i%users]...).Err() }
	}
	sides := []struct {
		name string
		do   func(ctx context.Context, i int) error
	}{
		{"get", func(ctx context.Context, i int) error {
			_, err := core.Sessions.Get(ctx, tokens[i%users])
			return err
		}},
		{"same script", bare(same)},
		{"trivial script", bare(small)},
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var times, costs [3][]float64
			for b.Loop() {
				for range rounds {
					for s, side := range sides {
						costs[s] = append(costs[s], perCall(b, client, func() {
							times[s] = append(times[s], together(b, callers, n/5, side.do).Seconds()*1e6/(n/5))
						}, n/5))
					}
				}
			}
			for s, side := range sides {
				b.Logf("%-14s %7.1f µs, %5.1f µs of Redis", side.name, median(times[s]), median(costs[s]))
			}
			b.ReportMetric(median(times[0])/median(times[1]), "×EVALSHA")
			b.ReportMetric(median(times[0])/median(times[2]), "×trivial")
			b.ReportMetric(median(costs[0])/median(costs[2]), "×trivial/cpu")
		})
	}
}

// BenchmarkSessionGetAllocations counts the allocations of a look-up.
func BenchmarkSessionGetAllocations(b *testing.B) {
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	opened, err := core.Sessions.Open(b.Context(), domain.OpenSession{User: "0197b8a0-1c2d-7e3f-8a4b-000000000001", Device: domain.Device{ID: "phone"}})
	if err != nil {
		b.Fatal(err)
	}
	allocationsAlone(b, func(ctx context.Context, _ int) error {
		_, err := core.Sessions.Get(ctx, opened.Token)
		return err
	})
}

// recordedUses returns the commands of session look-ups, recorded from a core.
func recordedUses(b *testing.B, server *redistest.Server, tokens []app.SessionToken) [][]any {
	b.Helper()
	proxy := listen(b, server.Addr())
	core, err := chatcore.New(b.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://" + proxy.addr}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	uses := make([][]any, len(tokens))
	for i, token := range tokens {
		session, err := core.Sessions.Get(b.Context(), token)
		if err != nil {
			b.Fatal(err)
		}
		for _, arg := range proxy.last("evalsha", string(session.User)) {
			uses[i] = append(uses[i], arg)
		}
	}
	return uses
}
