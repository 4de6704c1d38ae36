package pull

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Bounds of consumers.
const (
	MaxCredit      = 4096
	DefaultCredit  = 64
	MinLease       = time.Second
	MaxLease       = time.Hour
	DefaultLease   = 30 * time.Second
	MaxFetched     = 1024
	MaxFetchWait   = 30 * time.Second
	MaxSettlements = 1024 // of one call or message
	MaxReason      = 1024 // bytes
	MaxPause       = 24 * time.Hour
)

// Config configures a [Broker].
type Config struct {
	// Definitions are the definitions of groups: they say why a group does not run. Defaults to none: no group is defined.
	Definitions groups.Definitions
	// Relay passes settlements to the processes that made the deliveries. Defaults to none: there is one process.
	Relay ports.Relay
	// Linger is how long the process stays a member of a group after its last consumer. Defaults to 10 seconds.
	Linger time.Duration
	// Drain is how long consumers may settle what they have once their stream, or the group, ends. Defaults to 5 seconds.
	Drain time.Duration
	// Remember is the most settled deliveries whose outcome is remembered, of all groups. Defaults to 65,536.
	Remember int
	// Logger receives what goes wrong. Defaults to slog.Default().
	Logger *slog.Logger
}

// Broker has the pull groups of a process. All methods are safe for concurrent use.
type Broker struct {
	config   Config
	tokens   *tokens
	seed     maphash.Seed
	dispatch atomic.Uint64 // number of the last dispatch

	mu sync.Mutex
	// mu guards: groups, changed.
	groups  map[string]*Group
	changed chan struct{} // closed when groups changes

	settled settled

	serving sync.Mutex
	answers func() // serving guards; stops the answers to other processes; nil as long as there are none
}

// New returns a broker without groups. It answers other processes from its first group on.
func New(c Config) *Broker {
	c.Linger = cmp.Or(c.Linger, 10*time.Second)
	c.Drain = cmp.Or(c.Drain, 5*time.Second)
	c.Remember = cmp.Or(c.Remember, 1<<16)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return &Broker{
		config: c, tokens: newTokens(uuid.New()), seed: maphash.MakeSeed(), groups: make(map[string]*Group), changed: make(chan struct{}),
		settled: newSettled(c.Remember),
	}
}

var _ subscribers.Runner = (*Broker)(nil)

// Run implements [subscribers.Runner]: it runs a pull group until Stop. join joins it while it has consumers.
func (b *Broker) Run(ctx context.Context, d groups.Definition, join group.Joiner) (subscribers.Running, error) {
	if err := b.serve(ctx); err != nil {
		return nil, err
	}
	g := newGroup(b, d, join)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.groups[d.Group] != nil {
		return nil, &domain.InvalidError{Field: "group", Problem: "runs already", Allowed: "one that does not"}
	}
	b.groups[d.Group] = g
	b.notify()
	go g.run(context.WithoutCancel(ctx))
	return g, nil
}

// notify wakes those that wait for a group. The mutex is held.
func (b *Broker) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// remove forgets a group that has ended.
func (b *Broker) remove(g *Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.groups[g.name] == g {
		delete(b.groups, g.name)
		b.notify()
	}
}

func (b *Broker) running(name string) (g *Group, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.groups[name], b.changed
}

// Times of find.
const (
	findTimeout = 5 * time.Second // for a group that was just defined or resumed
	findPause   = 250 * time.Millisecond
)

// find returns a running group. It waits a few seconds for one that is defined and does not run yet.
func (b *Broker) find(ctx context.Context, name string) (*Group, error) {
	deadline := time.Now().Add(findTimeout)
	for {
		g, changed := b.running(name)
		if g != nil {
			return g, nil
		}
		if err := b.whyNot(ctx, name); err != nil {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, ErrNotRunning
		}
		timer := time.NewTimer(findPause)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// whyNot returns why a group has no consumers, or nil if it is defined as one that may have some.
func (b *Broker) whyNot(ctx context.Context, name string) error {
	if b.config.Definitions == nil {
		return groups.ErrNotDefined
	}
	d, err := b.config.Definitions.Definition(ctx, name)
	switch {
	case err != nil:
		return err
	case d.Kind != groups.KindPull:
		return ErrOtherKind
	case d.Paused:
		return ErrPaused
	}
	return nil
}

// endOf returns why the consumers of a group end that ends in this process.
func (b *Broker) endOf(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	switch err := b.whyNot(ctx, name); {
	case errors.Is(err, groups.ErrNotDefined), errors.Is(err, ErrOtherKind):
		return ErrDeleted
	case errors.Is(err, ErrPaused):
		return ErrPaused
	}
	return ErrStopping
}

// Request describes a consumer. The caller has checked its values.
type Request struct {
	Group  string
	Credit int           // the most deliveries that it has without having settled them
	Lease  time.Duration // of each delivery
	Name   string        // for logs; may be empty
}

// Consume adds a consumer to a group. It returns [groups.ErrNotDefined], [ErrOtherKind], [ErrPaused] or [ErrNotRunning] if the group has no consumers. The
// caller closes the consumer.
func (b *Broker) Consume(ctx context.Context, r Request) (*Consumer, error) {
	for {
		g, err := b.find(ctx, r.Group)
		if err != nil {
			return nil, err
		}
		if c := g.add(r); c != nil {
			return c, nil
		}
		if err := b.gone(ctx, g); err != nil {
			return nil, err
		}
	}
}

// gone waits until a group that takes no consumers is removed.
func (b *Broker) gone(ctx context.Context, g *Group) error {
	for {
		now, changed := b.running(g.name)
		if now != g {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Fetch returns the next deliveries of a group, at most r.Credit. It waits for the first one, and returns none if there is none within wait. Errors are
// those of Consume.
func (b *Broker) Fetch(ctx context.Context, r Request, wait time.Duration) ([]Delivery, error) {
	c, err := b.Consume(ctx, r)
	if err != nil {
		return nil, err
	}
	defer c.Detach()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		taken, err := c.Take(nil, r.Credit)
		if len(taken) > 0 || err != nil {
			return taken, err
		}
		select {
		case <-c.Ready():
		case <-timer.C:
			return c.Take(nil, r.Credit)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
