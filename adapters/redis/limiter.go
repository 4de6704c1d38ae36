package redis

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	rate "github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// Limiter counts fixed windows where the wire contract says, in plain counters that other programs count on too, and the state of GCRA in
// keys of its own, so that neither takes the other's for its own.
type Limiter struct {
	client goredis.UniversalClient
	keys   Keys
	window *goredis.Script
	gcra   *rate.Limiter
}

var _ ports.Limiter = (*Limiter)(nil)

// NewLimiter counts under the names of keys.
func NewLimiter(client goredis.UniversalClient, keys Keys) *Limiter {
	return &Limiter{client: client, keys: keys, window: goredis.NewScript(limitSource), gcra: rate.NewLimiter(renamed{client})}
}

// renamed takes the prefix off that redis_rate puts before every key.
type renamed struct{ goredis.UniversalClient }

func (r renamed) Del(ctx context.Context, keys ...string) *goredis.IntCmd {
	return r.UniversalClient.Del(ctx, unprefixed(keys)...)
}

func (r renamed) Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	return r.UniversalClient.Eval(ctx, script, unprefixed(keys), args...)
}

func (r renamed) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *goredis.Cmd {
	return r.UniversalClient.EvalSha(ctx, sha1, unprefixed(keys), args...)
}

func unprefixed(keys []string) []string {
	for i, key := range keys { // the slice is made for the call
		keys[i] = strings.TrimPrefix(key, "rate:")
	}
	return keys
}

// Allow implements [ports.Limiter] in one round trip. Time is Redis's own.
func (l *Limiter) Allow(ctx context.Context, limit ports.Limit, n int, name ...string) (ports.Decision, error) {
	if err := ports.CheckTake(limit, n, name); err != nil {
		return ports.Decision{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Decision{}, err
	}
	if limit.Algorithm == ports.GCRA {
		return l.allowGCRA(ctx, limit, n, l.keys.gcra(name))
	}
	return l.allowWindow(ctx, limit, n, l.keys.rateLimit(name))
}

func (l *Limiter) allowWindow(ctx context.Context, limit ports.Limit, n int, key string) (ports.Decision, error) {
	reply, err := l.window.Run(ctx, l.client, []string{key}, limit.Rate, limit.Per.Milliseconds(), n).Int64Slice()
	if err != nil {
		return ports.Decision{}, unlimited(ctx, err, key)
	}
	outcome, count, left := reply[0], reply[1], time.Duration(reply[2])*time.Millisecond
	if outcome < 0 {
		return ports.Decision{}, foreignLimit(key)
	}
	d := ports.Decision{Allowed: outcome == 1, Remaining: int(max(int64(limit.Rate)-count, 0)), ResetAfter: left}
	if !d.Allowed {
		d.RetryAfter = max(left, time.Millisecond) // it ends within the present one
	}
	return d, nil
}

// allowGCRA tells what is left by the time of reset: redis_rate's own figure is cut to a whole number after its floating-point error, and
// one too low half of the time.
func (l *Limiter) allowGCRA(ctx context.Context, limit ports.Limit, n int, key string) (ports.Decision, error) {
	capacity := limit.Capacity()
	settings := rate.Limit{Rate: limit.Rate, Burst: capacity, Period: limit.Per}
	interval := limit.Per.Seconds() / float64(limit.Rate)
	full := interval * float64(capacity)
	result, err := l.gcra.AllowN(ctx, key, settings, n)
	if err == nil && (result.ResetAfter < 0 || result.ResetAfter.Seconds() > full+1) {
		// So much was never taken: the clock was set back, or the limit was a larger one. It would refuse for as long; begin anew.
		if err = l.gcra.Reset(ctx, key); err == nil {
			result, err = l.gcra.AllowN(ctx, key, settings, n)
		}
	}
	if err != nil {
		return ports.Decision{}, unlimited(ctx, err, key)
	}
	left := math.Floor((full-result.ResetAfter.Seconds())/interval + 1e-4)
	d := ports.Decision{
		Allowed: result.RetryAfter < 0, Remaining: int(min(max(left, 0), float64(capacity))), ResetAfter: max(result.ResetAfter, 0),
	}
	if !d.Allowed {
		d.RetryAfter = max(result.RetryAfter, time.Microsecond)
	}
	return d, nil
}

func foreignLimit(key string) error {
	return &ports.ForeignValueError{Key: key, Holds: "something else", For: "a limit"}
}

// unlimited translates an error of a script whose only reason to fail on a key is what that holds.
func unlimited(ctx context.Context, err error, key string) error {
	if answered(err) && hasCode(err, "WRONGTYPE", "number expected", "not an integer", "would overflow") {
		return fmt.Errorf("%w: %w", foreignLimit(key), err)
	}
	return unavailable(ctx, err)
}
