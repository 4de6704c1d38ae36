package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// DefaultLease is how long an owner that does not answer keeps a lane, where nothing else is set.
const DefaultLease = 3 * time.Second

// MinLease is the shortest lease: what is shorter ends by itself when a machine is busy.
const MinLease = 300 * time.Millisecond

// SubscriberConfig says which consumer group reads, and how.
type SubscriberConfig struct {
	Client goredis.UniversalClient // is not closed
	Reader *Reader                 // shares what is read with other groups of the process. Defaults to one of its own
	Group  string

	// Topic is read as Lanes. Any other topic is a stream of that name, which carries no chat's log.
	Topic string
	Lanes []Lane
	// LogID is that of the log whose events the lanes carry, Backlog and Codec read it. All three are needed if a lane is a partition's, and Guard
	// if the lanes are in Redis.
	LogID   string
	Guard   LogGuard
	Backlog ports.Backlog
	Codec   *wireformat.Codec

	// Batch handles what is delivered, instead of a router; nil for none. Nothing is sent to the channel that Subscribe returns.
	Batch BatchHandler
	// Pace is the time between two reads of a stream that has nothing more: it is read without waiting for entries, so that appends wake nobody.
	// Groups in memory have none. Defaults to 0: reads wait for entries.
	Pace time.Duration

	Ephemeral     bool // the group is deleted when it has been read: it keeps no dead letter that would be the only one of all groups
	FromBeginning bool // a new group starts with the first event there is instead of the next one
	OnPoison      Poison
	Retry         RetryPolicy
	InFlight      int  // messages with handlers at a time; of one chat never more than one. Defaults to 64
	Unordered     bool // entries of other programs, which have no chat, may be with handlers side by side. Defaults to false: one after another

	// Slow is how long a handler may run before its chat is reported as blocked. Defaults to 30 s
	Slow time.Duration
	// CoolDown is how long a partition is offered to other members when it has an event that only a later version of the program can read.
	// Defaults to 2 min
	CoolDown time.Duration

	Lease time.Duration // how long an owner that does not answer keeps a lane. Defaults to 3 s, at least [MinLease]
	Drain time.Duration // how long handlers may still run at the end. Defaults to 30 s
	// Finish is how long the last commits and the release of the lanes may take after the drain. Defaults to 2 s
	Finish time.Duration
	Bound  int // entries that a stream keeps for groups that are behind; what is more they take from the log. Defaults to 100,000

	// DeadLetterBound is how many dead letters the group keeps on a lane. Once it has them, what would become one is tried again instead, Retry.Max
	// apart. Defaults to 10,000.
	DeadLetterBound int

	Counters *Counters // Defaults to what CountersOf returns for the group, or its own
	// CountersOf returns the counters of any group: trimming moves others, which is counted there. Defaults to Counters for all.
	CountersOf func(group string) *Counters
	Logger     *slog.Logger // Defaults to slog.Default
}

