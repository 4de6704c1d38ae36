package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/domain"
	"chatcore/ports"
)

// DeadLetters stores the dead letters of a log without delivery streams. A [Subscriber] stores its own.
type DeadLetters interface {
	// Put stores a letter. A second call after an error may store it twice.
	Put(ctx context.Context, letter DeadLetter) error
}

// MemoryDeadLetters stores dead letters in the process.
type MemoryDeadLetters struct {
	mu      sync.Mutex
	letters []DeadLetter
}

// Put implements [DeadLetters].
func (m *MemoryDeadLetters) Put(_ context.Context, d DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.ID = strconv.Itoa(len(m.letters) + 1)
	m.letters = append(m.letters, d)
	return nil
}

// ErrDuplicateGroup is returned for a consumer group that is added twice.
var ErrDuplicateGroup = errors.New("consumer group added twice")

// Router runs consumer groups with a Watermill router.
type Router struct {
	*message.Router
	letters    DeadLetters
	counters   func(group string) *Counters
	clock      ports.Clock
	retry      RetryPolicy
	logger     *slog.Logger
	groups     map[string]struct{}
	readings   []*reading
	stopping   chan struct{} // closed when Run begins to stop
	deliveries deliveries    // of the groups of other subscribers
}

// reading is a subscriber that has subscribed before Watermill's router runs. If the router subscribed itself and failed, it would leave goroutines
// behind, and run with the members that it had begun.
type reading struct {
	message.Subscriber
	topic    string
	messages <-chan *message.Message
}

func (r *reading) begin(ctx context.Context) (err error) {
	r.messages, err = r.Subscriber.Subscribe(ctx, r.topic)
	return err
}

// Subscribe returns the messages of the member.
func (r *reading) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return r.messages, nil
}

// NewRouter returns a router. counters returns the counters of a group. closeTimeout is how long handlers may still run when the router is closed.
// letters may be nil if every group has a [Subscriber].
func NewRouter(letters DeadLetters, counters func(group string) *Counters, clock ports.Clock, retry RetryPolicy, closeTimeout time.Duration, logger *slog.Logger) (*Router, error) {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, routerLog{logger})
	if err != nil {
		return nil, err
	}
	return &Router{
		Router: router, letters: letters, counters: counters, clock: clock, retry: retry.WithDefaults(), logger: logger, groups: make(map[string]struct{}),
		stopping: make(chan struct{}), deliveries: deliveries{all: make(map[*delivery]struct{})},
	}, nil
}

// AddGroup adds a consumer group that reads each of the topics. The middlewares surround every start of the handler, the first one outermost. A start
// succeeds if the handler and the middlewares return nil. A handler or middleware that panics or calls [runtime.Goexit] fails.
//
// A [Subscriber] retries and stores dead letters by itself. For another subscriber AddGroup adds both, outside of the middlewares.
func (r *Router) AddGroup(group string, topics []string, subscriber message.Subscriber, handle message.NoPublishHandlerFunc, middlewares ...message.HandlerMiddleware) error {
	if _, twice := r.groups[group]; twice {
		return fmt.Errorf("%w: %q", ErrDuplicateGroup, group)
	}
	r.groups[group] = struct{}{}
	ours, _ := subscriber.(*Subscriber)
	if ours != nil {
		ours.settled = true
	}
	for _, topic := range topics {
		name := group
		if len(topics) > 1 {
			name += "@" + topic
		}
		read := &reading{Subscriber: subscriber, topic: topic}
		r.readings = append(r.readings, read)
		if ours != nil {
			r.AddConsumerHandler(name, topic, read, surrounded(handle, surround(ours.startOf, middlewares))).AddMiddleware(reportOutcome)
			continue
		}
		r.AddConsumerHandler(name, topic, read, surrounded(handle, surround(r.deliveries.find(group), middlewares))).
			AddMiddleware(r.deliveries.track(group), r.addDeadLetter(group), r.tryAgain(group), apart)
	}
	return nil
}

