package chatcore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis"
	"chatcore/adapters/redis/definitions"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/relay"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// backend holds what differs between a core on Redis, one in memory, and one on a custom log.
type backend struct {
	logID      string
	oldest     string // log id in the identities of events: of the oldest log that this one continues
	groups     groups.Stores
	defined    groups.Definitions
	relay      ports.Relay // nil on a custom log: its processes do not reach each other
	backlog    ports.Backlog
	live       message.Subscriber
	tail       ports.Tail  // nil on a custom log without one
	liveCounts liveCounts  // nil on a custom log
	redis      *onRedis    // nil unless the log is on Redis
	retained   retainedLog // nil on a custom log
	idle       func() bool // whether every group has handled all appended events; nil unless the core is in memory
	close      func() error
}

// liveCounts are the counts of a live transport.
type liveCounts interface {
	Dropped() uint64
	Queued() uint64 // handed to subscribers so far
}

// onRedis holds the parts of a core that only one on Redis has.
type onRedis struct {
	keys    keyspace.Keys
	log     *eventlog.Log
	live    *live.PubSub
	tail    *live.Tail
	groups  *redisgroup.Groups
	codec   *wireformat.Codec
	clients *redis.Clients

	// newRedisBackend makes these two.
	relay    *relay.Relay `wire:"-"`
	relaying *live.PubSub `wire:"-"` // subscriptions of relay
}

func newRedisBackend(r *onRedis, logger *slog.Logger) *backend {
	r.relaying = live.NewPubSub(live.PubSubConfig{Client: r.clients.PubSub.UniversalClient, Logger: logger})
	r.relay = relay.New(relay.Config{Client: r.clients.Commands.UniversalClient, Subscriptions: r.relaying, Keys: r.keys.Relays(), Logger: logger})
	return &backend{
		relay: r.relay,
		logID: r.log.ID(), oldest: r.log.Oldest(), groups: r.groups, defined: definitions.New(r.clients.Commands.UniversalClient, r.keys.Definitions()), backlog: r.log, retained: r.log, live: r.live, tail: r.tail, liveCounts: r.live, redis: r, close: r.close,
	}
}

// close ends the users of the clients, and then the clients.
func (r *onRedis) close() error {
	var ending sync.WaitGroup
	ending.Go(r.log.Close)
	r.relay.Close()
	r.tail.Close() // before the connection that it shares with live
	err := errors.Join(r.relaying.Close(), r.live.Close(), r.groups.Close())
	ending.Wait()
	return errors.Join(err, r.clients.Close())
}

// eraseEntries removes the entries of erased events from their delivery stream. Entries that have to wait are removed once every group has passed them.
func (r *onRedis) eraseEntries(ctx context.Context, chat domain.ChatID, seqs []domain.Seq) error {
	_, err := r.groups.EraseEntries(ctx, r.keys.Partition(chat), chat, seqs)
	return err
}

// newMemoryBackend returns the backend of a core whose data ends with the process.
func newMemoryBackend(log *memory.Log, live *live.Local, tail *memory.Tail, groups *memgroup.Groups, clock ports.Clock) *backend {
	return &backend{
		logID: log.ID(), oldest: log.ID(), groups: groups, defined: memory.NewDefinitions(clock), relay: memory.NewRelay(), backlog: groups.Backlog(), retained: log, live: live, tail: tail, liveCounts: live, idle: groups.Idle,
		close: func() error {
			log.Close() // and with it commands and queries
			tail.Close()
			return live.Close()
		},
	}
}

func newCustomBackend(log *EventLog, clock ports.Clock) *backend {
	end := log.Close
	if end == nil {
		end = func() error { return nil }
	}
	defined := log.Definitions
	if defined == nil {
		defined = memory.NewDefinitions(clock)
	}
	return &backend{logID: log.ID, oldest: log.ID, groups: log.Groups, defined: defined, backlog: log.backlog(), live: log.Live, tail: log.Tail, close: end}
}

// probe returns nil if the log accepts events: on Redis it proves all rights and makes a small write in every partition.
func (b *backend) probe(ctx context.Context) error {
	if b.redis == nil {
		return nil
	}
	return b.redis.log.Probe(ctx)
}

// refused returns the number of announcements that Redis refused after the append.
func (b *backend) refused() uint64 {
	if b.redis == nil {
		return 0
	}
	return b.redis.log.Refused()
}

