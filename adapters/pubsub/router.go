package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/sony/gobreaker"

	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// ErrDuplicateGroup is returned for a consumer group that is added twice.
var ErrDuplicateGroup = errors.New("consumer group added twice")

// Router runs consumer groups: those of Watermill handlers with a Watermill router, and those of plain functions without one.
type Router struct {
	watermill *message.Router
	logger    *slog.Logger
	groups    map[string]struct{}
	readings  []*reading
	routed    bool          // a group has a Watermill handler
	running   chan struct{} // closed when every group reads
	stopping  chan struct{} // closed when Run begins to stop
}

// reading is a group that has joined before Watermill's router runs. If the router subscribed itself and failed, it would leave goroutines behind, and
// run with the members that it had begun.
type reading struct {
	*Subscriber
	topic    string
	plain    bool          // the group has no Watermill handler
	calls    group.Handler // of such a group; nil if it has a batch handler
	messages <-chan *message.Message
}

// begin begins to read.
func (r *reading) begin(ctx context.Context) (member *subscription, err error) {
	if !r.plain {
		member, r.messages, err = r.subscribe(ctx, r.topic)
		return member, err
	}
	if member, err = r.join(ctx, r.topic, r.calls); err != nil {
		return nil, fmt.Errorf("joining %s: %w", r.config.Group, err)
	}
	go r.run(ctx, member)
	return member, nil
}

// String returns "": Watermill would otherwise add the name of this type to the context of each message, which costs two allocations and says nothing.
func (r *reading) String() string { return "" }

// Subscribe returns the messages of the member.
func (r *reading) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return r.messages, nil
}

// NewRouter returns a router without groups. closeTimeout is how long Watermill handlers may still run when the router is closed.
func NewRouter(closeTimeout time.Duration, logger *slog.Logger) (*Router, error) {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, routerLog{logger})
	if err != nil {
		return nil, err
	}
	return &Router{
		watermill: router, logger: logger, groups: make(map[string]struct{}), running: make(chan struct{}), stopping: make(chan struct{}),
	}, nil
}

// AddGroup adds a consumer group with a Watermill handler, which reads a topic. The middlewares surround every start of the handler, the first one
// outermost. A start succeeds if the handler and the middlewares return nil. A handler or middleware that panics or calls [runtime.Goexit] fails.
func (r *Router) AddGroup(topic string, c SubscriberConfig, handle message.NoPublishHandlerFunc, middlewares ...message.HandlerMiddleware) error {
	read, err := r.add(topic, c)
	if err != nil {
		return err
	}
	read.settled, r.routed = true, true
	r.watermill.AddConsumerHandler(c.Group, topic, read, surrounded(handle, surround(middlewares))).AddMiddleware(reportOutcome)
	return nil
}

// AddCalls adds a consumer group without a Watermill handler, which reads a topic. h may be nil if the configuration has a batch handler.
func (r *Router) AddCalls(topic string, c SubscriberConfig, h group.Handler) error {
	if h == nil && c.Batch == nil {
		return &domain.InvalidError{Field: "handler", Problem: "is missing", Allowed: "one, or a batch handler in the configuration"}
	}
	read, err := r.add(topic, c)
	if err != nil {
		return err
	}
	read.plain, read.calls, read.config.Metadata = true, h, false
	return nil
}

func (r *Router) add(topic string, c SubscriberConfig) (*reading, error) {
	if _, twice := r.groups[c.Group]; twice {
		return nil, fmt.Errorf("%w: %q", ErrDuplicateGroup, c.Group)
	}
	s, err := NewSubscriber(c)
	if err != nil {
		return nil, err
	}
	r.groups[c.Group] = struct{}{}
	read := &reading{Subscriber: s, topic: topic}
	r.readings = append(r.readings, read)
	return read, nil
}

// Run runs the groups until ctx ends, or until a member ends by itself. A deleted group ends alone: Run continues as long as another group is left, and
// adds [groups.ErrGroupDeleted] to the error that it returns at its end. Any other reason ends all groups.
//
// Handlers that outlast the drain of their group are left behind when Run returns: [Router.InFlight] names them.
func (r *Router) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stops := sync.OnceFunc(func() { close(r.stopping) })
	defer stops()
	defer context.AfterFunc(ctx, stops)()
	var members []*subscription // one that ends at once is among them
	for _, read := range r.readings {
		m, err := read.begin(ctx)
		if err != nil {
			stop()
			return errors.Join(err, r.end())
		}
		members = append(members, m)
	}
	var left atomic.Int64 // groups that have not failed
	left.Store(int64(len(r.readings)))
	for _, m := range members {
		watching.Go(func() {
			select {
			case <-m.Failed():
				if err := m.Err(); left.Add(-1) == 0 || !errors.Is(err, groups.ErrGroupDeleted) || errors.Is(err, ports.ErrLogLost) {
					stop()
				}
			case <-ctx.Done():
			}
		})
	}
	err := r.run(ctx, members)
	for _, m := range members {
		err = errors.Join(err, m.Err())
	}
	return err
}

// Running is closed when every group reads.
func (r *Router) Running() <-chan struct{} { return r.running }

// Stopping is closed when the router begins to stop: because the context of Run has ended, or because a group has failed.
func (r *Router) Stopping() <-chan struct{} { return r.stopping }

