package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// errDown is why an event waits while its endpoint is down.
var errDown = errors.New("the endpoint is down")

// Endpoint is a webhook that runs in this process: the membership of its group, and the requests to its endpoint. Stop ends it.
type Endpoint struct {
	runner    *Runner
	group     string
	transport http.RoundTripper
	target    atomic.Pointer[target]
	attempts  *recorder
	wants     func(chat domain.ChatID, typ string) bool // nil: all
	inFlight  atomic.Int64
	results   map[Result]*atomic.Int64 // of all results

	mu         sync.Mutex // guards the fields below
	definition groups.Definition
	breaker    *breaker
	timer      *time.Timer // ends the breaker's pause; nil if none runs
	ended      bool
	problem    error // of the last request that the guard refused, until another one gets through

	pausing atomic.Bool // because of an answer 410
	pauses  sync.WaitGroup

	applying   sync.Mutex // guards the fields below; is held while the membership's concurrency changes
	membership group.Membership
	applied    int
}

// Status is the state of an endpoint in this process.
type Status struct {
	Group    string
	State    State
	Until    time.Time // of the next probe, while it is down
	InFlight int
	Results  map[Result]int64 // requests since the endpoint runs
	Problem  error            // why no request can reach it: the configuration refuses its address; nil otherwise
}

// deliver handles a delivery: it sends the event and returns its outcome for the group.
func (e *Endpoint) deliver(ctx context.Context, d ports.Delivery) error {
	if e.wants != nil && !e.wants(d.Event.ChatID(), wireformat.Type(d.Event)) {
		return nil
	}
	t, wait, ok := e.begin()
	if !ok {
		return group.NotNow(wait, errDown)
	}
	reported := false
	defer func() {
		if !reported {
			e.abandon(t)
		}
	}()
	m, err := messageOf(e.runner.config.Codec, e.group, d)
	if err != nil {
		return group.Permanent(err)
	}
	a := e.send(ctx, m)
	if a.err != nil && ctx.Err() != nil {
		return ctx.Err() // the process ends: the event is sent again
	}
	reported = true
	return e.outcome(t, &m, a) //nolint:contextcheck // a pause is stored also if the delivery ends
}

// send sends a message once, and records the attempt.
func (e *Endpoint) send(ctx context.Context, m message) answer {
	e.inFlight.Add(1)
	defer e.inFlight.Add(-1)
	a := e.runner.send(ctx, e.target.Load(), e.transport, m, e.attempts)
	e.results[a.result].Add(1)
	return a
}

// outcome reports the answer of a request to the breaker, and returns the outcome of the delivery.
func (e *Endpoint) outcome(t ticket, m *message, a answer) error {
	ask := time.Duration(0)
	if a.result == Limited || a.status == http.StatusServiceUnavailable {
		ask = a.retryAfter
	}
	v := a.result.verdict()
	if a.result == Gone { // nothing is sent until the pause of the webhook arrives; if it cannot be paused, a later answer tries again
		v, ask = unreachable, time.Minute
		e.pause(a)
	}
	counts, wait := e.report(t, v, m.key(), ask, a)
	switch {
	case a.err == nil:
		return nil
	case a.result == Rejected:
		return group.Permanent(a.err)
	case !counts:
		return group.NotNow(cmp.Or(wait, firstPause), a.err)
	case a.retryAfter > 0:
		return group.RetryAfter(a.err, min(a.retryAfter, e.longestPause()))
	}
	return a.err
}

// key returns what distinguishes the event of a message from others.
func (m *message) key() string { return m.id }

func (e *Endpoint) longestPause() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.definition.Retry.Max
}

func (e *Endpoint) begin() (t ticket, wait time.Duration, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.breaker.begin(time.Now())
}

func (e *Endpoint) abandon(t ticket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.breaker.abandon(t)
}

