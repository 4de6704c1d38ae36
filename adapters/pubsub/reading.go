package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
)

// reading is a group of a [Router]. It joins before Watermill's router runs. If that router subscribed itself and failed, it would leave goroutines behind.
type reading struct {
	*Subscriber
	group    Group
	messages chan *message.Message // for Watermill's router
	begun    bool
	done     chan struct{} // closed when the member has ended, and Watermill's router with it
}

func newReading(g Group) (*reading, error) {
	if g.Calls == nil && g.Messages == nil && g.Config.Batch == nil {
		return nil, &domain.InvalidError{Field: "handler", Problem: "is missing", Allowed: "one, or a batch handler in the configuration"}
	}
	s, err := NewSubscriber(g.Config)
	if err != nil {
		return nil, err
	}
	r := &reading{Subscriber: s, group: g, done: make(chan struct{})}
	s.settled, s.config.Metadata = r.routed(), r.routed()
	return r, nil
}

// routed reports whether a Watermill router runs the group's handler.
func (r *reading) routed() bool { return r.group.Messages != nil }

// begin begins to read, until ctx ends. joining bounds the time until the group exists.
func (r *reading) begin(joining, ctx context.Context, closeTimeout time.Duration, logger *slog.Logger) (*subscription, error) {
	if !r.routed() {
		member, err := r.join(joining, r.group.Topic, r.filtered(r.group.Calls))
		if err != nil {
			return nil, fmt.Errorf("joining %s: %w", r.config.Group, err)
		}
		r.begun = true
		go func() {
			defer close(r.done)
			r.run(ctx, member)
		}()
		return member, nil
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, routerLog{logger})
	if err != nil {
		return nil, err
	}
	out := newOutput(r.config.Concurrency, false)
	member, err := r.join(joining, r.group.Topic, r.filtered(out))
	if err != nil {
		return nil, fmt.Errorf("joining %s: %w", r.config.Group, err)
	}
	r.begun, r.messages = true, out.messages
	handle := surrounded(r.group.Messages, surround(r.group.Middlewares))
	router.AddConsumerHandler(r.config.Group, r.group.Topic, r, handle).AddMiddleware(reportOutcome)
	routing, stop := context.WithCancel(context.WithoutCancel(ctx))
	routed := make(chan struct{})
	go func() {
		defer close(routed)
		if err := router.Run(routing); err != nil {
			logger.ErrorContext(ctx, "Watermill's router does not run", "group", r.config.Group, "error", err)
		}
	}()
	go func() {
		defer close(r.done)
		r.run(ctx, member)
		stop() // first: the router would otherwise log that its handlers have ended
		close(out.messages)
		if len(member.Running()) == 0 { // the router would wait for the others for its closeTimeout once more
			<-routed
		}
	}()
	return member, nil
}

// filtered returns the handler for the events that reach it.
func (r *reading) filtered(h group.Handler) group.Handler {
	if r.group.Wants == nil {
		return h
	}
	return group.Filtered(h, r.group.Wants)
}

// close stops the member and waits for its end. A group that has not begun has none.
func (r *reading) close() error {
	err := r.Close()
	if r.begun {
		<-r.done
	}
	return err
}

// isOver reports whether the member has ended.
func (r *reading) isOver() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// String returns "": Watermill would otherwise add the name of this type to the context of each message, which costs two allocations and says nothing.
func (r *reading) String() string { return "" }

// Subscribe returns the messages of the member.
func (r *reading) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return r.messages, nil
}
