package helpers

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/domain"
	"chatcore/internal/calls"
	"chatcore/ports"
)

// channels are those that a client publishes and subscribes on.
type channels struct {
	config     Config
	unreadable *atomic.Uint64
	handled    atomic.Uint64 // messages whose handlers returned
	failed     atomic.Uint64 // calls of handlers that panicked or ended their goroutine

	calls calls.Set[Call]

	mu      sync.Mutex // mu guards the fields below
	going   map[*Subscription]struct{}
	closed  bool
	running sync.WaitGroup
}

// Subscription is a subscription of [Client.Subscribe].
type Subscription struct {
	channels *channels
	channel  string
	stop     context.CancelFunc

	mu    sync.Mutex
	ended bool
}

func newChannels(c Config, unreadable *atomic.Uint64) *channels {
	return &channels{config: c, unreadable: unreadable, going: make(map[*Subscription]struct{})}
}

// Publish sends a payload, as JSON, to the current subscribers of the channel, in any process and language; at most once. The channel of an event
// type is the one that Config.Redis.Names gives it.
func (h *Client) Publish(ctx context.Context, channel string, payload any) error {
	encoded, err := encodeValue(payload)
	if err != nil {
		return err
	}
	if err := checkChannel(channel); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	h.channels.mu.Lock()
	closed := h.channels.closed
	h.channels.mu.Unlock()
	if closed {
		return ports.ErrClosed
	}
	return h.config.Channels.Publish(channel, message.NewMessageWithContext(ctx, h.config.IDs.NewID(), encoded))
}

func checkChannel(channel string) error {
	if channel == "" {
		return &domain.InvalidError{Field: "channel", Problem: "is empty", Allowed: "at least one byte"}
	}
	return nil
}

// Subscribe calls handle, one call at a time, for the messages published on a channel after it returned, until Unsubscribe or the end of the core. It
// returns once Redis has confirmed the subscription, or with an error if ctx ends before; later ctx has no effect. Messages that are not JSON are
// counted and skipped. A slow handler loses messages beyond Config.Delivery.LiveBuffer, which are counted, and delays no other; messages published while the
// connection is replaced are lost. handle must not close the core, which waits for it.
func (h *Client) Subscribe(ctx context.Context, channel string, handle func(ctx context.Context, payload json.RawMessage)) (*Subscription, error) {
	return h.channels.subscribe(ctx, channel, func(ctx context.Context, payload []byte) bool {
		if !json.Valid(payload) {
			return false
		}
		handle(ctx, payload)
		return true
	})
}

// SubscribeTo is [Client.Subscribe] to payloads of a type. Messages that do not decode are counted and skipped.
func SubscribeTo[T any](ctx context.Context, h *Client, channel string, handle func(ctx context.Context, payload T)) (*Subscription, error) {
	return h.channels.subscribe(ctx, channel, func(ctx context.Context, payload []byte) bool {
		var value T
		if json.Unmarshal(payload, &value) != nil {
			return false
		}
		handle(ctx, value)
		return true
	})
}

// Unsubscribe ends every subscription of these helpers to a channel, as [Subscription.Unsubscribe] does, and says how many there were.
func (h *Client) Unsubscribe(channel string) int {
	n := 0
	for _, s := range h.channels.all() {
		if s.channel == channel {
			s.Unsubscribe()
			n++
		}
	}
	return n
}

// Unsubscribe ends the subscription: no call of its handler begins after it has returned. One that runs goes on, with a context that has
// ended. It may be called more than once, and by the handler.
func (s *Subscription) Unsubscribe() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.channels.mu.Lock()
	delete(s.channels.going, s)
	s.channels.mu.Unlock()
	s.stop()
}

// begin reports whether a call of the handler may begin.
func (s *Subscription) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended
}

func (c *channels) subscribe(ctx context.Context, channel string, handle func(context.Context, []byte) bool) (*Subscription, error) {
	if err := checkChannel(channel); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	confirmed := context.AfterFunc(ctx, stop)
	messages, err := c.config.Channels.Subscribe(life, channel)
	if !confirmed() { // ctx has ended, and with it life, whose error is another one
		err = ctx.Err()
	}
	if err != nil {
		stop()
		return nil, err
	}
	s := &Subscription{channels: c, channel: channel, stop: stop}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		stop()
		return nil, ports.ErrClosed
	}
	c.going[s] = struct{}{}
	calls.Each(&c.running, messages, func(msg *message.Message) { c.deliver(s, msg, handle) }, c.config.Handled)
	return s, nil
}

// deliver calls the handler with one message. Neither its panic nor its [runtime.Goexit] ends more than the call.
func (c *channels) deliver(s *Subscription, msg *message.Message, handle func(context.Context, []byte) bool) {
	msg.Ack()
	defer c.config.Handled()
	defer c.handled.Add(1)
	defer c.calls.Begin(Call{Channel: s.channel, Message: domain.EventID(msg.UUID)})()
	returned := false
	defer func() {
		if returned {
			return
		}
		c.failed.Add(1)
		if r := recover(); r != nil {
			c.config.Logger.ErrorContext(msg.Context(), "handler of a channel panicked", "channel", s.channel, "panic", r)
			return
		}
		c.config.Logger.ErrorContext(msg.Context(), "handler of a channel called runtime.Goexit", "channel", s.channel)
	}()
	if s.begin() && !handle(msg.Context(), msg.Payload) {
		c.unreadable.Add(1)
	}
	returned = true
}

func (c *channels) all() []*Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*Subscription, 0, len(c.going))
	for s := range c.going {
		all = append(all, s)
	}
	return all
}

// close ends every subscription. Handlers that run go on, with contexts that have ended, and running waits for them.
func (c *channels) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, s := range c.all() {
		s.Unsubscribe()
	}
}