// Run reads until ctx ends, or until a [Subscriber] ends by itself. A deleted group ends alone: Run continues as long as another group is left, and
// adds [ErrGroupDeleted] to the error that it returns at its end. Any other reason ends all groups.
//
// Handlers that outlast the drain of their [Subscriber], or the router's closeTimeout, are left behind when Run returns: [Router.InFlight] names them.
func (r *Router) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { close(r.stopping) })()
	for _, read := range r.readings {
		if err := read.begin(ctx); err != nil {
			stop()
			return errors.Join(err, r.end())
		}
	}
	var left atomic.Int64 // groups that have not failed
	left.Store(int64(len(r.readings)))
	for _, read := range r.readings {
		if s, ours := read.Subscriber.(*Subscriber); ours {
			watching.Go(func() {
				select {
				case <-s.failed:
					if err := s.Err(); left.Add(-1) == 0 || !errors.Is(err, ErrGroupDeleted) || errors.Is(err, ports.ErrLogLost) {
						stop()
					}
				case <-ctx.Done():
				}
			})
		}
	}
	err := r.run(ctx)
	for _, read := range r.readings {
		if s, ours := read.Subscriber.(*Subscriber); ours {
			err = errors.Join(err, s.Err())
		}
	}
	return err
}

// Stopping is closed when the router begins to stop: because the context of Run has ended, or because a subscriber has failed.
func (r *Router) Stopping() <-chan struct{} { return r.stopping }

// InFlight returns the handlers that run now.
func (r *Router) InFlight() []RunningHandler {
	running := r.deliveries.running()
	for _, read := range r.readings {
		if s, ours := read.Subscriber.(*Subscriber); ours {
			running = append(running, s.Running()...)
		}
	}
	return running
}

// run runs Watermill's router. It returns early if the subscribers left handlers behind, for which the router would wait for its closeTimeout once
// more.
func (r *Router) run(ctx context.Context) error {
	ended, abandoned, finished := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() { ended <- r.Router.Run(ctx) }()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer close(finished)
	watching.Go(func() {
		if r.subscribersEnd(finished) && len(r.InFlight()) > 0 {
			close(abandoned)
		}
	})
	select {
	case err := <-ended:
		return err
	case <-abandoned:
		return nil
	}
}

// subscribersEnd waits until every member has ended. It returns false if finished is closed before.
func (r *Router) subscribersEnd(finished <-chan struct{}) bool {
	var subs []*member
	for _, read := range r.readings {
		s, ours := read.Subscriber.(*Subscriber)
		if !ours { // Watermill's router bounds the wait for its handlers
			return false
		}
		subs = append(subs, s.subscriptions()...)
	}
	for _, sub := range subs {
		select {
		case <-sub.done:
		case <-finished:
			return false
		}
	}
	return true
}

func (r *Router) end() error {
	var errs []error
	for _, read := range r.readings {
		errs = append(errs, read.Close())
	}
	return errors.Join(errs...)
}

// reportOutcome reports the outcome of a message to its subscriber.
func reportOutcome(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (produced []*message.Message, err error) {
		p := recordOf(msg.Context()) // a middleware may replace the message's context
		s, flight, published := p.owned.sub, p.dispatchID, false
		if !s.mayBegin(p) { // the process was suspended, and another may own the partition by now
			s.report(p, flight, errNotBegun)
			return nil, nil
		}
		defer func() {
			if published {
				return
			}
			r := recover()
			if r == nil { // a Goexit cannot be stopped, but its outcome is reported
				s.report(p, flight, errExited)
				return
			}
			s.report(p, flight, fmt.Errorf("%w: %v", errPanicked, r)) // a middleware
			msg.Nack()
		}()
		produced, err = next(msg)
		published = true
		if err == nil && nacked(msg) {
			err = errUnsettled
		}
		s.report(p, flight, err)
		if err != nil {
			msg.Nack()
		}
		return produced, nil
	}
}

func nacked(msg *message.Message) bool {
	select {
	case <-msg.Nacked():
		return true
	default:
		return false
	}
}

// Errors of handlers that did not return.
var (
	errPanicked = errors.New("the handler panicked")
	errExited   = errors.New("the handler called runtime.Goexit")
)

// apart runs the handler on a separate goroutine, so that a panic and a [runtime.Goexit] become errors that can be retried.
func apart(next message.HandlerFunc) message.HandlerFunc {
	next = recoverer(next)
	return func(msg *message.Message) (produced []*message.Message, err error) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			err = errExited
			produced, err = next(msg)
		}()
		<-ended
		return produced, err
	}
}

