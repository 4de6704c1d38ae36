package chatcore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// backend is where events are kept and how they travel: Redis or memory.
type backend interface {
	LogID() string
	Topics() []string // that each group's subscriber reads
	Subscriber(s *registration) (message.Subscriber, error)
	DeadLetters() pubsub.DeadLetters // nil if subscribers keep their own
	Live() message.Subscriber
	LiveDropped() uint64
	LiveLost() uint64   // connections
	LiveQueued() uint64 // handed to listeners so far
	Refused() uint64    // announcements that Redis refused after the append
	Groups() groups     // nil if subscribers are not the core's own
	DeleteGroup(ctx context.Context, group string) error
	// Owned returns where the group of a subscriber stands on the partitions that it owns, none if that is not known.
	Owned(ctx context.Context, subscriber message.Subscriber) (pubsub.GroupState, error)
	Inspect(ctx context.Context, h *Health) // fills in the state of servers, pools and readiness
	Probe(ctx context.Context) error        // nil if the log takes events
	Close() error
}

// groups are the consumer groups of a log, as [Groups] is their administration.
type groups interface {
	List(ctx context.Context) ([]pubsub.GroupState, error)
	Rebuild(ctx context.Context, group string) error
	DeadLetters(ctx context.Context, group string) iter.Seq2[pubsub.DeadLetter, error]
	DeadLetter(ctx context.Context, group, id string) (pubsub.DeadLetter, error)
	Retry(ctx context.Context, group, id string) error
	Drop(ctx context.Context, group, id string) error
	Delete(ctx context.Context, group string) error
}

// redisBackend has a client of its own for reads that block, so that they never hold a connection that a command waits for.
type redisBackend struct {
	config   Config
	keys     keyspace.Keys
	log      *eventlog.Log
	live     *pubsub.Live
	reader   *pubsub.Reader
	counters *pubsub.GroupCounters
	codec    *wireformat.Codec
	clients  clients
}

// The clients that a core opens, by purpose.
type (
	commandClient  struct{ *conn.Client }
	blockingClient struct{ *conn.Client }
	pubSubClient   struct{ *conn.Client }
	cacheClient    struct {
		*conn.Client
		own bool // not that of the commands
	}
)

// clients are all of them.
type clients struct {
	commands commandClient
	blocking blockingClient
	pubSub   pubSubClient
	cache    cacheClient
}

// Close ends those first whose users need the others: reads of streams, live channels, caches, and then commands.
func (c clients) Close() error {
	err := errors.Join(c.blocking.Close(), c.pubSub.Close())
	if c.cache.own {
		err = errors.Join(err, c.cache.Close())
	}
	return errors.Join(err, c.commands.Close())
}

func (b *redisBackend) LogID() string            { return b.log.ID() }
func (b *redisBackend) Live() message.Subscriber { return b.live }
func (b *redisBackend) LiveDropped() uint64      { return b.live.Dropped() }
func (b *redisBackend) LiveLost() uint64         { return b.live.Reconnects() }
func (b *redisBackend) LiveQueued() uint64       { return b.live.Queued() }
func (b *redisBackend) Refused() uint64          { return b.log.Refused() }

func (b *redisBackend) DeadLetters() pubsub.DeadLetters { return nil }

// Topics is the bare stream's name: the partitions of all partitions are read as one.
func (b *redisBackend) Topics() []string {
	partitions := b.keys.Log().Partitions()
	return []string{partitions[len(partitions)-1].Stream}
}

func (b *redisBackend) partitions() []pubsub.Partition { return partitionsOf(b.keys) }

func partitionsOf(keys keyspace.Keys) []pubsub.Partition {
	var partitions []pubsub.Partition
	for _, l := range keys.Log().Partitions() {
		partitions = append(partitions, pubsub.Partition{Stream: l.Stream, Base: l.Base, Partition: l.Partition})
	}
	return partitions
}

func (b *redisBackend) Subscriber(s *registration) (message.Subscriber, error) {
	c := s.config(b.config, b.counters)
	c.Client, c.Reader, c.Topic, c.Partitions = b.clients.blocking.UniversalClient, b.reader, b.Topics()[0], b.partitions()
	c.LogID, c.Guard, c.Backlog, c.Codec = b.log.ID(), b.log, b.log, b.codec
	if s.batch != nil {
		c.Pace = b.config.Delivery.BuiltinPace
	}
	return pubsub.NewSubscriber(c)
}

// config returns a subscriber's settings beside its source.
func (s *registration) config(c Config, counters *pubsub.GroupCounters) pubsub.SubscriberConfig {
	plan := c.stopPlan()
	return pubsub.SubscriberConfig{
		Group: s.group, Ephemeral: s.passing, FromBeginning: s.fromBeginning, OnPoison: s.poison, Retry: pubsub.RetryPolicy(c.Delivery.Retry), InFlight: s.inFlight, Batch: s.batch,
		Slow: s.slow(), Lease: c.Delivery.Lease, Drain: plan.handlers, Finish: plan.finish(), Bound: c.Delivery.StreamBound, DeadLetterBound: c.Delivery.DeadLetterBound, CountersOf: counters.Of, Logger: c.Logger,
	}
}

// slow is how long a handler may run before its chat is reported, 0 for the default: a moment longer than its timeout.
func (s *registration) slow() time.Duration {
	if s.timeout == 0 {
		return 0
	}
	return s.timeout + time.Second
}

