package live

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// defaultBuffer is how many live messages wait for a slow subscriber.
const defaultBuffer = 256

// hub distributes live messages to the subscribers of this process. A slow subscriber loses messages and delays no other.
type hub struct {
	buffer  int
	dropped atomic.Uint64
	queued  atomic.Uint64

	mu     sync.Mutex
	topics map[string]map[*listener]struct{}
	closed bool
}

// listener is one subscription: a bounded queue and the goroutine that sends its messages to the subscriber.
type listener struct {
	queue chan *message.Message
	stop  context.CancelFunc
	done  chan struct{}
}

func newHub(buffer int) *hub {
	if buffer <= 0 {
		buffer = defaultBuffer
	}
	return &hub{buffer: buffer, topics: make(map[string]map[*listener]struct{})}
}

// attach adds a subscriber. When ctx ends or the hub closes, left is called once and the returned channel is closed; messages that the
// subscriber has not received by then count as dropped instead of queued.
func (h *hub) attach(ctx context.Context, topic string, left func()) (<-chan *message.Message, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ports.ErrClosed
	}
	ctx, stop := context.WithCancel(ctx)
	l := &listener{queue: make(chan *message.Message, h.buffer), stop: stop, done: make(chan struct{})}
	if h.topics[topic] == nil {
		h.topics[topic] = make(map[*listener]struct{})
	}
	h.topics[topic][l] = struct{}{}
	out := make(chan *message.Message)
	go func() {
		lost := 0
		defer close(l.done)
		defer close(out)
		defer func() {
			stop()
			h.mu.Lock()
			delete(h.topics[topic], l)
			if len(h.topics[topic]) == 0 {
				delete(h.topics, topic)
			}
			unread := uint64(len(l.queue) + lost) //nolint:gosec // not negative
			h.queued.Add(-unread)
			h.dropped.Add(unread)
			h.mu.Unlock()
			left()
		}()
		lost = l.deliver(ctx, out)
	}()
	return out, nil
}

// deliver sends queued messages to out until ctx ends. It returns the number of messages that it took from the queue and did not send.
func (l *listener) deliver(ctx context.Context, out chan<- *message.Message) (lost int) {
	for {
		select {
		case <-ctx.Done():
			return 0
		case msg := <-l.queue:
			msg.SetContext(ctx)
			select {
			case out <- msg:
			case <-ctx.Done():
				return 1
			}
		}
	}
}

// dispatch queues a message for every subscriber of the topic.
func (h *hub) dispatch(topic string, payload []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := ""
	for l := range h.topics[topic] {
		if id == "" {
			id = messageID(payload)
		}
		msg := message.NewMessage(id, payload)
		msg.Metadata.Set(wireformat.MetaType, topic)
		select {
		case l.queue <- msg:
			h.queued.Add(1)
		default:
			h.dropped.Add(1)
		}
	}
}

// close ends every subscription and waits until they have ended.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	var all []*listener
	for _, listeners := range h.topics {
		for l := range listeners {
			all = append(all, l)
		}
	}
	h.mu.Unlock()
	for _, l := range all {
		l.stop()
	}
	for _, l := range all {
		<-l.done
	}
}

// messageID returns the payload's eventId, or a new id for a payload without one.
func messageID(payload []byte) string {
	var event struct {
		ID string `json:"eventId"`
	}
	if json.Unmarshal(payload, &event) == nil && event.ID != "" {
		return event.ID
	}
	return watermill.NewUUID()
}