// ErrHandlerTimeout is returned for a handler that failed after its timeout. It is a failed attempt, even if the end of its context made a port
// return an error such as [ports.ErrUnavailable].
var ErrHandlerTimeout = errors.New("handler timeout")

// WithTimeout ends the context of each start of a handler after d. A handler that returns nil has succeeded, however long it took. A handler that
// ignores its context keeps its chat waiting: the order forbids another start beside it.
func WithTimeout(d time.Duration, handle message.NoPublishHandlerFunc) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		before := msg.Context()
		ctx, cancel := context.WithTimeout(before, d)
		defer cancel()
		msg.SetContext(ctx)
		defer msg.SetContext(before)
		err := handle(msg)
		if err != nil && before.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%w: it has %v: %w", ErrHandlerTimeout, d, err)
		}
		return err
	}
}

// recoverer converts a panic into an error.
func recoverer(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (produced []*message.Message, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%w: %v", errPanicked, r)
			}
		}()
		return next(msg)
	}
}

// tryAgain retries a failed handler and counts its attempts. It returns the last error if that is permanent or of the last attempt. If the router
// stops before the next start, it returns the last error with [errInterrupted]. A transient failure, and an event that only a later version of the
// program can read, are no attempts and are retried without limit.
func (r *Router) tryAgain(group string) message.HandlerMiddleware {
	counters := r.counters(group)
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			for attempts, transients := 0, 0; ; {
				msg.Metadata.Set(metaAttempt, strconv.Itoa(attempts+1))
				produced, err := next(msg)
				wait := time.Duration(0)
				switch {
				case err == nil, IsPermanent(err):
					return produced, err
				case IsTransient(err), isNewer(err):
					counters.Transient.Add(1)
					transients++
					wait = r.retry.holdDelay(transients)
					if transients == 1 {
						r.logger.WarnContext(msg.Context(), "handler failed transiently, and is started again until it does not", "event_id", msg.UUID, "error", err)
					}
				default:
					attempts++
					transients = 0
					if attempts >= r.retry.Attempts {
						return produced, err
					}
					wait = r.retry.delay(attempts)
				}
				if !r.after(msg.Context(), wait) {
					return nil, errors.Join(errInterrupted, err)
				}
			}
		}
	}
}

// errInterrupted is returned for a delivery that the end of the router interrupted. The delivery is nacked, and delivered again.
var errInterrupted = errors.New("the router stopped before the handler was started again")

// after waits. It returns false if the router stops or ctx ends before.
func (r *Router) after(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stopping:
	case <-ctx.Done():
	}
	return false
}

// addDeadLetter stores a dead letter for a delivery that failed for good, and finishes it. A delivery is repeated if it failed because the process stops,
// or if its dead letter could not be stored.
func (r *Router) addDeadLetter(group string) message.HandlerMiddleware {
	counters := r.counters(group)
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			returned := false
			defer func() {
				if !returned { // a middleware panicked or called Goexit, which Watermill does not notice
					msg.Nack()
				}
			}()
			produced, err := next(msg)
			returned = true
			if err == nil || msg.Context().Err() != nil || errors.Is(err, errInterrupted) {
				return produced, err
			}
			seq, _ := strconv.ParseUint(msg.Metadata.Get(metaSeq), 10, 64)
			letter := DeadLetter{
				Group: group, Reason: err.Error(), Attempts: Attempt(msg), At: r.clock.Now(), Chat: domain.ChatID(msg.Metadata.Get(MetaChat)), Seq: domain.Seq(seq),
				EventID: domain.EventID(msg.UUID), Metadata: msg.Metadata, Payload: msg.Payload,
			}
			if putErr := r.letters.Put(msg.Context(), letter); putErr != nil {
				return nil, errors.Join(err, fmt.Errorf("storing the dead letter: %w", putErr))
			}
			counters.DeadLetters.Add(1)
			r.logger.WarnContext(msg.Context(), "delivery became a dead letter",
				"group", group, "chat", letter.Chat, "event_id", msg.UUID, "attempts", letter.Attempts, "error", err)
			return nil, nil
		}
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
