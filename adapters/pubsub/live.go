package pubsub

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

// LiveConfig is the configuration of [Live].
type LiveConfig struct {
	Client  goredis.UniversalClient   // is not closed
	Channel func(topic string) string // name of a topic's channel. Defaults to the topic
	Buffer  int                       // messages that wait for a slow subscriber. Defaults to 256
	Probe   time.Duration             // silence after which the connection is pinged, and after another one replaced. Defaults to 500 ms
	Logger  *slog.Logger              // Defaults to slog.Default
}

// Live is a Watermill publisher and subscriber over plain Redis pub/sub: at most once, without order between publishers. All
// subscriptions of the process share one connection. The first Subscribe opens it and Close closes it. A connection that is dead or
// silent is replaced, without limit; messages published meanwhile are lost, and each lost connection is counted.
//
// Acks have no meaning. A slow subscriber loses messages, which are counted, and does not delay other subscribers.
type Live struct {
	config   LiveConfig
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
	_ message.Publisher  = (*Live)(nil)
	_ message.Subscriber = (*Live)(nil)
)

// NewLive returns a live publisher and subscriber.
func NewLive(config LiveConfig) *Live {
	if config.Probe <= 0 {
		config.Probe = 500 * time.Millisecond
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Channel == nil {
		config.Channel = func(topic string) string { return topic }
	}
	return &Live{config: config, hub: newHub(config.Buffer), channels: newChannelSet()}
}

// Publish sends the payloads, one after another, with each message's context.
func (l *Live) Publish(topic string, messages ...*message.Message) error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	for _, msg := range messages {
		if err := l.config.Client.Publish(msg.Context(), l.config.Channel(topic), []byte(msg.Payload)).Err(); err != nil {
			return fmt.Errorf("publishing on %s: %w", topic, ports.Unavailable(msg.Context(), err))
		}
	}
	return nil
}

// Subscribe returns a channel of the messages that are published after it has returned, until ctx ends, but for those that a lost connection costs:
// [Live.Reconnects] counts these losses. It returns when the server has processed the subscription on the present connection. It returns ctx's error if ctx ends before, and [ErrClosed] after Close.
func (l *Live) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ch, confirmed, err := l.join(topic)
	if err != nil {
		return nil, err
	}
	select {
	case <-confirmed:
	case <-l.done:
		return nil, ErrClosed
	case <-ctx.Done():
		l.channels.leave(ch)
		return nil, ctx.Err()
	}
	messages, err := l.hub.attach(ctx, ch.topic, func() { l.channels.leave(ch) }) // another topic may have the same channel
	if err != nil {
		l.channels.leave(ch)
	}
	return messages, err
}

// Dropped returns the number of messages that were received for subscribers and never reached them: they were slow, or ended before.
func (l *Live) Dropped() uint64 { return l.hub.dropped.Load() }

// Queued returns the number of messages that were received for subscribers and not dropped. Queued and Dropped together are all messages that Redis
// has sent to this process, counted once for each subscriber of their channel.
func (l *Live) Queued() uint64 { return l.hub.queued.Load() }

// Reconnects returns how often a working connection was lost. Messages that are published before the next one is subscribed are lost and
// cannot be counted; Redis itself closes the connection of a process that does not read (client-output-buffer-limit).
func (l *Live) Reconnects() uint64 { return l.reconnects.Load() }

// Close ends every subscription and the connection.
func (l *Live) Close() error {
	l.mu.Lock()
	l.closed = true
	stop, done := l.stop, l.done
	l.mu.Unlock()
	l.hub.close()
	if stop != nil {
		stop()
		<-done
	}
	return nil
}

// join adds a subscriber to the topic's channel, and starts the connection if this is the first one.
func (l *Live) join(topic string) (*channel, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, ErrClosed
	}
	ch, confirmed := l.channels.join(l.config.Channel(topic), topic)
	if l.stop == nil {
		var ctx context.Context
		ctx, l.stop = context.WithCancel(context.Background())
		l.done = make(chan struct{})
		go l.supervise(ctx, l.done)
	}
	return ch, confirmed, nil
}

// reconnectPauses are the pauses between two connections. They begin anew after a connection that lasted longer than the longest pause.
func reconnectPauses() backoff.Policy {
	return backoff.Policy{First: 50 * time.Millisecond, Max: 2 * time.Second, Jitter: true}
}

// supervise keeps one connection subscribed to all channels until ctx ends.
func (l *Live) supervise(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	pauses := reconnectPauses()
	for failed := 1; ; failed++ {
		started := time.Now()
		conn := &liveConn{live: l}
		err := conn.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if conn.worked {
			l.reconnects.Add(1)
		}
		l.config.Logger.WarnContext(ctx, "live connection lost, subscribing anew", "error", err)
		if time.Since(started) > pauses.Max {
			failed = 1
		}
		if pauses.Wait(ctx, failed) != nil {
			return
		}
	}
}
