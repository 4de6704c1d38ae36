package helpers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"chatcore/ports"
)

// Lenient are helpers for code that goes on without Redis: where a [Helpers] method returns an error, the one here logs and counts it, and
// returns false, 0 or an empty list, as for a key that is not there.
type Lenient struct{ helpers *Client }

// answer is the value, or its zero if there was an error.
func answer[T any](ctx context.Context, h *Client, helper string, value T, err error) T {
	if err != nil {
		h.swallow(ctx, helper, err)
		var none T
		return none
	}
	return value
}

// Get is [Client.Get].
func (l Lenient) Get(ctx context.Context, key string, into any) bool {
	found, err := l.helpers.Get(ctx, key, into)
	return answer(ctx, l.helpers, "get", found, err)
}

// GetOrSet is [Client.GetOrSet], but it also loads on any error of the key, its value or Redis. It reports whether there is a value: if not, load
// has failed, which is logged without its error, because that may hold private data.
func (l Lenient) GetOrSet(ctx context.Context, key string, ttl time.Duration, into any, load func(context.Context) (any, error)) bool {
	to, err := targetOf(into)
	if err = errors.Join(err, checkLoad(load)); err != nil {
		return answer(ctx, l.helpers, "getOrSet", false, err)
	}
	fill := func() ([]byte, error) {
		return l.helpers.fill(ctx, key, ttl, to, load, func(error) bool { return true })
	}
	if err := ports.CheckTTL(ttl); err != nil { // the value is not kept
		l.helpers.swallow(ctx, "getOrSet", err)
		fill = func() ([]byte, error) {
			loaded, err := load(ctx)
			if err != nil {
				return nil, err
			}
			return encodeValue(loaded)
		}
	}
	value, err := l.helpers.loadOnce(ctx, flightKey{key, to.Type(), true}, fill)
	if err == nil {
		err = to.take(value)
	}
	return answer(ctx, l.helpers, "getOrSet", true, err)
}

// Set is [Client.Set]; it reports whether the value is kept.
func (l Lenient) Set(ctx context.Context, key string, value any, ttl time.Duration) bool {
	return answer(ctx, l.helpers, "set", true, l.helpers.Set(ctx, key, value, ttl))
}

// SetPermanent is [Client.SetPermanent]; it reports whether the value is kept.
func (l Lenient) SetPermanent(ctx context.Context, key string, value any) bool {
	return answer(ctx, l.helpers, "setPermanent", true, l.helpers.SetPermanent(ctx, key, value))
}

// Del is [Client.Del].
func (l Lenient) Del(ctx context.Context, keys ...string) int {
	n, err := l.helpers.Del(ctx, keys...)
	return answer(ctx, l.helpers, "del", n, err)
}

// DelPattern is [Client.DelPattern].
func (l Lenient) DelPattern(ctx context.Context, pattern string) int {
	n, err := l.helpers.DelPattern(ctx, pattern)
	return answer(ctx, l.helpers, "delPattern", n, err)
}

// Incr is [Client.Incr].
func (l Lenient) Incr(ctx context.Context, key string) int64 {
	n, err := l.helpers.Incr(ctx, key)
	return answer(ctx, l.helpers, "incr", n, err)
}

// IncrWithExpiry is [Client.IncrWithExpiry]. A limit that rests on it is none while Redis is away.
func (l Lenient) IncrWithExpiry(ctx context.Context, key string, ttl time.Duration) int64 {
	n, err := l.helpers.IncrWithExpiry(ctx, key, ttl)
	return answer(ctx, l.helpers, "incrWithExpiry", n, err)
}

// SAdd is [Client.SAdd].
func (l Lenient) SAdd(ctx context.Context, key string, members ...string) int {
	n, err := l.helpers.SAdd(ctx, key, members...)
	return answer(ctx, l.helpers, "sadd", n, err)
}

// SRem is [Client.SRem].
func (l Lenient) SRem(ctx context.Context, key string, members ...string) int {
	n, err := l.helpers.SRem(ctx, key, members...)
	return answer(ctx, l.helpers, "srem", n, err)
}

// SMembers is [Client.SMembers]; never nil.
func (l Lenient) SMembers(ctx context.Context, key string) []string {
	members, err := l.helpers.SMembers(ctx, key)
	if members = answer(ctx, l.helpers, "smembers", members, err); members == nil {
		return []string{}
	}
	return members
}

// SIsMember is [Client.SIsMember].
func (l Lenient) SIsMember(ctx context.Context, key, member string) bool {
	there, err := l.helpers.SIsMember(ctx, key, member)
	return answer(ctx, l.helpers, "sismember", there, err)
}

// Publish is [Client.Publish]; it reports whether the payload was sent.
func (l Lenient) Publish(ctx context.Context, channel string, payload any) bool {
	return answer(ctx, l.helpers, "publish", true, l.helpers.Publish(ctx, channel, payload))
}

// Subscribe is [Client.Subscribe]; it reports whether there is a subscription, which Unsubscribe ends.
func (l Lenient) Subscribe(ctx context.Context, channel string, handle func(ctx context.Context, payload json.RawMessage)) bool {
	_, err := l.helpers.Subscribe(ctx, channel, handle)
	return answer(ctx, l.helpers, "subscribe", true, err)
}

// Unsubscribe is [Client.Unsubscribe].
func (l Lenient) Unsubscribe(channel string) int { return l.helpers.Unsubscribe(channel) }
