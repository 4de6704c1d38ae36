package helpers

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/domain"
	"chatcore/internal/flight"
	"chatcore/ports"
)

// Client is the entry to values, counters, sets and channels. All methods are safe for concurrent use.
type Client struct {
	config   Config
	flights  *flights
	channels *channels

	failures   atomic.Uint64 // that were answered with a default
	unreadable atomic.Uint64 // values and messages of another type than expected
}

// Config has the stores of a client, and what it needs beside them. All fields are required.
type Config struct {
	Values   ports.KeyValues
	Counters ports.Counters
	Sets     ports.Sets
	Channels Transport
	IDs      ports.IDs              // of published messages
	Outcome  func(err error) string // the word for an error in logs
	Handled  func()                 // called after each handled message
	Logger   *slog.Logger
}

// Transport carries messages by the names of their channels.
type Transport interface {
	message.Publisher
	message.Subscriber
}

// Control is the owner's access to a client: it ends the subscriptions, and reads counts.
type Control struct{ Client *Client }

// New returns a client with its control.
func New(c Config) Control {
	client := &Client{config: c, flights: flight.New[flightKey, struct{}, loadedValue]()}
	client.channels = newChannels(c, &client.unreadable)
	return Control{client}
}

// Stats are counts since the client was made.
type Stats struct {
	Failures   uint64 // failures that a [Lenient] helper answered with a default
	Unreadable uint64 // values and messages that were not of the expected type and passed over
	Handled    uint64 // messages of channels that handlers have finished, the unreadable ones included
	Failed     uint64 // calls of handlers that panicked or ended their goroutine
}

// Stats returns the counts.
func (c Control) Stats() Stats {
	of := c.Client.channels
	return Stats{Failures: c.Client.failures.Load(), Unreadable: c.Client.unreadable.Load(), Handled: of.handled.Load(), Failed: of.failed.Load()}
}

// Close ends every subscription. Handlers that run go on, with contexts that have ended; [Control.Wait] waits for them.
func (c Control) Close() { c.Client.channels.close() }

// Wait waits until every handler of a closed client has returned.
func (c Control) Wait() { c.Client.channels.running.Wait() }

// Call is a call of a channel's handler.
type Call struct {
	Channel string
	Message domain.EventID
}

// Running returns the calls of handlers that have not returned.
func (c Control) Running() []Call { return c.Client.channels.calls.Running() }

// Get reads the value of a key into the target of into, and reports whether there is one. JSON null is none, and neither is a value that does not
// decode, from an old schema or another program; that is counted. into is then left as it was.
func (h *Client) Get(ctx context.Context, key string, into any) (bool, error) {
	to, err := targetOf(into)
	if err != nil {
		return false, err
	}
	value, found, err := h.config.Values.Get(ctx, key)
	if err != nil || !found || isNull(value) {
		return false, err
	}
	return h.read(value, to), nil
}

// read decodes a value, or counts it.
func (h *Client) read(value []byte, to target) bool {
	if to.decode(value) {
		return true
	}
	h.unreadable.Add(1)
	return false
}

// Set replaces the value of a key, for as long as ttl says: a millisecond or more.
func (h *Client) Set(ctx context.Context, key string, value any, ttl time.Duration) error {
	if err := ports.CheckTTL(ttl); err != nil {
		return err
	}
	return h.set(ctx, key, value, ttl)
}

// SetPermanent replaces the value of a key, until it is replaced or deleted.
func (h *Client) SetPermanent(ctx context.Context, key string, value any) error {
	return h.set(ctx, key, value, 0)
}

func (h *Client) set(ctx context.Context, key string, value any, ttl time.Duration) error {
	encoded, err := encodeValue(value)
	if err != nil {
		return err
	}
	return h.config.Values.Set(ctx, key, encoded, ttl)
}

// Del removes keys of any type of value, and returns how many there were.
func (h *Client) Del(ctx context.Context, keys ...string) (int, error) {
	return h.config.Values.Delete(ctx, keys...)
}

// DelPattern removes every key that a pattern matches, on each master of a Cluster, and returns how many, also along with an error. In the pattern *,
// ?, [a-c] and \ have the meaning that Redis gives them; ids go in by chatcore.EscapeKey, and then match themselves only:
//
//	core.Helpers.DelPattern(ctx, "session:"+chatcore.EscapeKey(userID)+":*")
//
// A pattern must begin with a literal character. Keys of event logs are never removed. It scans all keys of Redis, a few hundred at a time so that
// other calls are not delayed, and takes long with many keys; it ends early with ctx.
func (h *Client) DelPattern(ctx context.Context, pattern string) (int, error) {
	return h.config.Values.DeletePattern(ctx, pattern)
}

// Incr adds 1 to a counter and gives the sum.
func (h *Client) Incr(ctx context.Context, key string) (int64, error) {
	return h.config.Counters.Incr(ctx, key)
}

// IncrWithExpiry adds 1 to a counter and gives the sum; the counter ends ttl after its first count. One that was left without an end gets
// it.
func (h *Client) IncrWithExpiry(ctx context.Context, key string, ttl time.Duration) (int64, error) {
	return h.config.Counters.IncrWithExpiry(ctx, key, ttl)
}

// SAdd adds members to a set and says how many are new.
func (h *Client) SAdd(ctx context.Context, key string, members ...string) (int, error) {
	return h.config.Sets.Add(ctx, key, members...)
}

// SRem removes members from a set and says how many there were.
func (h *Client) SRem(ctx context.Context, key string, members ...string) (int, error) {
	return h.config.Sets.Remove(ctx, key, members...)
}

// SMembers gives the members of a set, in no order; none if there is no set.
func (h *Client) SMembers(ctx context.Context, key string) ([]string, error) {
	return h.config.Sets.Members(ctx, key)
}

// SIsMember reports whether a member is in a set.
func (h *Client) SIsMember(ctx context.Context, key, member string) (bool, error) {
	return h.config.Sets.Contains(ctx, key, member)
}

// Lenient is a view of the helpers that returns defaults instead of errors.
func (h *Client) Lenient() Lenient { return Lenient{h} }

// swallow counts and logs a failure that the caller does not receive. Neither keys nor values are logged: there may be secrets in them.
func (h *Client) swallow(ctx context.Context, helper string, err error) {
	h.failures.Add(1)
	if errors.Is(err, ports.ErrUnavailable) || errors.Is(err, domain.ErrInvalid) {
		h.config.Logger.WarnContext(ctx, "helper failed", "helper", helper, "reason", h.config.Outcome(err), "error", err)
		return
	}
	h.config.Logger.WarnContext(ctx, "helper failed", "helper", helper, "reason", h.config.Outcome(err))
}