// channelWatcher is a live transport that calls a function with what it receives, without a queue and a goroutine of its own.
type channelWatcher interface {
	Watch(ctx context.Context, topic string, receive func(payload []byte)) (stop func(), err error)
}

// watchChannel has receive called with each payload of a type's channel from its return on, until stop is called.
func (b *backend) watchChannel(ctx context.Context, typ string, receive func(payload []byte)) (stop func(), err error) {
	if w, direct := b.live.(channelWatcher); direct {
		return w.Watch(ctx, typ, receive)
	}
	ctx, cancel := context.WithCancel(ctx)
	messages, err := b.live.Subscribe(ctx, typ)
	if err != nil {
		cancel()
		return nil, err
	}
	done := inBackground(func() {
		for msg := range messages {
			msg.Ack()
			receive(msg.Payload)
		}
	})
	return func() {
		cancel()
		<-done
	}, nil
}

// liveDropped returns the number of live messages that never reached their listener.
func (b *backend) liveDropped() uint64 {
	if b.liveCounts == nil {
		return 0
	}
	return b.liveCounts.Dropped()
}

// liveQueued returns the number of live messages that were handed to listeners.
func (b *backend) liveQueued() uint64 {
	if b.liveCounts == nil {
		return 0
	}
	return b.liveCounts.Queued()
}

// tailStats returns the counts of the tail.
func (b *backend) tailStats() TailStats {
	switch t := b.tail.(type) {
	case *live.Tail:
		return TailStats{Announcements: t.Announcements(), Holes: t.Holes(), Found: t.Found(), Losses: t.Losts(), Malformed: t.Malformed()}
	case *memory.Tail:
		return TailStats{Malformed: t.Malformed()}
	}
	return TailStats{}
}

// liveReconnects returns the number of live connections that were lost.
func (b *backend) liveReconnects() uint64 {
	if b.redis == nil {
		return 0
	}
	return b.redis.tail.Reconnects() // with those of live
}

// groupConfig returns the configuration of a group's members.
func (c *Core) groupConfig(s *registration) pubsub.SubscriberConfig {
	plan, d := c.config.stopPlan(), c.config.Delivery
	order, key := s.order()
	config := group.Config{
		Group: s.group, Order: order, Key: key, LogID: c.backend.logID, Backlog: c.backend.backlog, Codec: c.codec,
		Batch: s.batch, Ephemeral: s.passing, Start: s.start, OnPoison: s.poison, Retry: delivery.RetryPolicy(s.retry.orDefault(d.Retry)),
		Concurrency: s.concurrency, ChatConcurrency: s.chatConcurrency, Slow: s.slow(), Lease: d.Lease, Drain: plan.handlers, Finish: plan.finish(), Bound: d.StreamBound,
		DeadLetterBound: d.DeadLetterBound, CountersOf: c.counters.Of, Logger: c.config.Logger,
	}
	if !s.builtin { // the log of read models is this one, in which they were built
		config.LogID = c.backend.oldest
	}
	if s.batch != nil {
		config.Pace = d.BuiltinPace
	}
	if s.encoded {
		c.encodedGroup(&config)
	}
	return pubsub.SubscriberConfig{Config: config, Stores: c.backend.groups}
}

// slow is how long a handler may run before its chat is reported, 0 for the default: a moment longer than its timeout.
func (s *registration) slow() time.Duration {
	if s.timeout == 0 {
		return 0
	}
	return s.timeout + time.Second
}

// check returns an error that names a missing field.
func (e EventLog) check() error {
	missing := ""
	switch {
	case e.ID == "":
		missing = "ID"
	case e.Log == nil:
		missing = "Log"
	case e.Groups == nil:
		missing = "Groups"
	case e.backlog() == nil:
		missing = "Backlog"
	case e.Live == nil:
		missing = "Live"
	}
	if missing != "" {
		return &domain.InvalidError{Field: "EventLog." + missing, Problem: "is missing", Allowed: "a value; or New without WithEventLog for a log on Redis, NewInMemory for one in memory"}
	}
	return nil
}

// backlog returns the log by partition. It returns nil if there is none.
func (e EventLog) backlog() ports.Backlog {
	if e.Backlog != nil {
		return e.Backlog
	}
	backlog, _ := e.Log.(ports.Backlog)
	return backlog
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
