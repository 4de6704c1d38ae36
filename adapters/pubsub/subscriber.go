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

// ErrClosed is returned by a subscriber after its Close.
var ErrClosed = ports.ErrClosed

// Metadata keys: the event's type, which is also the name of its live channel, and its chat.
const (
	MetaType = wireformat.MetaType
	MetaChat = wireformat.MetaChatID
)

// DefaultLease is the default of [SubscriberConfig].Lease.
const DefaultLease = 3 * time.Second

// MinLease is the shortest lease. A shorter one would expire when a machine is busy.
const MinLease = 300 * time.Millisecond

// SubscriberConfig is the configuration of a [Subscriber].
type SubscriberConfig struct {
	Client goredis.UniversalClient // is not closed
	Reader *Reader                 // shares reads with other groups of the process. Defaults to a new one
	Group  string

	// Topic names the topic that reads Partitions. Any other topic is a stream of that name, which carries no chat's log.
	Topic      string
	Partitions []Partition
	// LogID identifies the log whose events the partitions carry. Backlog and Codec read it. All three are required if a partition is a partition's, and Guard
	// too if the partitions are in Redis.
	LogID   string
	Guard   LogGuard
	Backlog ports.Backlog
	Codec   *wireformat.Codec

	// Batch handles deliveries instead of a router; nil for none. Nothing is sent to the channel that Subscribe returns.
	Batch BatchHandler
	// Pace is the time between two reads of a stream that has nothing more. Reads then do not wait for entries, so that appends wake no reader.
	// Groups in memory have none. Defaults to 0: reads wait for entries.
	Pace time.Duration

	Ephemeral     bool // the group is deleted after its run: it stores no dead letter for all groups
	FromBeginning bool // a new group starts with the first event instead of the next one
	OnPoison      Poison
	Retry         RetryPolicy
	InFlight      int  // most messages in flight, at most one of each chat. Defaults to 64
	Unordered     bool // entries of other programs, which have no chat, may be in flight side by side. Defaults to false: one after another

	// Slow is how long a handler may run before its chat is reported as blocked. Defaults to 30 s
	Slow time.Duration
	// CoolDown is how long a partition is offered to other members when it has an event that only a later version of the program can read.
	// Defaults to 2 min
	CoolDown time.Duration

	Lease time.Duration // how long an owner that does not answer keeps a partition. Defaults to 3 s, at least [MinLease]
	Drain time.Duration // how long handlers may still run at the end. Defaults to 30 s
	// Finish is how long the last commits may take after the drain. Releasing the partitions may then take another second. Defaults to 2 s
	Finish time.Duration
	Bound  int // entries that a stream keeps for groups that are behind; they take older ones from the log. Defaults to 100,000

	// DeadLetterBound is the most dead letters that the group has on a partition. At the bound, a delivery that would become one is retried every
	// Retry.Max instead. Defaults to 10,000.
	DeadLetterBound int

	Counters *Counters // Defaults to those of CountersOf for the group, or to new ones
	// CountersOf returns the counters of any group: trimming moves other groups, which is counted there. Defaults to Counters for all.
	CountersOf func(group string) *Counters
	Logger     *slog.Logger // Defaults to slog.Default
}

// Subscriber reads delivery streams as a consumer group: at least once, a chat's events in the order of their seqs, one at a time.
//
// A group has a position on each partition and a checkpoint for each chat. Any number of processes may run the same group: each partition has one
// owner at a time, under a lease. A replaced owner can change nothing, because every change carries its epoch. A handler's result is committed some
// milliseconds after the handler returns. After a crash before that, the event is delivered again.
//
// A failed handler is started again after a pause that delays only its chat. After the last attempt the delivery becomes a dead letter. A transient
// failure ([IsTransient]) is no attempt: the handler is started again for as long as it lasts. An event that only a later version of the program can
// read is no attempt either: its chat waits, and the partition is offered to other members.
//
// The subscriber closes neither the client nor the reader that it was given.
type Subscriber struct {
	config  SubscriberConfig
	store   store
	settled bool // the router reports the outcomes of its messages

	mu     sync.Mutex
	subs   []*member
	closed bool
	err    error
	failed chan struct{} // closed when err is set
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a subscriber of a consumer group.
func NewSubscriber(c SubscriberConfig) (*Subscriber, error) {
	if c.Client == nil {
		return nil, &domain.InvalidError{Field: "Client", Problem: "is missing", Allowed: "a client"}
	}
	if c.Guard == nil && slices.ContainsFunc(c.Partitions, Partition.logged) {
		return nil, &domain.InvalidError{Field: "Guard", Problem: "is missing", Allowed: "a guard where a partition carries a log"}
	}
	store := &redisStore{client: c.Client, group: c.Group, guard: c.Guard, partitions: c.Partitions, scripts: newScripts(), Reader: c.Reader}
	if store.Reader == nil {
		store.Reader, store.own = NewReader(c.Client), true
	}
	return newSubscriber(c, store)
}

func newSubscriber(c SubscriberConfig, store store) (*Subscriber, error) {
	logged := false
	for _, l := range c.Partitions {
		logged = logged || l.logged()
	}
	switch {
	case c.Group == "":
		return nil, &domain.InvalidError{Field: "Group", Problem: "is missing", Allowed: "a name"}
	case logged && (c.LogID == "" || c.Backlog == nil || c.Codec == nil):
		return nil, &domain.InvalidError{Field: "LogID, Backlog and Codec", Problem: "are not all there", Allowed: "all three where a partition carries a log"}
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

// Subscribe reads a topic until ctx ends. The group exists when Subscribe returns: events appended from then on reach it. While Redis is unavailable
// Subscribe waits, half a minute at most. A message whose handler runs when ctx ends may still be acked, and its context lives, until the drain is
// over.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	partitions := []Partition{NewPartition(topic)}
	if topic == s.config.Topic && len(s.config.Partitions) > 0 {
		partitions = s.config.Partitions
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	sub := newMember(s, partitions)
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

// remove removes a member that has ended, unless its handlers still run.
func (s *Subscriber) remove(sub *member) {
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

// Err returns why a member has ended by itself: [ports.ErrLogLost], [ports.ErrNewerLog] or [ErrGroupDeleted]. It returns nil if none has.
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

// Running returns the handlers that run now, including those that an ended member left behind.
func (s *Subscriber) Running() []RunningHandler {
	var running []RunningHandler
	for _, sub := range s.subscriptions() {
		running = append(running, sub.running()...)
	}
	return running
}

// owned returns the partitions that the subscriber owns now.
func (s *Subscriber) owned() (partitions []Partition) {
	for _, sub := range s.subscriptions() {
		sub.mu.Lock()
		for _, l := range sub.partitions {
			if l.owned != nil && !l.owned.over {
				partitions = append(partitions, l.Partition)
			}
		}
		sub.mu.Unlock()
	}
	return partitions
}

func (s *Subscriber) subscriptions() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*member(nil), s.subs...)
}

// Close stops reading, waits for running handlers, for at most [SubscriberConfig].Drain, commits their outcomes and releases the partitions.
// [Subscriber.Running] returns the handlers that it leaves behind.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	subs := s.subscriptions()
	for _, sub := range subs {
		sub.stop()
	}
	for _, sub := range subs {
		<-sub.done
	}
	return s.store.close()
}
