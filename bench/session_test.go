package bench

import (
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// BenchmarkSessionGet is the look-up of a session, beside a bare EVALSHA that reads a string and a field of the same sizes and gives them back,
// by one caller and by 64, with the processor time that each costs Redis.
func BenchmarkSessionGet(b *testing.B) {
	const users, n = 1000, 20_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	tokens := make([]app.SessionToken, users)
	records, hashes := make([]string, users), make([]string, users)
	for i := range tokens {
		user := domain.UserID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4b-%012d", i))
		opened, err := core.Sessions.Open(b.Context(), app.OpenSession{User: user, Device: domain.Device{ID: "phone", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", IP: "192.0.2.1"}})
		if err != nil {
			b.Fatal(err)
		}
		tokens[i] = opened.Token
		keys, err := client.Keys(b.Context(), "session:"+string(user)+":*").Result()
		if err != nil || len(keys) != 1 {
			b.Fatal(keys, err)
		}
		records[i], hashes[i] = "{bare}"+keys[0], "{bare}:"+string(user)
		client.Set(b.Context(), records[i], client.Get(b.Context(), keys[0]).Val(), 0)
		client.HSet(b.Context(), hashes[i], "f", client.HGet(b.Context(), "cc:sessions:"+string(user), string(opened.ID)).Val())
	}
	script := goredis.NewScript(`return {1, redis.call('GET', KEYS[1]), 'f', redis.call('HGET', KEYS[2], 'f')}`)
	sides := []struct {
		name string
		do   func(ctx context.Context, i int) error
	}{
		{"get", func(ctx context.Context, i int) error {
			_, err := core.Sessions.Get(ctx, tokens[i%users])
			return err
		}},
		{"bare EVALSHA", func(ctx context.Context, i int) error {
			return script.Run(ctx, client, []string{records[i%users], hashes[i%users]}, "0123456789012345678901234567890123456789012").Err()
		}},
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var times, costs [2][]float64
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
			b.ReportMetric(median(costs[0])/median(costs[1]), "×EVALSHA/cpu")
		})
	}
}
