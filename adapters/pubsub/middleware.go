package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/domain"
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

// surround returns the layers of one start, the outermost first: judge, the middlewares, record. find returns the start that a message belongs to.
func surround(find func(*message.Message) handlerStart, middlewares []message.HandlerMiddleware) []message.HandlerMiddleware {
	if len(middlewares) == 0 {
		return nil
	}
	layers := append([]message.HandlerMiddleware{judge(find)}, middlewares...)
	return append(layers, recordResult(find))
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

// handlerStart is the context of a delivery that is with a handler. It holds the result of the present start.
type handlerStart interface {
	context.Context
	// results returns the result of the present start.
	results() *handlerResult
	// expect begins a start.
	expect()
	// mayBegin reports whether the handler may still be called.
	mayBegin() bool
}

// judge decides about a start by the handler's result. It restores the message's context, which the middlewares of a start may replace.
func judge(find func(*message.Message) handlerStart) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			start, before := find(msg), msg.Context()
			if start == nil {
				return nil, errForeignMessage
			}
			start.expect()
			defer msg.SetContext(before)
			produced, err := next(msg)
			return produced, start.results().verdict(err)
		}
	}
}

// recordResult records the handler's result. It does not call the handler if the delivery no longer belongs to this process: a middleware may have waited.
func recordResult(find func(*message.Message) handlerStart) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			start := find(msg)
			if start == nil {
				return nil, errForeignMessage
			}
			result := start.results()
			if !start.mayBegin() {
				result.set(errNotBegun)
				return nil, errNotBegun
			}
			defer restore(msg, start)()
			produced, err := next(msg)
			result.set(err)
			return produced, err
		}
	}
}

// restore gives a message the start's values and end if a middleware replaced its context by one that is not derived from it. end undoes that.
func restore(msg *message.Message, start handlerStart) (end func()) {
	before := msg.Context()
	if before.Value(startKey{}) == start {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithValue(before, startKey{}, start))
	stop := context.AfterFunc(start, cancel)
	msg.SetContext(ctx)
	return func() {
		stop()
		cancel()
		msg.SetContext(before)
	}
}

// startKey is the key of a start in the contexts of its messages.
type startKey struct{}

func startOf(ctx context.Context) handlerStart {
	start, _ := ctx.Value(startKey{}).(handlerStart)
	return start
}

// delivery is a delivery of another subscriber than [Subscriber] that is with a handler of this process.
type delivery struct {
	context.Context
	RunningHandler
	result atomic.Pointer[handlerResult]
}

func (c *delivery) Value(key any) any {
	if _, mine := key.(startKey); mine {
		return c
	}
	return c.Context.Value(key)
}

func (c *delivery) results() *handlerResult { return c.result.Load() }
func (c *delivery) expect()                 { c.result.Store(&handlerResult{}) }
func (c *delivery) mayBegin() bool          { return true }

var _, _ handlerStart = (*record)(nil), (*delivery)(nil)

func (p *record) results() *handlerResult { return p.result.Load() }
func (p *record) expect()                 { p.result.Store(&handlerResult{}) }
func (p *record) mayBegin() bool          { return p.owned.sub.mayBegin(p) }

// startOf returns the start that a message belongs to: by its context or, if a middleware dropped that as [message.Message.Copy] does, by its
// payload, which a copy shares.
func (s *Subscriber) startOf(msg *message.Message) handlerStart {
	if start := startOf(msg.Context()); start != nil {
		return start
	}
	for _, sub := range s.subscriptions() {
		if p := sub.withPayload(msg.Payload); p != nil {
			return p
		}
	}
	return nil
}

// withPayload returns the record in flight that has this very payload, or nil.
func (s *member) withPayload(payload []byte) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := s.inFlight.first; l != nil && len(payload) > 0; l = l.nextFlight {
		if p := l.head; p != nil && len(p.payload) > 0 && &p.payload[0] == &payload[0] {
			return p
		}
	}
	return nil
}

// deliveries is the set of other subscribers' deliveries that are with handlers.
type deliveries struct {
	mu  sync.Mutex // guards all
	all map[*delivery]struct{}
}

// track is the outermost middleware of a group of another subscriber. It keeps the delivery in the set while its handler runs.
func (c *deliveries) track(group string) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			seq, _ := strconv.ParseUint(msg.Metadata.Get(metaSeq), 10, 64)
			begun := &delivery{Context: msg.Context(), RunningHandler: RunningHandler{
				Group: group, Chat: domain.ChatID(msg.Metadata.Get(MetaChat)), Seq: domain.Seq(seq), Event: domain.EventID(msg.UUID),
			}}
			c.mu.Lock()
			c.all[begun] = struct{}{}
			c.mu.Unlock()
			defer func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.all, begun)
			}()
			msg.SetContext(begun)
			return next(msg)
		}
	}
}

// find returns the delivery that a message belongs to: by its context or, if a middleware replaced that, by its UUID. It returns nil if several
// deliveries have that UUID.
func (c *deliveries) find(group string) func(*message.Message) handlerStart {
	return func(msg *message.Message) handlerStart {
		if start := startOf(msg.Context()); start != nil {
			return start
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		var found handlerStart
		for begun := range c.all {
			if begun.Group != group || string(begun.Event) != msg.UUID {
				continue
			}
			if found != nil {
				return nil
			}
			found = begun
		}
		return found
	}
}

func (c *deliveries) running() []RunningHandler {
	c.mu.Lock()
	defer c.mu.Unlock()
	var running []RunningHandler
	for begun := range c.all {
		running = append(running, begun.RunningHandler)
	}
	return running
}

// RunningHandler names a handler call that has not returned, or that a middleware has not let begin.
type RunningHandler struct {
	Group   string // of a consumer group; "" for a handler of a live channel
	Channel string // of a handler of a live channel; "" for one of a consumer group
	Chat    domain.ChatID
	Seq     domain.Seq     // 0 if the event is in no log
	Event   domain.EventID // "" if the message has none
}

func (h RunningHandler) String() string {
	if h.Group == "" {
		return fmt.Sprintf("live handler of %s", h.Channel)
	}
	return fmt.Sprintf("group %q chat %q seq %d event %s", h.Group, h.Chat, h.Seq, h.Event)
}
