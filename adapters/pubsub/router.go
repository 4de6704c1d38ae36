package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
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

// Router runs consumer groups: those that are added before Run, and those that are attached while it runs. A group with a Watermill handler has a Watermill
// router of its own: a shared one would end with the first group that stops, and a handler added to a running one would be lost if the subscription failed.
type Router struct {
	closeTimeout time.Duration
	logger       *slog.Logger
	running      chan struct{} // closed when every added group reads
	stopping     chan struct{} // closed when Run begins to stop
	attaching    sync.WaitGroup

	mu     sync.Mutex          // guards the fields below
	groups map[string]*reading // by name, those that are joining included
	added  []*reading          // before Run
	behind []*subscription     // ended members of attachments whose handlers still run
	run    context.Context     // of Run; nil before it
	stop   context.CancelFunc  // ends run
	left   int                 // groups that have not failed
	ended  bool                // nothing is attached any more
}

// Group is a consumer group of a [Router]: how it reads a topic, and its handler.
type Group struct {
	Topic  string
	Config SubscriberConfig

	// Wants selects the events that reach the handler, see [group.Filtered]; nil: all.
	Wants func(chat domain.ChatID, typ string) bool
	// Calls handles deliveries; nil if Messages or the batch handler of the configuration does.
	Calls group.Handler
	// Messages is a Watermill handler. The middlewares surround every start of it, the first one outermost. A start succeeds if the handler and the
	// middlewares return nil. A handler or middleware that panics or calls [runtime.Goexit] fails.
	Messages    message.NoPublishHandlerFunc
	Middlewares []message.HandlerMiddleware
}

// NewRouter returns a router without groups. closeTimeout is how long Watermill handlers may still run when the router is closed.
func NewRouter(closeTimeout time.Duration, logger *slog.Logger) (*Router, error) {
	config := message.RouterConfig{CloseTimeout: closeTimeout}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Router{
		closeTimeout: closeTimeout, logger: logger, groups: make(map[string]*reading), running: make(chan struct{}), stopping: make(chan struct{}),
	}, nil
}

// AddGroup adds a consumer group with a Watermill handler, as [Router.Add] does.
func (r *Router) AddGroup(topic string, c SubscriberConfig, handle message.NoPublishHandlerFunc, middlewares ...message.HandlerMiddleware) error {
	return r.Add(Group{Topic: topic, Config: c, Messages: handle, Middlewares: middlewares})
}

// AddCalls adds a consumer group without a Watermill handler, as [Router.Add] does. h may be nil if the configuration has a batch handler.
func (r *Router) AddCalls(topic string, c SubscriberConfig, h group.Handler) error {
	return r.Add(Group{Topic: topic, Config: c, Calls: h})
}

// Add adds a consumer group before Run.
func (r *Router) Add(g Group) error {
	read, err := newReading(g)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reserve(read); err != nil {
		return err
	}
	r.added = append(r.added, read)
	return nil
}

// reserve takes the name of a group. The mutex is held.
func (r *Router) reserve(read *reading) error {
	name := read.config.Group
	if other := r.groups[name]; other != nil {
		if !other.isOver() {
			return fmt.Errorf("%w: %q", ErrDuplicateGroup, name)
		}
		r.remove(other)
	}
	r.groups[name] = read
	return nil
}

// remove frees the name of a group that has ended, or that has not begun. The mutex is held.
func (r *Router) remove(read *reading) {
	if r.groups[read.config.Group] == read {
		delete(r.groups, read.config.Group)
		r.behind = append(r.behind, read.subscriptions()...)
	}
	r.behind = slices.DeleteFunc(r.behind, func(s *subscription) bool { return len(s.Running()) == 0 })
}

// Run runs the groups until ctx ends, or until a member ends by itself. A deleted group ends alone: Run continues as long as another group is left, and
// adds [groups.ErrGroupDeleted] to the error that it returns at its end, unless the group was attached. Any other reason ends all groups. A router without
// groups runs until ctx ends.
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
	r.mu.Lock()
	r.run, r.stop, r.left = ctx, stop, len(r.added)
	r.mu.Unlock()
	var attachments []*Attachment
	for _, read := range r.added {
		a, err := r.begin(ctx, ctx, read) // one that fails at once is watched from here on
		if err != nil {
			stop()
			return errors.Join(err, r.end())
		}
		attachments = append(attachments, a)
	}
	for _, a := range attachments {
		watching.Go(func() { r.watch(ctx, a) })
	}
	close(r.running)
	<-ctx.Done()
	err := r.end()
	for _, a := range attachments {
		err = errors.Join(err, a.Err())
	}
	return err
}

// begin begins to read a group. joining bounds the time until the group exists.
func (r *Router) begin(joining, ctx context.Context, read *reading) (*Attachment, error) {
	member, err := read.begin(joining, ctx, r.closeTimeout, r.logger)
	if err != nil {
		return nil, err
	}
	return &Attachment{router: r, read: read, member: member}, nil
}

// watch ends the router if a member ends by itself for a reason that concerns all, or as the last one.
func (r *Router) watch(ctx context.Context, a *Attachment) {
	select {
	case <-a.member.Failed():
	case <-a.member.ended:
		if a.Err() == nil {
			return
		}
	case <-ctx.Done():
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left--
	if err := a.Err(); r.left == 0 && !a.attached || !errors.Is(err, groups.ErrGroupDeleted) || errors.Is(err, ports.ErrLogLost) {
		r.stop()
	}
}

// end waits until every member has ended, which follows from the end of the context of Run.
func (r *Router) end() error {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.attaching.Wait()
	var errs []error
	for _, read := range r.readings() {
		errs = append(errs, read.close())
	}
	return errors.Join(errs...)
}

// Running is closed when every group reads that was added before Run.
func (r *Router) Running() <-chan struct{} { return r.running }

// Stopping is closed when the router begins to stop: because the context of Run has ended, or because a group has failed.
func (r *Router) Stopping() <-chan struct{} { return r.stopping }

// readings returns the groups, those that join or have failed included.
func (r *Router) readings() []*reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.groups))
}

// InFlight returns the handlers that run now, those that detached groups have left behind included.
func (r *Router) InFlight() (running []group.RunningHandler) {
	r.mu.Lock()
	members := slices.Clone(r.behind)
	for _, read := range r.groups {
		members = append(members, read.subscriptions()...)
	}
	r.mu.Unlock()
	for _, m := range members {
		running = append(running, m.Running()...)
	}
	return running
}

// Groups returns the names of the groups, sorted, those included that join or have failed.
func (r *Router) Groups() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.groups))
}

// Owned returns the partitions of a group that this process owns.
func (r *Router) Owned(name string) (owned []groups.Partition) {
	r.mu.Lock()
	read := r.groups[name]
	r.mu.Unlock()
	if read == nil {
		return nil
	}
	for _, m := range read.subscriptions() {
		owned = append(owned, m.Owned()...)
	}
	return owned
}

// Failed returns the errors of the groups whose members have ended by themselves, by group. An attached group is among them until it is detached, or
// attached again.
func (r *Router) Failed() map[string]error {
	failed := make(map[string]error)
	for _, read := range r.readings() {
		if err := read.Err(); err != nil {
			failed[read.config.Group] = err
		}
	}
	return failed
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