// report passes a result to the breaker, and applies what it decides.
func (e *Endpoint) report(t ticket, v verdict, key string, ask time.Duration, a answer) (counts bool, wait time.Duration) {
	e.mu.Lock()
	before, limit := e.breaker.state, e.breaker.concurrency()
	counts, wait = e.breaker.report(t, v, key, ask, time.Now())
	e.problem = nil
	if a.result == Refused {
		e.problem = a.err
	}
	state := e.breaker.state
	changed := e.breaker.concurrency() != limit
	e.schedule()
	e.mu.Unlock()
	if changed {
		e.apply()
	}
	if state != before {
		e.runner.config.Logger.Info("endpoint of webhook changed its state", "group", e.group, "state", state.String(), "result", string(a.result), "error", errText(a.err))
	}
	return counts, wait
}

// schedule has the pause of the breaker end in time. mu is held.
func (e *Endpoint) schedule() {
	if e.breaker.state != Down || e.ended {
		return
	}
	wait := time.Until(e.breaker.until)
	if e.timer == nil {
		e.timer = time.AfterFunc(wait, e.endPause)
		return
	}
	e.timer.Reset(wait)
}

// endPause lets the next probe begin when its time has come.
func (e *Endpoint) endPause() {
	e.mu.Lock()
	if e.ended {
		e.mu.Unlock()
		return
	}
	e.breaker.advance(time.Now())
	e.schedule() // the pause may have become longer meanwhile
	e.mu.Unlock()
	e.apply()
}

// apply gives the membership the concurrency that the breaker allows now.
func (e *Endpoint) apply() {
	e.applying.Lock()
	defer e.applying.Unlock()
	e.mu.Lock()
	n := e.breaker.concurrency()
	e.mu.Unlock()
	if e.membership != nil && n != e.applied {
		e.applied = n
		e.membership.SetConcurrency(n)
	}
}

// pause pauses the webhook, because its endpoint answered that it is gone. One call runs at a time.
func (e *Endpoint) pause(a answer) {
	if !e.pausing.CompareAndSwap(false, true) {
		return
	}
	e.mu.Lock()
	d := e.definition
	e.mu.Unlock()
	e.pauses.Go(func() {
		defer e.pausing.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), pauseTimeout)
		defer cancel()
		if err := e.runner.config.Pause(ctx, d, a.err.Error()); err != nil {
			e.runner.config.Logger.WarnContext(ctx, "webhook not paused after an answer 410, trying again", "group", e.group, "error", err)
		}
	})
}

const pauseTimeout = 10 * time.Second

// Update applies a changed definition. It reports false for a change that needs another membership.
func (e *Endpoint) Update(d groups.Definition) bool {
	e.mu.Lock()
	before := e.definition
	e.mu.Unlock()
	if subscribers.NeedsRejoin(before, d) || before.Concurrency != d.Concurrency || !reflect.DeepEqual(before.Filter, d.Filter) {
		return false
	}
	next, err := e.runner.target(d)
	if err != nil {
		return false // another start returns the error
	}
	e.target.Store(next)
	e.mu.Lock()
	e.definition = d
	if before.Webhook.URL != d.Webhook.URL {
		e.breaker.reset()
		e.problem = nil
	}
	e.mu.Unlock()
	e.apply()
	return true
}

// Stop leaves the group: requests in flight may end until ctx ends or the group's drain is over. It stores the attempts that are not stored yet.
func (e *Endpoint) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.ended = true
	if e.timer != nil {
		e.timer.Stop()
	}
	e.mu.Unlock()
	e.runner.forget(e)
	err := e.membership.Leave(ctx)
	e.pauses.Wait()
	e.attempts.close(ctx)
	if t, ok := e.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	return err
}

// Done is closed when the membership has ended.
func (e *Endpoint) Done() <-chan struct{} { return e.membership.Done() }

// Err returns why the membership has ended by itself.
func (e *Endpoint) Err() error { return e.membership.Err() }

// Status returns the state of the endpoint.
func (e *Endpoint) Status() Status {
	s := Status{Group: e.group, InFlight: int(e.inFlight.Load()), Results: make(map[Result]int64, len(e.results))}
	for r, n := range e.results {
		s.Results[r] = n.Load()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.State, s.Problem = e.breaker.state, e.problem; s.State == Down {
		s.Until = e.breaker.until
	}
	return s
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%.200s", err)
}
