package chatcore

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/telemetry"
	"chatcore/domain"
	"chatcore/ports"
)

// Helpers are the helpers of the TypeScript services' guide: values, counters and sets of the caller, and messages on channels. The namespace goes
// before keys and channels; otherwise names are unchanged, because other programs use them. Ids go into a key by [EscapeKey]. Keys of the event log
// are refused.
//
// Values are JSON, as JSON.stringify writes it. Methods return their errors: [domain.ErrInvalid] for values that no store accepts,
// [ports.ErrForeignValue] for a key that holds another kind of value, [ports.ErrUnavailable] without Redis. [Helpers.Lenient] returns defaults
// instead, as the guide's helpers do. See also [Get], [GetOrSet] and [SubscribeTo].
type Helpers struct {
	values   ports.KeyValues
	counters ports.Counters
	sets     ports.Sets
	logger   *slog.Logger
	flights  flights
	channels *channels

	failures   atomic.Uint64 // that were answered with a default
	unreadable atomic.Uint64 // values and messages of another type than expected
}

// helperStores holds the stores of helpers.
type helperStores struct {
	values   ports.KeyValues
	counters ports.Counters
	sets     ports.Sets
}

// store is one place for all of it.
type store interface {
	ports.KeyValues
	ports.Counters
	ports.Sets
}

// WithHelpers replaces the stores of [Core.Helpers]. nil leaves the core's own.
func WithHelpers(values ports.KeyValues, counters ports.Counters, sets ports.Sets) Option {
	return func(p *overrides) { p.stored = helperStores{values, counters, sets} }
}

// storedOr is where the options say or, where they do not, the place given.
func (p overrides) storedOr(s store) helperStores {
	to := p.stored
	if to.values == nil {
		to.values = s
	}
	if to.counters == nil {
		to.counters = s
	}
	if to.sets == nil {
		to.sets = s
	}
	return to
}

func newHelpers(c Config, s helperStores, live LiveTransport, ids ports.IDs, moved *progress) *Helpers {
	h := &Helpers{values: s.values, counters: s.counters, sets: s.sets, logger: c.Logger}
	h.flights.going = make(map[flightKey]*flight)
	h.channels = newChannels(live, ids, moved, c.Logger, &h.unreadable)
	return h
}

// EscapeKey turns any text into a part of a key, or of a pattern: it percent-encodes characters that are special in either, the colon too. Plain ids
// stay unchanged.
func EscapeKey(part string) string { return keyspace.Escape(part) }

// Get reads the value of a key into the target of into, and reports whether there is one. JSON null is none, and neither is a value that does not
// decode, from an old schema or another program; that is counted. into is then left as it was.
func (h *Helpers) Get(ctx context.Context, key string, into any) (bool, error) {
	to, err := targetOf(into)
	if err != nil {
		return false, err
	}
	value, found, err := h.values.Get(ctx, key)
	if err != nil || !found || isNull(value) {
		return false, err
	}
	return h.read(value, to), nil
}

// read decodes a value, or counts it.
func (h *Helpers) read(value []byte, to target) bool {
	if to.decode(value) {
		return true
	}
	h.unreadable.Add(1)
	return false
}

// Set replaces the value of a key, for as long as ttl says: a millisecond or more.
func (h *Helpers) Set(ctx context.Context, key string, value any, ttl time.Duration) error {
	if err := ports.CheckTTL(ttl); err != nil {
		return err
	}
	return h.set(ctx, key, value, ttl)
}

// SetPermanent replaces the value of a key, until it is replaced or deleted.
func (h *Helpers) SetPermanent(ctx context.Context, key string, value any) error {
	return h.set(ctx, key, value, 0)
}

func (h *Helpers) set(ctx context.Context, key string, value any, ttl time.Duration) error {
	encoded, err := encodeValue(value)
	if err != nil {
		return err
	}
	return h.values.Set(ctx, key, encoded, ttl)
}

// Del removes keys of any type of value, and returns how many there were.
func (h *Helpers) Del(ctx context.Context, keys ...string) (int, error) {
	return h.values.Delete(ctx, keys...)
}

// DelPattern removes every key that a pattern matches, on each master of a Cluster, and returns how many, also along with an error. In the pattern *,
// ?, [a-c] and \ have the meaning that Redis gives them; ids go in by [EscapeKey], and then match themselves only:
//
//	core.Helpers.DelPattern(ctx, "session:"+chatcore.EscapeKey(userID)+":*")
//
// A pattern must begin with a literal character. Keys of event logs are never removed. It scans all keys of Redis, a few hundred at a time so that
// other calls are not delayed, and takes long with many keys; it ends early with ctx.
func (h *Helpers) DelPattern(ctx context.Context, pattern string) (int, error) {
	return h.values.DeletePattern(ctx, pattern)
}

// Incr adds 1 to a counter and gives the sum.
func (h *Helpers) Incr(ctx context.Context, key string) (int64, error) {
	return h.counters.Incr(ctx, key)
}

// IncrWithExpiry adds 1 to a counter and gives the sum; the counter ends ttl after its first count. One that was left without an end gets
// it.
func (h *Helpers) IncrWithExpiry(ctx context.Context, key string, ttl time.Duration) (int64, error) {
	return h.counters.IncrWithExpiry(ctx, key, ttl)
}

// SAdd adds members to a set and says how many are new.
func (h *Helpers) SAdd(ctx context.Context, key string, members ...string) (int, error) {
	return h.sets.Add(ctx, key, members...)
}

// SRem removes members from a set and says how many there were.
func (h *Helpers) SRem(ctx context.Context, key string, members ...string) (int, error) {
	return h.sets.Remove(ctx, key, members...)
}

// SMembers gives the members of a set, in no order; none if there is no set.
func (h *Helpers) SMembers(ctx context.Context, key string) ([]string, error) {
	return h.sets.Members(ctx, key)
}

// SIsMember reports whether a member is in a set.
func (h *Helpers) SIsMember(ctx context.Context, key, member string) (bool, error) {
	return h.sets.Contains(ctx, key, member)
}

// Lenient is a view of the helpers that returns defaults instead of errors.
func (h *Helpers) Lenient() Lenient { return Lenient{h} }

// swallow counts and logs a failure that the caller does not receive. Neither keys nor values are logged: there may be secrets in them.
func (h *Helpers) swallow(ctx context.Context, helper string, err error) {
	h.failures.Add(1)
	if errors.Is(err, ports.ErrUnavailable) || errors.Is(err, domain.ErrInvalid) {
		h.logger.WarnContext(ctx, "helper failed", "helper", helper, "reason", telemetry.Outcome(err), "error", err)
		return
	}
	h.logger.WarnContext(ctx, "helper failed", "helper", helper, "reason", telemetry.Outcome(err))
}
