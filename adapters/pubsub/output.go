package pubsub

import (
	"context"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub/group"
)

// output is the [group.Handler] that sends deliveries as messages to a channel. The channel has room for all deliveries in flight.
type output struct {
	messages chan *message.Message
	acks     bool    // messages are settled by their acks, not by the router
	unused   []start // Handle takes the next one: many are allocated at a time
}

var _ group.Handler = (*output)(nil)

func newOutput(concurrency int, acks bool) *output {
	if concurrency <= 0 {
		concurrency = 64
	}
	return &output{messages: make(chan *message.Message, concurrency), acks: acks}
}

// start is one start of a handler: a delivery with its message, whose context it is.
type start struct {
	context.Context // of the member's handlers
	delivery        group.Delivery

	msg    message.Message
	result atomic.Pointer[handlerResult] // if middlewares surround the handler
	end    context.CancelFunc            // ends the wait for an ack; nil if the router settles the message
}

// startKey is the key of a start in the contexts of its messages.
type startKey struct{}

// Value returns the start itself for a startKey, so that message and delivery find each other without an allocation.
func (s *start) Value(key any) any {
	if _, mine := key.(startKey); mine {
		return s
	}
	return s.Context.Value(key)
}

// startOf returns the start that a context belongs to, nil if there is none.
func startOf(ctx context.Context) *start {
	s, _ := ctx.Value(startKey{}).(*start)
	return s
}

// Handle implements [group.Handler]. A delivery that cannot be read fails without a handler.
func (o *output) Handle(d group.Delivery) {
	uuid, metadata, err := d.Message()
	if err != nil {
		d.Done(err)
		return
	}
	if o.acks {
		o.handleWithAcks(d, uuid, metadata)
		return
	}
	if len(o.unused) == 0 {
		o.unused = make([]start, 32)
	}
	s := &o.unused[0]
	o.unused = o.unused[1:]
	s.Context, s.delivery = d.Context(), d
	s.msg.UUID, s.msg.Metadata, s.msg.Payload = uuid, metadata, d.Payload()
	s.msg.SetContext(s) //nolint:contextcheck // the start is the handlers' context
	o.messages <- &s.msg
}

// handleWithAcks sends a message to a reader without a router, which acks it. The message's context ends with its ack, or when the delivery is
// reclaimed.
func (o *output) handleWithAcks(d group.Delivery, uuid string, metadata message.Metadata) {
	ctx, end := context.WithCancel(d.Context())
	msg := message.NewMessage(uuid, d.Payload())
	msg.Metadata = metadata
	msg.SetContext(&start{Context: ctx, delivery: d, end: end})
	go func() {
		defer end()
		select {
		case <-msg.Acked():
			d.Done(nil)
		case <-msg.Nacked():
			d.Done(errNacked)
		case <-ctx.Done():
			d.Done(group.ErrNotBegun)
		}
	}()
	o.messages <- msg
}

// Reclaim implements [group.Handler].
func (o *output) Reclaim() (untaken []group.Delivery) {
	for {
		select {
		case msg, open := <-o.messages:
			if !open {
				return untaken
			}
			s := startOf(msg.Context())
			if s.end != nil {
				s.end()
			}
			untaken = append(untaken, s.delivery)
		default:
			return untaken
		}
	}
}

// InfoOf returns the Info of a message by its context. It returns false for a message of another subscriber.
func InfoOf(ctx context.Context) (group.Info, bool) {
	s := startOf(ctx)
	if s == nil {
		return group.Info{}, false
	}
	return s.delivery.Info(), true
}

// Attempt returns the number of a message's handler start, from 1. It returns 0 for a message of another subscriber.
func Attempt(msg *message.Message) int {
	info, _ := InfoOf(msg.Context())
	return info.Attempt
}