// Subscriber reads delivery streams as a consumer group: at least once, a chat's events in the order of their seqs, one at a time.
//
// A group is a position on each lane, with a checkpoint for each chat. Any number of processes may run the same group: each lane has one
// owner at a time, under a lease. An owner that has been replaced can change nothing: every change carries its epoch. What a handler finishes
// stays finished once it is taken down, some milliseconds later; a crash before that has it delivered again.
//
// A failed handler is started again after a pause that holds up its chat only, and the delivery becomes a dead letter after the last attempt.
// A transient failure ([IsTransient]) is no attempt: the handler is started again for as long as it lasts. An event that only a later version of
// the program can read is no attempt either: its chat waits, and the partition is offered to other members.
//
// The subscriber closes neither client nor reader that it was given.
type Subscriber struct {
	config  SubscriberConfig
	store   station
	settled bool // by the router

	mu     sync.Mutex
	subs   []*subscription
	closed bool
	err    error
	failed chan struct{} // closed when there is an err
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber makes a subscriber of a consumer group.
func NewSubscriber(c SubscriberConfig) (*Subscriber, error) {
	if c.Client == nil {
		return nil, &domain.InvalidError{Field: "Client", Problem: "is missing", Allowed: "a client"}
	}
	if c.Guard == nil && slices.ContainsFunc(c.Lanes, Lane.logged) {
		return nil, &domain.InvalidError{Field: "Guard", Problem: "is missing", Allowed: "a guard where a lane carries a log"}
	}
	store := &groupStore{client: c.Client, group: c.Group, guard: c.Guard, lanes: c.Lanes, scripts: newScripts(), Reader: c.Reader}
	if store.Reader == nil {
		store.Reader, store.own = NewReader(c.Client), true
	}
	return newSubscriber(c, store)
}

func newSubscriber(c SubscriberConfig, store station) (*Subscriber, error) {
	logged := false
	for _, l := range c.Lanes {
		logged = logged || l.logged()
	}
	switch {
	case c.Group == "":
		return nil, &domain.InvalidError{Field: "Group", Problem: "is missing", Allowed: "a name"}
	case logged && (c.LogID == "" || c.Backlog == nil || c.Codec == nil):
		return nil, &domain.InvalidError{Field: "LogID, Backlog and Codec", Problem: "are not all there", Allowed: "all three where a lane carries a log"}
	case c.Lease != 0 && c.Lease < MinLease:
		return nil, &domain.InvalidError{Field: "Lease", Problem: "is " + c.Lease.String(), Allowed: "at least " + MinLease.String()}
	}
	c.Retry = c.Retry.WithDefaults()
	c.InFlight = positive(c.InFlight, 64)
	c.Lease = positive(c.Lease, DefaultLease)
	c.Drain = positive(c.Drain, 30*time.Second)
	c.Finish = positive(c.Finish, 2*time.Second)
	c.Slow = positive(c.Slow, 30*time.Second)
	c.CoolDown = positive(c.CoolDown, 2*time.Minute)
	c.Bound = positive(c.Bound, 100_000)
	c.DeadLetterBound = positive(c.DeadLetterBound, 10_000)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.CountersOf == nil {
		own := c.Counters
		if own == nil {
			own = &Counters{}
		}
		c.CountersOf = func(string) *Counters { return own }
	}
	if c.Counters == nil {
		c.Counters = c.CountersOf(c.Group)
	}
	if c.Codec == nil {
		c.Codec = wireformat.New()
	}
	return &Subscriber{config: c, store: store, failed: make(chan struct{})}, nil
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// Subscribe reads a topic until ctx ends. The group is there when it returns: what is appended from then on reaches it. While Redis is away it
// waits, half a minute at most. A message whose
// handler runs when ctx ends may still be acked, and its context lives, until the drain is over.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	lanes := []Lane{NewLane(topic)}
	if topic == s.config.Topic && len(s.config.Lanes) > 0 {
		lanes = s.config.Lanes
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	sub := newSubscription(s, lanes)
	s.subs = append(s.subs, sub)
	s.mu.Unlock()
	if err := sub.prepare(ctx); err != nil {
		close(sub.done)
		s.remove(sub)
		return nil, fmt.Errorf("subscribing to %s as %s: %w", topic, s.config.Group, err)
	}
	go sub.run(ctx)
	return sub.out, nil
}

// remove drops a subscription that has ended, unless handlers of it still run.
func (s *Subscriber) remove(sub *subscription) {
	if len(sub.running()) > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.subs {
		if s.subs[i] == sub {
			s.subs = append(s.subs[:i], s.subs[i+1:]...)
			return
		}
	}
}

// Err is why a subscription has ended by itself: [ports.ErrLogLost], [ports.ErrNewerLog], [ErrGroupDeleted]. nil if none has.
func (s *Subscriber) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Subscriber) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		close(s.failed)
	}
	s.err = errors.Join(s.err, err)
}

// Running returns the handlers that run now, those included that an ended subscription left behind.
func (s *Subscriber) Running() []RunningHandler {
	var running []RunningHandler
	for _, sub := range s.subscriptions() {
		running = append(running, sub.running()...)
	}
	return running
}

// owned returns the lanes that the subscriber owns now.
func (s *Subscriber) owned() (lanes []Lane) {
	for _, sub := range s.subscriptions() {
		sub.mu.Lock()
		for _, l := range sub.lanes {
			if l.term != nil && !l.term.over {
				lanes = append(lanes, l.Lane)
			}
		}
		sub.mu.Unlock()
	}
	return lanes
}

func (s *Subscriber) subscriptions() []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*subscription(nil), s.subs...)
}

// Close stops reading, waits for the handlers that run, for at most [SubscriberConfig].Drain, commits what they finished and releases the lanes. The
// handlers that it leaves behind are those of [Subscriber.Running].
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	subs := s.subscriptions()
	for _, sub := range subs {
		sub.halt()
	}
	for _, sub := range subs {
		<-sub.done
	}
	return s.store.close()
}