func (b *redisBackend) Groups() groups {
	return pubsub.NewGroups(b.clients.commands.UniversalClient, b.partitions(), b.log, b.log)
}

func (b *redisBackend) Owned(ctx context.Context, subscriber message.Subscriber) (pubsub.GroupState, error) {
	if s, ours := subscriber.(*pubsub.Subscriber); ours {
		return pubsub.NewGroups(b.clients.commands.UniversalClient, b.partitions(), b.log, b.log).Owned(ctx, s)
	}
	return pubsub.GroupState{}, nil
}

func (b *redisBackend) DeleteGroup(ctx context.Context, group string) error {
	return b.Groups().Delete(ctx, group)
}

// Close ends the users of the clients, and then the clients.
func (b *redisBackend) Close() error {
	var ending sync.WaitGroup
	ending.Go(b.log.Close)
	err := errors.Join(b.live.Close(), b.reader.Close())
	ending.Wait()
	return errors.Join(err, b.clients.Close())
}

// memoryBackend keeps everything in the process; it ends with it.
type memoryBackend struct {
	config   Config
	log      *memory.Log
	live     *pubsub.Local
	delivery *pubsub.Memory
	counters *pubsub.GroupCounters
}

func (b *memoryBackend) LogID() string                   { return b.log.ID() }
func (b *memoryBackend) Topics() []string                { return []string{b.delivery.Topic()} }
func (b *memoryBackend) Live() message.Subscriber        { return b.live }
func (b *memoryBackend) LiveDropped() uint64             { return b.live.Dropped() }
func (b *memoryBackend) LiveLost() uint64                { return 0 }
func (b *memoryBackend) LiveQueued() uint64              { return b.live.Queued() }
func (b *memoryBackend) Refused() uint64                 { return 0 }
func (b *memoryBackend) DeadLetters() pubsub.DeadLetters { return nil }
func (b *memoryBackend) Groups() groups                  { return b.delivery }

// Close ends the log, and with it commands and queries.
func (b *memoryBackend) Close() error {
	b.log.Close()
	return b.live.Close()
}

func (b *memoryBackend) Owned(ctx context.Context, subscriber message.Subscriber) (pubsub.GroupState, error) {
	if s, ours := subscriber.(*pubsub.Subscriber); ours {
		return b.delivery.Owned(ctx, s)
	}
	return pubsub.GroupState{}, nil
}

func (b *memoryBackend) DeleteGroup(ctx context.Context, group string) error {
	return b.delivery.Delete(ctx, group)
}

func (b *memoryBackend) Subscriber(s *registration) (message.Subscriber, error) {
	return b.delivery.Subscriber(s.config(b.config, b.counters))
}

// idle reports whether every group has handled all appended events.
func (b *memoryBackend) idle() bool { return b.delivery.Idle() }

// customBackend is a custom event log.
type customBackend struct {
	EventLog
}

func (b *customBackend) LogID() string                   { return b.ID }
func (b *customBackend) Topics() []string                { return b.Streams }
func (b *customBackend) Live() message.Subscriber        { return b.EventLog.Live }
func (b *customBackend) LiveDropped() uint64             { return 0 }
func (b *customBackend) LiveLost() uint64                { return 0 }
func (b *customBackend) Refused() uint64                 { return 0 }
func (b *customBackend) LiveQueued() uint64              { return 0 }
func (b *customBackend) DeadLetters() pubsub.DeadLetters { return b.EventLog.DeadLetters }
func (b *customBackend) Groups() groups                  { return nil }

func (b *customBackend) Owned(context.Context, message.Subscriber) (pubsub.GroupState, error) {
	return pubsub.GroupState{}, nil
}

func (b *customBackend) Subscriber(s *registration) (message.Subscriber, error) {
	return b.EventLog.Subscriber(s.group, s.fromBeginning)
}

func (b *customBackend) DeleteGroup(ctx context.Context, group string) error {
	if b.EventLog.DeleteGroup == nil {
		return nil
	}
	return b.EventLog.DeleteGroup(ctx, group)
}

func (b *customBackend) Close() error {
	if b.EventLog.Close == nil {
		return nil
	}
	return b.EventLog.Close()
}

// check returns an error that names a missing field.
func (e EventLog) check() error {
	missing := ""
	switch {
	case e.ID == "":
		missing = "ID"
	case e.Log == nil:
		missing = "Log"
	case len(e.Streams) == 0:
		missing = "Streams"
	case e.Subscriber == nil:
		missing = "Subscriber"
	case e.DeadLetters == nil:
		missing = "DeadLetters"
	case e.Live == nil:
		missing = "Live"
	}
	if missing != "" {
		return &domain.InvalidError{Field: "EventLog." + missing, Problem: "is missing", Allowed: "a value; or New without WithEventLog for a log on Redis, NewInMemory for one in memory"}
	}
	return nil
}

// systemClock is the time of the machine.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// uuids makes UUIDv7s (RFC 9562, method 3: the time goes on to below a millisecond), each with one allocation.
type uuids struct{}

func (uuids) NewID() string {
	var id uuid.UUID
	_, _ = rand.Read(id[8:])             // never fails since Go 1.24
	now := uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
	const milli = uint64(time.Millisecond)
	binary.BigEndian.PutUint64(id[:8], now/milli<<16|0x7000|now%milli<<12/milli)
	id[8] = 0x80 | id[8]&0x3f
	return id.String()
}

var (
	_ ports.Clock = systemClock{}
	_ ports.IDs   = uuids{}
)
