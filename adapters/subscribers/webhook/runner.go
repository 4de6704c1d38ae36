package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
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

// DefaultTimeout is the bound of a request whose webhook has none.
const DefaultTimeout = 15 * time.Second

// Config configures a [Runner]. Fields are required unless they say otherwise.
type Config struct {
	Guard    *Guard
	Keys     Keyring // may be the zero value: webhooks then cannot run
	Codec    *wireformat.Codec
	Attempts ports.WebhookAttempts

	// Pause pauses the webhook of a definition with a reason, unless the definition has changed.
	Pause func(ctx context.Context, d groups.Definition, reason string) error

	Observer Observer     // of requests; nil: none
	TLS      *tls.Config  // of connections; nil: the system's authorities
	Logger   *slog.Logger // Defaults to slog.Default

	// Transport returns the connections of one endpoint, with the most requests in flight. Defaults to HTTP/1.1 behind the guard.
	Transport func(concurrency int) http.RoundTripper
}

// Observer observes requests.
type Observer interface {
	// WebhookRequest is called before a request. The request carries the traceparent that it returns, if that is not empty. done is called with the result and
	// the status of the answer, 0 if none came.
	WebhookRequest(ctx context.Context, r RequestInfo) (in context.Context, traceparent string, done func(result string, status int, err error))
}

// RequestInfo describes a request to an [Observer].
type RequestInfo struct {
	Group, Host, Type string
	Chat              domain.ChatID
	Seq               domain.Seq
	Attempt           int
	TraceParent       string // of the event
}

var (
	_ subscribers.Runner  = (*Runner)(nil)
	_ subscribers.Running = (*Endpoint)(nil)
)

// Runner runs webhooks in this process. It is safe for concurrent use.
type Runner struct {
	config Config

	mu      sync.Mutex // guards running
	running map[string]*Endpoint
}

// NewRunner returns a runner without webhooks.
func NewRunner(c Config) *Runner {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Transport == nil {
		guard, config := c.Guard, c.TLS
		c.Transport = func(concurrency int) http.RoundTripper { return newTransport(guard, concurrency, config) }
	}
	return &Runner{config: c, running: make(map[string]*Endpoint)}
}

// Run joins the group of a webhook, and sends its events until [Endpoint.Stop]. d has the defaults of its kind. Run returns an error if the configuration
// refuses the URL or lacks the key of the secret.
func (r *Runner) Run(ctx context.Context, d groups.Definition, join group.Joiner) (subscribers.Running, error) {
	t, err := r.target(d)
	if err != nil {
		return nil, err
	}
	config := subscribers.GroupConfig(d)
	e := &Endpoint{
		runner: r, group: d.Group, definition: d, transport: r.config.Transport(config.Concurrency), attempts: newRecorder(r.config.Attempts, d.Group, r.config.Logger),
		breaker: newBreaker(config.Concurrency, rand.Uint64()), wants: subscribers.Wants(d.Filter), applied: config.Concurrency, results: make(map[Result]*atomic.Int64),
	}
	for _, result := range Results() {
		e.results[result] = new(atomic.Int64)
	}
	e.target.Store(t)
	membership, err := join(ctx, config, group.Calls(e.deliver))
	if err != nil {
		e.attempts.close(ctx)
		return nil, err
	}
	e.applying.Lock()
	e.membership = membership
	e.applying.Unlock()
	e.apply() // requests may have failed meanwhile
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[d.Group] = e
	return e, nil
}

// target returns where the requests of a webhook go.
func (r *Runner) target(d groups.Definition) (*target, error) {
	if d.Webhook == nil {
		return nil, &domain.InvalidError{Field: "webhook", Problem: "is missing", Allowed: "an endpoint"}
	}
	u, err := r.config.Guard.Check(d.Webhook.URL)
	if err != nil {
		return nil, err
	}
	secrets, err := r.config.Keys.open(d.Group, d.Webhook.Secrets)
	if err != nil {
		return nil, err
	}
	t := &target{url: u, timeout: d.Webhook.Timeout, secrets: secrets}
	if t.timeout <= 0 {
		t.timeout = DefaultTimeout
	}
	return t, nil
}

// send sends a message once, and records the attempt.
func (r *Runner) send(ctx context.Context, t *target, transport http.RoundTripper, m message, attempts *recorder) answer {
	done := func(string, int, error) {}
	if r.config.Observer != nil {
		var trace string
		ctx, trace, done = r.config.Observer.WebhookRequest(ctx, RequestInfo{m.group, t.url.Host, m.typ, m.chat, m.seq, m.attempt, m.trace})
		if trace != "" {
			m.trace = trace
		}
	}
	began := time.Now()
	a := t.post(ctx, transport, m)
	done(string(a.result), a.status, a.err)
	if attempts != nil && (a.err == nil || !errors.Is(ctx.Err(), context.Canceled)) {
		attempts.add(attemptOf(&m, a, began)) //nolint:contextcheck // attempts of many deliveries are stored together
	}
	return a
}

// TestType is the type of the event that [Runner.Test] sends.
const TestType = "webhook:test"

// Test sends an event of [TestType] to the endpoint of a webhook, once, and returns what came of it. It need not run here.
func (r *Runner) Test(ctx context.Context, d groups.Definition) (ports.WebhookAttempt, error) {
	t, err := r.target(d)
	if err != nil {
		return ports.WebhookAttempt{}, err
	}
	transport := r.config.Transport(1)
	if t, ok := transport.(*http.Transport); ok {
		defer t.CloseIdleConnections()
	}
	m := testMessage(d.Group, time.Now())
	attempts := newRecorder(r.config.Attempts, d.Group, r.config.Logger)
	began := time.Now()
	a := r.send(ctx, t, transport, m, attempts)
	if a.err != nil && ctx.Err() != nil {
		return ports.WebhookAttempt{}, ctx.Err()
	}
	attempts.close(ctx)
	return attemptOf(&m, a, began), nil
}

// Statuses returns the state of each webhook that runs here, sorted by name.
func (r *Runner) Statuses() []Status {
	r.mu.Lock()
	running := slices.Collect(maps.Values(r.running))
	r.mu.Unlock()
	statuses := make([]Status, 0, len(running))
	for _, e := range running {
		statuses = append(statuses, e.Status())
	}
	slices.SortFunc(statuses, func(a, b Status) int { return strings.Compare(a.Group, b.Group) })
	return statuses
}

// Status returns the state of a webhook, if it runs here.
func (r *Runner) Status(name string) (Status, bool) {
	r.mu.Lock()
	e := r.running[name]
	r.mu.Unlock()
	if e == nil {
		return Status{}, false
	}
	return e.Status(), true
}

func (r *Runner) forget(e *Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[e.group] == e {
		delete(r.running, e.group)
	}
}