// InFlight returns the handlers that run now.
func (r *Router) InFlight() (running []group.RunningHandler) {
	for _, m := range r.members() {
		running = append(running, m.Running()...)
	}
	return running
}

// Owned returns the partitions of a group that this process owns.
func (r *Router) Owned(name string) (owned []groups.Partition) {
	for _, read := range r.readings {
		if read.config.Group != name {
			continue
		}
		for _, m := range read.subscriptions() {
			owned = append(owned, m.Owned()...)
		}
	}
	return owned
}

// Failed returns the errors of the groups whose members have ended by themselves, by group.
func (r *Router) Failed() map[string]error {
	failed := make(map[string]error)
	for _, read := range r.readings {
		if err := read.Err(); err != nil {
			failed[read.config.Group] = err
		}
	}
	return failed
}

func (r *Router) members() (members []*subscription) {
	for _, read := range r.readings {
		members = append(members, read.subscriptions()...)
	}
	return members
}

// run runs Watermill's router, if a group needs one, until every member has ended. It returns early if members left handlers behind, for which the router
// would wait for its closeTimeout once more.
func (r *Router) run(ctx context.Context, members []*subscription) error {
	var ended chan error
	if r.routed {
		ended = make(chan error, 1)
		go func() { ended <- r.watermill.Run(ctx) }()
		select {
		case <-r.watermill.Running():
		case err := <-ended:
			return err
		}
	}
	close(r.running)
	for _, m := range members {
		<-m.Done()
	}
	if ended == nil || len(r.InFlight()) > 0 {
		return r.end()
	}
	return errors.Join(<-ended, r.end())
}

func (r *Router) end() error {
	var errs []error
	for _, read := range r.readings {
		errs = append(errs, read.Close())
	}
	return errors.Join(errs...)
}

// reportOutcome reports the outcome of a message to its member.
func reportOutcome(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (produced []*message.Message, err error) {
		d := startOf(msg.Context()).delivery // a middleware may replace the message's context
		if !d.IsTimely() {                   // the process was suspended, and another may own the partition by now
			d.Done(group.ErrNotBegun)
			return nil, nil
		}
		returned := false
		defer func() {
			if returned {
				return
			}
			r := recover()
			if r == nil { // a Goexit cannot be stopped, but its outcome is reported
				d.Done(group.ErrExited)
				return
			}
			d.Done(fmt.Errorf("%w: %v", group.ErrPanicked, r)) // a middleware
			msg.Nack()
		}()
		produced, err = next(msg)
		returned = true
		if err == nil && nacked(msg) {
			err = errNacked
		}
		if err != nil {
			err = asTransient(err)
			msg.Nack()
		}
		d.Done(err)
		return produced, nil
	}
}

// errNacked is the failure of a message that was nacked.
var errNacked = errors.New("the message was nacked")

// asTransient marks an error of Watermill's CircuitBreaker that returned it without a call of the handler.
func asTransient(err error) error {
	if (errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)) && !group.IsPermanent(err) {
		return group.Transient(err)
	}
	return err
}

func nacked(msg *message.Message) bool {
	select {
	case <-msg.Nacked():
		return true
	default:
		return false
	}
}

// WithTimeout ends the context of each start of a handler after d. A handler that returns nil has succeeded, however long it took. A handler that
// ignores its context keeps its chat waiting: the order forbids another start beside it.
func WithTimeout(d time.Duration, handle message.NoPublishHandlerFunc) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		before := msg.Context()
		ctx, cancel := context.WithTimeout(before, d)
		defer cancel()
		msg.SetContext(ctx)
		defer msg.SetContext(before)
		return group.TimedOut(before, ctx, d, handle(msg))
	}
}

// recoverer converts a panic into an error.
func recoverer(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (produced []*message.Message, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%w: %v", group.ErrPanicked, r)
			}
		}()
		return next(msg)
	}
}

// routerLog passes on Watermill's log. It checks the level first, because the router logs something about every message.
type routerLog struct{ to *slog.Logger }

func (l routerLog) log(level slog.Level, msg string, fields watermill.LogFields, more ...any) {
	ctx := context.Background()
	if !l.to.Enabled(ctx, level) {
		return
	}
	for key, value := range fields {
		more = append(more, slog.Any(key, value))
	}
	l.to.Log(ctx, level, msg, more...) //nolint:sloglint // Watermill's message
}

func (l routerLog) Error(msg string, err error, fields watermill.LogFields) {
	level := slog.LevelError
	if msg == "Cannot close router" { // handlers were left behind: [Router.InFlight] names them
		level = slog.LevelDebug
	}
	l.log(level, msg, fields, slog.Any("error", err))
}

func (l routerLog) Info(msg string, fields watermill.LogFields) { l.log(slog.LevelDebug, msg, fields) }

func (l routerLog) Debug(msg string, fields watermill.LogFields) {
	l.log(slog.LevelDebug-1, msg, fields)
}

func (l routerLog) Trace(msg string, fields watermill.LogFields) {
	l.log(slog.LevelDebug-4, msg, fields)
}

func (l routerLog) With(fields watermill.LogFields) watermill.LoggerAdapter {
	var attrs []any
	for key, value := range fields {
		attrs = append(attrs, slog.Any(key, value))
	}
	return routerLog{l.to.With(attrs...)}
}
