package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/internal/backoff"
	"chatcore/ports"
)

// PubSubConfig is the configuration of [PubSub].
type PubSubConfig struct {
	Client  goredis.UniversalClient   // is not closed
	Channel func(topic string) string // name of a topic's channel. Defaults to the topic
	Buffer  int                       // messages that wait for a slow subscriber. Defaults to 256
	Probe   time.Duration             // silence after which the connection is pinged, and after another one replaced. Defaults to 500 ms
	Logger  *slog.Logger              // Defaults to slog.Default
}

// PubSub is a Watermill publisher and subscriber over plain Redis pub/sub: at most once, without order between publishers. All
// subscriptions of the process share one connection. The first Subscribe opens it and Close closes it. A connection that is dead or
// silent is replaced, without limit; messages published meanwhile are lost, and each lost connection is counted.
//
// Acks have no meaning. A slow subscriber loses messages, which are counted, and does not delay other subscribers.
type PubSub struct {
	config   PubSubConfig
	hub      *hub
	channels *channelSet

	reconnects atomic.Uint64

	// mu guards: stop, done and closed. Invariant: no I/O happens while it is held.
	mu     sync.Mutex
	stop   context.CancelFunc // nil before the first Subscribe
	done   chan struct{}
	closed bool
}

var (
	_ message.Publisher  = (*PubSub)(nil)
	_ message.Subscriber = (*PubSub)(nil)
)

// NewPubSub returns a live publisher and subscriber.
func NewPubSub(config PubSubConfig) *PubSub {
	if config.Probe <= 0 {
		config.Probe = 500 * time.Millisecond
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Channel == nil {
		config.Channel = func(topic string) string { return topic }
	}
	return &PubSub{config: config, hub: newHub(config.Buffer), channels: newChannelSet()}
}

// Publish sends the payloads, one after another, with each message's context.
func (p *PubSub) Publish(topic string, messages ...*message.Message) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return ports.ErrClosed
	}
	for _, msg := range messages {
		if err := p.config.Client.Publish(msg.Context(), p.config.Channel(topic), []byte(msg.Payload)).Err(); err != nil {
			return fmt.Errorf("publishing on %s: %w", topic, ports.Unavailable(msg.Context(), err))
		}
	}
	return nil
}

// Subscribe returns a channel of the messages that are published after it has returned, until ctx ends, but for those that a lost connection costs:
// [PubSub.Reconnects] counts these losses. It returns when the server has processed the subscription on the present connection. It returns ctx's error if ctx ends before, and [ports.ErrClosed] after Close.
func (p *PubSub) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ch, confirmed, err := p.join(topic)
	if err != nil {
		return nil, err
	}
	select {
	case <-confirmed:
	case <-p.done:
		return nil, ports.ErrClosed
	case <-ctx.Done():
		p.channels.leave(ch)
		return nil, ctx.Err()
	}
	messages, err := p.hub.attach(ctx, ch.topic, func() { p.channels.leave(ch) }) // another topic may have the same channel
	if err != nil {
		p.channels.leave(ch)
	}
	return messages, err
}

// Dropped returns the number of messages that were received for subscribers and never reached them: they were slow, or ended before.
func (p *PubSub) Dropped() uint64 { return p.hub.dropped.Load() }

// Queued returns the number of messages that were received for subscribers and not dropped. Queued and Dropped together are all messages that Redis
// has sent to this process, counted once for each subscriber of their channel.
func (p *PubSub) Queued() uint64 { return p.hub.queued.Load() }

// Reconnects returns how often a working connection was lost. Messages that are published before the next one is subscribed are lost and
// cannot be counted; Redis itself closes the connection of a process that does not read (client-output-buffer-limit).
func (p *PubSub) Reconnects() uint64 { return p.reconnects.Load() }

// Close ends every subscription and the connection.
func (p *PubSub) Close() error {
	p.mu.Lock()
	p.closed = true
	stop, done := p.stop, p.done
	p.mu.Unlock()
	p.hub.close()
	if stop != nil {
		stop()
		<-done
	}
	return nil
}

// join adds a subscriber to the topic's channel, and starts the connection if this is the first one.
func (p *PubSub) join(topic string) (*channel, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ports.ErrClosed
	}
	ch, confirmed := p.channels.join(p.config.Channel(topic), topic)
	if p.stop == nil {
		var ctx context.Context
		ctx, p.stop = context.WithCancel(context.Background())
		p.done = make(chan struct{})
		go p.supervise(ctx, p.done)
	}
	return ch, confirmed, nil
}

// reconnectPauses are the pauses between two connections. They begin anew after a connection that lasted longer than the longest pause.
func reconnectPauses() backoff.Policy {
	return backoff.Policy{First: 50 * time.Millisecond, Max: 2 * time.Second, Jitter: true}
}

// supervise keeps one connection subscribed to all channels until ctx ends.
func (p *PubSub) supervise(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	pauses := reconnectPauses()
	for failed := 1; ; failed++ {
		started := time.Now()
		c := &conn{live: p}
		err := c.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.worked {
			p.reconnects.Add(1)
		}
		p.config.Logger.WarnContext(ctx, "live connection lost, subscribing anew", "error", err)
		if time.Since(started) > pauses.Max {
			failed = 1
		}
		if pauses.Wait(ctx, failed) != nil {
			return
		}
	}
}
