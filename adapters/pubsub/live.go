package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// LiveConfig says how to reach the live channels.
type LiveConfig struct {
	Client  goredis.UniversalClient   // is not closed
	Channel func(topic string) string // the name of a topic's channel. Defaults to the topic's own
	Buffer  int                       // messages that wait for a slow subscriber. Defaults to 256
	Probe   time.Duration             // how long silence may last before the connection is asked for a sign of life, and again before it is given up. Defaults to 500 ms
	Logger  *slog.Logger              // Defaults to slog.Default
}

// Live is a Watermill publisher and subscriber over plain Redis pub/sub: at most once, without order between publishers. All
// subscriptions of the process share one connection, which is opened by the first and closed by Close. It is watched: what is
// dead or silent is replaced, for ever, and what was published meanwhile is lost.
//
// Acks mean nothing here. A subscriber that is slow loses messages, which are counted, and holds up nobody.
type Live struct {
	config LiveConfig
	hub    *hub

	reconnects atomic.Uint64

	mu       sync.Mutex
	channels map[string]*channel // by full name
	conn     *goredis.PubSub     // nil while there is none
	stop     context.CancelFunc  // nil while nobody subscribed
	done     chan struct{}
	closed   bool
}

// channel is one that somebody in the process subscribes to.
type channel struct {
	topic     string
	users     int
	confirmed chan struct{} // closed when the server confirmed it for the first time
	once      sync.Once
}

var (
	_ message.Publisher  = (*Live)(nil)
	_ message.Subscriber = (*Live)(nil)
)

// NewLive makes a live publisher and subscriber.
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
	return &Live{config: config, hub: newHub(config.Buffer), channels: make(map[string]*channel)}
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

// Subscribe gives what is published from its return on, until ctx ends. It returns when the server has confirmed.
func (l *Live) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ch, err := l.join(topic)
	if err != nil {
		return nil, err
	}
	select {
	case <-ch.confirmed:
	case <-ctx.Done():
		l.leave(ch)
		return nil, ctx.Err()
	}
	messages, err := l.hub.attach(ctx, ch.topic, func() { l.leave(ch) }) // another topic may have the same channel
	if err != nil {
		l.leave(ch)
	}
	return messages, err
}

// Dropped is how many messages slow subscribers lost.
func (l *Live) Dropped() uint64 { return l.hub.dropped.Load() }

// Queued is how many messages were taken for subscribers that have not left them.
func (l *Live) Queued() uint64 { return l.hub.queued.Load() }

// Reconnects is how often the connection was replaced.
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

func (l *Live) join(topic string) (*channel, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	name := l.config.Channel(topic)
	ch := l.channels[name]
	if ch == nil {
		ch = &channel{topic: topic, confirmed: make(chan struct{})}
		l.channels[name] = ch
		if l.conn != nil {
			// A failure shows in the receiving loop, which subscribes anew.
			_ = l.conn.Subscribe(context.Background(), name)
		}
	}
	ch.users++
	if l.stop == nil {
		var ctx context.Context
		ctx, l.stop = context.WithCancel(context.Background())
		l.done = make(chan struct{})
		go l.supervise(ctx, l.done)
	}
	return ch, nil
}

func (l *Live) leave(ch *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ch.users--; ch.users > 0 {
		return
	}
	name := l.config.Channel(ch.topic)
	delete(l.channels, name)
	if l.conn != nil {
		_ = l.conn.Unsubscribe(context.Background(), name)
	}
}

// supervise keeps one connection subscribed to all channels until ctx ends.
func (l *Live) supervise(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	const first, most = 50 * time.Millisecond, 2 * time.Second
	for wait := first; ; {
		started := time.Now()
		err := l.receive(ctx)
		if ctx.Err() != nil {
			return
		}
		l.reconnects.Add(1)
		l.config.Logger.WarnContext(ctx, "live connection lost, subscribing anew", "error", err)
		if time.Since(started) > most {
			wait = first
		}
		timer := time.NewTimer(wait/2 + rand.N(wait)) //nolint:gosec // jitter
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		wait = min(2*wait, most)
	}
}

// receive subscribes to all channels and hands messages out until the connection fails, or is silent although it was asked.
func (l *Live) receive(ctx context.Context) error {
	conn := l.open(ctx)
	defer l.shut(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	asked := false
	for {
		received, err := conn.ReceiveTimeout(ctx, l.config.Probe)
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
			l.take(received)
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			asked = true
			if err := conn.Ping(ctx); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (l *Live) open(ctx context.Context) *goredis.PubSub {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, 0, len(l.channels))
	for name := range l.channels {
		names = append(names, name)
	}
	l.conn = l.config.Client.Subscribe(ctx, names...)
	return l.conn
}

func (l *Live) shut(conn *goredis.PubSub) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = nil
	_ = conn.Close()
}

func (l *Live) take(received any) {
	switch m := received.(type) {
	case *goredis.Subscription:
		l.mu.Lock()
		ch := l.channels[m.Channel]
		l.mu.Unlock()
		if ch != nil && m.Kind == "subscribe" {
			ch.once.Do(func() { close(ch.confirmed) })
		}
	case *goredis.Message:
		l.mu.Lock()
		ch := l.channels[m.Channel]
		l.mu.Unlock()
		if ch != nil {
			l.hub.dispatch(ch.topic, []byte(m.Payload))
		}
	}
}
