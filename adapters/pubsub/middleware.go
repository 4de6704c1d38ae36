package pubsub

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub/group"
)

// Middlewares surround a start of a handler; they do not decide that it succeeded. An event is finished when its handler returned nil, and a
// middleware that drops the handler's error, or returns nil without a call of the handler, changes nothing about that.

// ErrHandlerSkipped is returned for a start in which a middleware returned nil without calling the handler. It is a failed attempt: otherwise the
// event would be finished although no handler has seen it.
var ErrHandlerSkipped = errors.New("a middleware returned nil and did not call the handler")

// errForeignMessage is returned to a middleware that calls the handler with a message that cannot be attributed to a delivery.
var errForeignMessage = errors.New("a middleware called the handler with a message that has neither the context nor the payload of the delivered one")

// handlerResult is the handler's result in one start. A middleware may call the handler more than once; the last call counts.
type handlerResult struct {
	mu     sync.Mutex // guards the fields below
	called bool
	err    error
}

func (r *handlerResult) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.called, r.err = true, err
}

// verdict returns the error of a start whose outermost middleware returned err.
func (r *handlerResult) verdict(err error) error {
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.called {
		return ErrHandlerSkipped
	}
	return r.err
}

// surround returns the layers of one start, the outermost first: judge, the middlewares, record.
func surround(middlewares []message.HandlerMiddleware) []message.HandlerMiddleware {
	if len(middlewares) == 0 {
		return nil
	}
	starts := &starts{running: make(map[*byte]*start)}
	layers := append([]message.HandlerMiddleware{starts.judge}, middlewares...)
	return append(layers, starts.recordResult)
}

// starts are the starts that middlewares surround, by their payloads.
type starts struct {
	mu      sync.Mutex // guards running
	running map[*byte]*start
}

// begin adds a start until end is called.
func (s *starts) begin(of *start, payload []byte) (end func()) {
	if len(payload) == 0 {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[&payload[0]] = of
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running[&payload[0]] == of {
			delete(s.running, &payload[0])
		}
	}
}

// find returns the start that a message belongs to: by its context or, if a middleware dropped that as [message.Message.Copy] does, by its payload,
// which a copy shares. It returns nil if there is none.
func (s *starts) find(msg *message.Message) *start {
	if found := startOf(msg.Context()); found != nil || len(msg.Payload) == 0 {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[&msg.Payload[0]]
}

// judge decides about a start by the handler's result. It restores the message's context, which the middlewares of a start may replace.
func (s *starts) judge(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		begun, before := startOf(msg.Context()), msg.Context()
		if begun == nil {
			return nil, errForeignMessage
		}
		defer s.begin(begun, msg.Payload)()
		begun.result.Store(&handlerResult{})
		defer msg.SetContext(before)
		produced, err := next(msg)
		return produced, begun.result.Load().verdict(err)
	}
}

// recordResult records the handler's result. It does not call the handler if the delivery no longer belongs to this process: a middleware may have waited.
func (s *starts) recordResult(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		begun := s.find(msg)
		if begun == nil {
			return nil, errForeignMessage
		}
		result := begun.result.Load()
		if !begun.delivery.MayBegin() {
			result.set(group.ErrNotBegun)
			return nil, group.ErrNotBegun
		}
		defer restore(msg, begun)()
		produced, err := next(msg)
		result.set(err)
		return produced, err
	}
}

// surrounded returns a handler with its layers around it. It combines them one handler after another. Watermill would do so for all groups at once,
// which a middleware shared by several groups may not support.
func surrounded(handle message.NoPublishHandlerFunc, layers []message.HandlerMiddleware) message.NoPublishHandlerFunc {
	start := recoverer(func(msg *message.Message) ([]*message.Message, error) { return nil, handle(msg) })
	for _, layer := range slices.Backward(layers) {
		start = layer(start)
	}
	return func(msg *message.Message) error {
		produced, err := start(msg)
		if err == nil && len(produced) > 0 {
			return message.ErrOutputInNoPublisherHandler
		}
		return err
	}
}

// restore gives a message the start's values and end if a middleware replaced its context by one that is not derived from it. end undoes that.
func restore(msg *message.Message, s *start) (end func()) {
	before := msg.Context()
	if startOf(before) == s {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithValue(before, startKey{}, s))
	stop := context.AfterFunc(s, cancel)
	msg.SetContext(ctx)
	return func() {
		stop()
		cancel()
		msg.SetContext(before)
	}
}
