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
// subscriptions of the process share one connection. It is open while there are any. A connection that is dead or silent is replaced, without limit;
// messages published meanwhile are lost, and each lost connection is counted.
//
// Acks have no meaning. A slow subscriber loses messages, which are counted, and does not delay other subscribers.
type PubSub struct {
	config PubSubConfig
	hub    *hub
	link   *link
	closed atomic.Bool
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
	return &PubSub{config: config, hub: newHub(config.Buffer), link: &link{
		open: func(ctx context.Context) *goredis.PubSub { return config.Client.Subscribe(ctx) }, probe: config.Probe, logger: config.Logger,
		channels: newChannelSet(),
	}}
}

// Publish sends the payloads, one after another, with each message's context.
func (p *PubSub) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
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
	name, r := p.config.Channel(topic), topicReceiver{p.hub, topic}
	if err := p.link.joinAll(ctx, map[string]receiver{name: r}); err != nil {
		return nil, err
	}
	leave := func() { p.link.channels.leave(name, r) }
	messages, err := p.hub.attach(ctx, topic, leave)
	if err != nil {
		leave()
	}
	return messages, err
}

// Watch has fn called with the payload of each message of a topic that is published after Watch has returned, until stop is called. fn must be quick,
// and must not call the PubSub. After stop returns, fn is not called any more. Losses and errors are those of Subscribe.
func (p *PubSub) Watch(ctx context.Context, topic string, fn func(payload []byte)) (stop func(), err error) {
	name, r := p.config.Channel(topic), &watchReceiver{fn: fn}
	if err := p.link.joinAll(ctx, map[string]receiver{name: r}); err != nil {
		return nil, err
	}
	return func() {
		p.link.channels.leave(name, r)
		r.stop()
	}, nil
}

// watchReceiver passes the messages of a channel to a function.
type watchReceiver struct {
	mu sync.Mutex // mu guards fn, and is held while fn is called
	fn func(payload []byte)
}

func (r *watchReceiver) message(payload string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fn != nil {
		r.fn([]byte(payload))
	}
}

func (r *watchReceiver) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fn = nil
}

func (*watchReceiver) resubscribed() {}

func (*watchReceiver) evicted() {}

// topicReceiver passes the messages of a channel to the subscribers of a topic.
type topicReceiver struct {
	hub   *hub
	topic string
}

func (r topicReceiver) message(payload string) { r.hub.dispatch(r.topic, []byte(payload)) }

func (topicReceiver) resubscribed() {}

func (topicReceiver) evicted() {}

// Dropped returns the number of messages that were received for subscribers and never reached them: they were slow, or ended before.
func (p *PubSub) Dropped() uint64 { return p.hub.dropped.Load() }

// Queued returns the number of messages that were received for subscribers and not dropped. Queued and Dropped together are all messages that Redis
// has sent to this process, counted once for each subscriber of their channel.
func (p *PubSub) Queued() uint64 { return p.hub.queued.Load() }

// Reconnects returns how often a working connection was lost. Messages that are published before the next one is subscribed are lost and
// cannot be counted; Redis itself closes the connection of a process that does not read (client-output-buffer-limit).
func (p *PubSub) Reconnects() uint64 { return p.link.reconnects.Load() }

// Close ends every subscription and the connection.
func (p *PubSub) Close() error {
	p.closed.Store(true)
	p.hub.close()
	p.link.close()
	return nil
}
