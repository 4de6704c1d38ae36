package limit

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Limiter is a rate limiter. It counts fixed windows under the keys of the wire contract, in plain counters that other programs also use. The state
// of GCRA has separate keys, so that neither algorithm reads the other's values.
type Limiter struct {
	client      goredis.UniversalClient
	keys        keyspace.Limits
	window, all *goredis.Script
}

var _ ports.Limiter = (*Limiter)(nil)

// New returns a Limiter with the given keys.
func New(client goredis.UniversalClient, keys keyspace.Limits) *Limiter {
	return &Limiter{client: client, keys: keys, window: goredis.NewScript(limitSource), all: goredis.NewScript(TakeScript + limitsSource)}
}

// Allow implements [ports.Limiter] in one round trip. It uses Redis's clock.
func (l *Limiter) Allow(ctx context.Context, limit ports.Limit, n int, name ...string) (ports.Decision, error) {
	if err := ports.CheckTake(limit, n, name); err != nil {
		return ports.Decision{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Decision{}, err
	}
	if limit.Algorithm == ports.FixedWindow {
		return l.allowWindow(ctx, limit, n, l.keys.Window(name))
	}
	return one(l.take(ctx, []ports.Take{{Limit: limit, N: n, Name: name}}))
}

func one(decisions []ports.Decision, err error) (ports.Decision, error) {
	if err != nil {
		return ports.Decision{}, err
	}
	return decisions[0], nil
}

// Shares reports whether the limiter keeps its counts through the client under the names of the given keys.
func (l *Limiter) Shares(client goredis.UniversalClient, keys keyspace.Limits) bool {
	return l.client == client && l.keys.Prefix() == keys.Prefix() && l.keys.Names().RateLimit == keys.Names().RateLimit
}

// AllowAll implements [ports.Limiter] in one round trip. On a Cluster the names are in different slots: they are taken one after another, and a
// refusal does not return the earlier ones.
func (l *Limiter) AllowAll(ctx context.Context, takes ...ports.Take) ([]ports.Decision, error) {
	if err := ports.CheckTakes(takes); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !l.keys.Cluster() {
		return l.take(ctx, takes)
	}
	decisions := make([]ports.Decision, 0, len(takes))
	for _, t := range takes {
		d, err := l.Allow(ctx, t.Limit, t.N, t.Name...)
		if err != nil {
			return nil, err
		}
		if decisions = append(decisions, d); !d.Allowed {
			break
		}
	}
	return decisions, nil
}

func (l *Limiter) allowWindow(ctx context.Context, limit ports.Limit, n int, key string) (ports.Decision, error) {
	reply, err := l.window.Run(ctx, l.client, []string{key}, limit.Rate, limit.Per.Milliseconds(), n).Int64Slice()
	if err != nil {
		return ports.Decision{}, unlimited(ctx, err, key)
	}
	if reply[0] < 0 {
		return ports.Decision{}, ForeignError(key)
	}
	return inWindow(limit, reply[0] == 1, reply[1], time.Duration(reply[2])*time.Millisecond), nil
}

func inWindow(limit ports.Limit, allowed bool, count int64, left time.Duration) ports.Decision {
	d := ports.Decision{Allowed: allowed, Remaining: int(max(int64(limit.Rate)-count, 0)), ResetAfter: left}
	if !d.Allowed {
		d.RetryAfter = max(left, time.Millisecond) // the window ends within this millisecond
	}
	return d
}

func inGCRA(limit ports.Limit, allowed bool, reset, retry float64) ports.Decision {
	capacity, interval := limit.Capacity(), interval(limit)
	left := math.Floor((interval*float64(capacity)-reset)/interval + 1e-4)
	d := ports.Decision{Allowed: allowed, Remaining: int(min(max(left, 0), float64(capacity))), ResetAfter: max(seconds(reset), 0)}
	if !d.Allowed {
		d.RetryAfter = max(seconds(retry), time.Microsecond)
	}
	return d
}

func interval(limit ports.Limit) float64 { return limit.Per.Seconds() / float64(limit.Rate) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (l *Limiter) take(ctx context.Context, takes []ports.Take) ([]ports.Decision, error) {
	keys, args := make([]string, len(takes)), make([]any, 0, 4*len(takes))
	for i, t := range takes {
		keys[i] = l.keys.Of(t)
		most, step := Args(t.Limit)
		args = append(args, Algorithm(t.Limit), t.N, most, step)
	}
	reply, err := l.all.Run(ctx, l.client, keys, args...).Slice()
	if err != nil {
		return nil, unlimited(ctx, err, keys[0])
	}
	decisions := make([]ports.Decision, 0, len(takes))
	for i := 0; len(reply) >= 3; i, reply = i+1, reply[3:] {
		outcome, _ := reply[0].(int64)
		if outcome < 0 {
			return nil, ForeignError(keys[i])
		}
		d, err := ParseDecision(takes[i].Limit, outcome == 1, rediscmd.Text(reply[1]), rediscmd.Text(reply[2]))
		if err != nil {
			return nil, err
		}
		decisions = append(decisions, d)
	}
	return decisions, nil
}

// Algorithm returns the name of a limit's algorithm, as [TakeScript] needs it.
func Algorithm(limit ports.Limit) string {
	if limit.Algorithm == ports.GCRA {
		return "gcra"
	}
	return "window"
}

// Args returns the numbers of a limit that [TakeScript] needs: its maximum, and milliseconds of a window or seconds between two takes.
func Args(limit ports.Limit) (most int, step string) {
	if limit.Algorithm == ports.GCRA {
		return limit.Capacity(), strconv.FormatFloat(interval(limit), 'g', -1, 64)
	}
	return limit.Rate, strconv.FormatInt(limit.Per.Milliseconds(), 10)
}

// ParseDecision decodes a decision of take.lua.
func ParseDecision(limit ports.Limit, allowed bool, first, second string) (ports.Decision, error) {
	one, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return ports.Decision{}, fmt.Errorf("a limit's script: %w", err)
	}
	two, err := strconv.ParseFloat(second, 64)
	if err != nil {
		return ports.Decision{}, fmt.Errorf("a limit's script: %w", err)
	}
	if limit.Algorithm == ports.GCRA {
		return inGCRA(limit, allowed, one, two), nil
	}
	return inWindow(limit, allowed, int64(one), time.Duration(two)*time.Millisecond), nil
}

// ForeignError is returned when a limit's key holds a value of another program that is no limit. It is a [*ports.ForeignValueError].
func ForeignError(key string) error {
	return &ports.ForeignValueError{Key: key, Holds: "something else", For: "a limit"}
}

// unlimited translates the error of a script that fails on a key only because of its value.
func unlimited(ctx context.Context, err error, key string) error {
	if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE", "number expected", "not an integer", "would overflow") {
		return fmt.Errorf("%w: %w", ForeignError(key), err)
	}
	return rediscmd.Unavailable(ctx, err)
}
