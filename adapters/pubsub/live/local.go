package live

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Local is a live publisher and subscriber within one process, for a backend in memory.
type Local struct {
	hub     *hub
	mu      sync.RWMutex // mu guards hearers
	hearers map[*byte]func(topic string, payload []byte)
}

var (
	_ message.Publisher  = (*Local)(nil)
	_ message.Subscriber = (*Local)(nil)
)

// NewLocal returns a live bus within the process. buffer is the number of messages that wait for a slow subscriber, 256 if it is 0.
func NewLocal(buffer int) *Local { return &Local{hub: newHub(buffer)} }

// Publish queues the messages for the present subscribers.
func (l *Local) Publish(topic string, messages ...*message.Message) error {
	for _, msg := range messages {
		l.Announce(topic, msg.Payload)
	}
	return nil
}

// Announce queues a payload for the present subscribers of the type.
func (l *Local) Announce(typ string, payload []byte) {
	l.hub.dispatch(typ, payload)
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, fn := range l.hearers {
		fn(typ, payload)
	}
}

// Hear has fn called with the topic and the payload of each message that is published from now on, before Publish returns. fn must be quick, and must
// not publish.
func (l *Local) Hear(fn func(topic string, payload []byte)) { l.hear(fn) }

// Watch has fn called with the payload of each message of a topic that is published from now on, until stop is called. fn must be quick, and must not
// publish. After stop returns, fn is not called any more.
func (l *Local) Watch(_ context.Context, topic string, fn func(payload []byte)) (stop func(), err error) {
	return l.hear(func(t string, payload []byte) {
		if t == topic {
			fn(payload)
		}
	}), nil
}

func (l *Local) hear(fn func(topic string, payload []byte)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hearers == nil {
		l.hearers = make(map[*byte]func(string, []byte))
	}
	key := new(byte)
	l.hearers[key] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.hearers, key)
	}
}

// Subscribe returns a channel of the messages that are published from now on, until ctx ends.
func (l *Local) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	return l.hub.attach(ctx, topic, func() {})
}

// Dropped returns the number of messages that never reached their subscriber: it was slow, or ended before.
func (l *Local) Dropped() uint64 { return l.hub.dropped.Load() }

// Queued returns the number of messages that were queued for subscribers and not dropped.
func (l *Local) Queued() uint64 { return l.hub.queued.Load() }

// Close ends every subscription.
func (l *Local) Close() error {
	l.hub.close()
	return nil
}
