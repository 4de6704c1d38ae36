package chatcore

import (
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/telemetry"
	"chatcore/app/feed"
)

// Stats are counts since the core was made. Each is exported as a metric as well; see docs/operating.md.
type Stats struct {
	Handled        uint64 // deliveries finished by a handler
	Ignored        uint64 // deliveries of types that their group has no handler for: no fault
	DeadLetters    uint64 // deliveries that became dead letters
	Transient      uint64 // handler starts that failed transiently, which is no attempt
	Offered        uint64 // partitions that were offered to other processes because of an event that this program cannot read
	Backfilled     uint64 // events that groups read back from the log instead of from a stream
	Fenced         uint64 // partitions that another member had acquired before this one committed
	StreamOverruns uint64 // groups that were too far behind for a stream, each time that one was cut
	PhantomEntries uint64 // entries of a stream whose events the log does not have
	Unstreamed     uint64 // events of the log that were missing in a stream
	Held           uint64 // attempts after which a delivery would have become a dead letter, had there been room
	LiveReceived   uint64 // live messages, once for each type with handlers and each subscription of a helper. Once the queues are empty, it is LiveHandled + LiveDropped
	LiveHandled    uint64 // live messages that listeners have finished, the unreadable ones included
	LiveDropped    uint64 // live messages that never reached their listener: it was slow, or ended before
	LiveMissed     uint64 // events of the log that listeners did not receive, of any type, as far as the seqs of later events of their chats show
	LiveLosses     uint64 // times that listeners may have missed events of a partition
	LiveReconnects uint64 // working live connections that were lost. The events of the log are found again; other messages published until the next one is subscribed are lost and in no other count
	LiveUnreadable uint64 // live payloads that are no event
	LiveFailed     uint64 // calls of live handlers that panicked or ended their goroutine
	EffectsSkipped uint64 // changes of memberships and invalidations after an append that were left to the built-in group: Redis failed, or too many waited
	Refused        uint64 // announcements of durable events, and removals of typing marks, that Redis refused after the append
	CacheHits      uint64 // entities that were in the cache
	CacheMisses    uint64 // entities that were not
	Limited        uint64 // calls that a limit refused
	Unchecked      uint64 // calls that were allowed because their limit could not be checked

	MarksRefused    uint64 // accepted read marks that were refused when they were to be recorded: the user had left the chat, for example
	MarksUnrecorded uint64 // accepted read marks that were not recorded before the core ended

	SnapshotsSkipped   uint64 // snapshots of hot entities that were due and not written, because too many were queued or the core was closed
	SessionsUnreadable uint64 // tokens under which something else is kept than a session
	SessionsNotLeft    uint64 // closed sessions whose heartbeat could not be ended
	HelperFailures     uint64 // that a helper answered with a default
	HelperUnreadable   uint64 // values and messages that helpers could not read and passed over

	Blocked map[BlockReason]int64 // chats that this process delivers and that are blocked now

	Tail  TailStats  // what the process hears of appended events, for feeds and listeners
	Feeds feed.Stats // live feeds of this process

	Caches map[string]CacheStats // "message", "chat_list", "contact_list", and custom ones by their prefix
}

// TailStats are counts of the appended events that the process has heard, for its feeds and listeners. They are 0 while it has neither, and on a custom log.
type TailStats struct {
	Announcements uint64 // announcements of partitions, once for each batch
	Holes         uint64 // announcements that did not follow the last known event, so that the stream was read
	Found         uint64 // events that were found in a stream, because their announcement did not arrive
	Losses        uint64 // times that events of a partition may have been missed, because the stream no longer had them
	Malformed     uint64 // announcements, stream entries and ephemeral events that could not be read
}

// count defines one field of Stats and the metric that exports it. The count is either a group's, of which Stats has the sum, or the core's.
type count struct {
	field   func(*Stats) *uint64
	ofGroup func(*group.Counters) *atomic.Uint64
	ofCore  func(*Core, *Stats) uint64 // the Stats have Tail, Feeds and the counts before it

	name, unit, description string
	by                      []attribute.KeyValue
}

// counts returns the definition of every count. Those of one metric share its description.
func counts() []count {
	const (
		deliveries = "Deliveries that are finished, by how."
		cached     = "Lookups of entities in the cache, by whether they were there."
		limited    = "Calls that a limit refused, or that were allowed because it could not be checked."
		marks      = "Accepted read marks that were not recorded: refused later, or still pending when the core ended."
		ephemerals = "Typing and status events for feeds, once for each feed: queued, or dropped because a queue was half full."
		pages      = "Pages of events for feeds that catch up: read from the log, or shared with another feed."
		sessions   = "Tokens under which no session is kept but something else, and devices of closed sessions whose presence went on."
	)
	as := func(word string) []attribute.KeyValue { return []attribute.KeyValue{telemetry.Result(word)} }
	return []count{
		{
			func(s *Stats) *uint64 { return &s.Handled }, func(c *group.Counters) *atomic.Uint64 { return &c.Handled }, nil,
			"chatcore.deliveries", "{delivery}", deliveries, as("handled"),
		},
		{
			func(s *Stats) *uint64 { return &s.Ignored }, func(c *group.Counters) *atomic.Uint64 { return &c.Ignored }, nil,
			"chatcore.deliveries", "{delivery}", deliveries, as("ignored"),
		},
		{
			func(s *Stats) *uint64 { return &s.DeadLetters }, func(c *group.Counters) *atomic.Uint64 { return &c.DeadLetters }, nil,
			"chatcore.deliveries", "{delivery}", deliveries, as("dead_letter"),
		},
		{
			func(s *Stats) *uint64 { return &s.Transient }, func(c *group.Counters) *atomic.Uint64 { return &c.Transient }, nil,
			"chatcore.deliveries.transient_failures", "{start}", "Handler starts that failed transiently and are no attempts.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Offered }, func(c *group.Counters) *atomic.Uint64 { return &c.Offered }, nil,
			"chatcore.partitions.offered", "{partition}", "Partitions offered to other members because of an event of a later version of the program.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Backfilled }, func(c *group.Counters) *atomic.Uint64 { return &c.Backfilled }, nil,
			"chatcore.deliveries.caught_up", "{event}", "Events that groups read back from the log instead of from a stream.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Fenced }, func(c *group.Counters) *atomic.Uint64 { return &c.Fenced }, nil,
			"chatcore.partitions.fenced", "{partition}", "Partitions that another member had acquired before this one committed.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.StreamOverruns }, func(c *group.Counters) *atomic.Uint64 { return &c.StreamOverruns }, nil,
			"chatcore.streams.overruns", "{overrun}", "Times that a group was too far behind for a stream when it was cut.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.PhantomEntries }, func(c *group.Counters) *atomic.Uint64 { return &c.PhantomEntries }, nil,
			"chatcore.deliveries.phantom_entries", "{event}", "Events that a stream names and the log does not have.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Unstreamed }, func(c *group.Counters) *atomic.Uint64 { return &c.Unstreamed }, nil,
			"chatcore.deliveries.unstreamed", "{event}", "Events that the log has and a stream does not name.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Held }, func(c *group.Counters) *atomic.Uint64 { return &c.Held }, nil,
			"chatcore.deliveries.held", "{attempt}", "Attempts after which a delivery would have become a dead letter, had there been room.", nil,
		},

		{
			func(s *Stats) *uint64 { return &s.LiveHandled }, nil, func(c *Core, _ *Stats) uint64 { return c.live.handled.Load() + c.helpers.Stats().Handled },
			"chatcore.live.handled", "{message}", "Live messages that listeners have finished.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.LiveDropped }, nil, func(c *Core, _ *Stats) uint64 { return c.live.dropped.Load() + c.backend.liveDropped() },
			"chatcore.live.dropped", "{message}", "Live messages that never reached their listener, because it was slow or ended before.", nil,
		},
		// After the two above: received is then at least their sum.
		{
			func(s *Stats) *uint64 { return &s.LiveReceived }, nil, func(c *Core, s *Stats) uint64 {
				return c.live.received.Load() + c.backend.liveQueued() + c.backend.liveDropped()
			},
			"chatcore.live.received", "{message}", "Live messages received, once for each listener of their channel.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.LiveMissed }, nil, func(c *Core, _ *Stats) uint64 { return c.live.missed.Load() },
			"chatcore.live.missed", "{event}", "Events of the log that listeners did not receive, as far as later events show.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.LiveLosses }, nil, func(c *Core, _ *Stats) uint64 { return c.live.losses.Load() },
			"chatcore.live.losses", "{loss}", "Times that listeners may have missed events of a partition.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.LiveReconnects }, nil, func(c *Core, _ *Stats) uint64 { return c.backend.liveReconnects() },
			"chatcore.live.reconnects", "{connection}", "Working live connections that were lost.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.LiveUnreadable }, nil, func(c *Core, _ *Stats) uint64 { return c.live.unreadable.Load() },
			"chatcore.live.unreadable", "{message}", "Live messages that are no event.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.LiveFailed }, nil, func(c *Core, _ *Stats) uint64 { return c.live.failed.Load() + c.helpers.Stats().Failed },
			"chatcore.live.failed", "{call}", "Calls of live handlers that panicked or ended their goroutine.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Tail.Announcements }, nil, func(_ *Core, s *Stats) uint64 { return s.Tail.Announcements },
			"chatcore.tail.announcements", "{announcement}", "Announcements of appended events that were received, once for each batch and partition.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Tail.Holes }, nil, func(_ *Core, s *Stats) uint64 { return s.Tail.Holes },
			"chatcore.tail.holes", "{hole}", "Announcements that did not follow the last known event, so that the stream was read.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Tail.Found }, nil, func(_ *Core, s *Stats) uint64 { return s.Tail.Found },
			"chatcore.tail.found", "{event}", "Appended events that were found in a stream, because their announcement did not arrive.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Tail.Losses }, nil, func(_ *Core, s *Stats) uint64 { return s.Tail.Losses },
			"chatcore.tail.losses", "{loss}", "Times that events of a partition may have been missed, because its stream no longer had them.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Tail.Malformed }, nil, func(_ *Core, s *Stats) uint64 { return s.Tail.Malformed },
			"chatcore.tail.malformed", "{message}", "Announcements, stream entries and ephemeral events that could not be read.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Queued }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Queued },
			"chatcore.feeds.events", "{event}", "Live events that were queued for feeds, once for each feed.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.EphemeralsQueued }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.EphemeralsQueued },
			"chatcore.feeds.ephemerals", "{event}", ephemerals, as("queued"),
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.EphemeralsDropped }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.EphemeralsDropped },
			"chatcore.feeds.ephemerals", "{event}", ephemerals, as("dropped"),
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.PagesRead }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.PagesRead },
			"chatcore.feeds.pages", "{page}", pages, as("read"),
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.PagesShared }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.PagesShared },
			"chatcore.feeds.pages", "{page}", pages, as("shared"),
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.GapsFilled }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.GapsFilled },
			"chatcore.feeds.gaps_filled", "{event}", "Events that feeds did not hear in time and read from the log, once for each chat.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Doubles }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Doubles },
			"chatcore.feeds.doubles", "{event}", "Events that feeds heard again.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Malformed }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Malformed },
			"chatcore.feeds.malformed", "{event}", "Ephemeral events that feeds could not decode.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Slow }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Slow },
			"chatcore.feeds.slow", "{feed}", "Feeds that ended because their reader was slow.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Resyncs }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Resyncs },
			"chatcore.feeds.resyncs", "{chat}", "Chats of feeds whose positions were not of the log.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Losts }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Losts },
			"chatcore.feeds.losses", "{loss}", "Times that feeds compared the heads of a partition, because events may have been missed.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Feeds.Unreadable }, nil, func(_ *Core, s *Stats) uint64 { return s.Feeds.Unreadable },
			"chatcore.feeds.unreadable", "{chat}", "Chats that feeds could not follow because they could not be read, once for each chat.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.EffectsSkipped }, nil, func(c *Core, _ *Stats) uint64 { return c.after.Skipped() },
			"chatcore.append.effects_skipped", "{event}", "Changes of memberships and invalidations after an append that were left to the built-in group.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Refused }, nil, func(c *Core, _ *Stats) uint64 { return c.backend.refused() },
			"chatcore.append.refused", "{command}", "Announcements of appended events, and removals of typing marks, that Redis refused.", nil,
		},

		{
			func(s *Stats) *uint64 { return &s.CacheHits }, nil, func(c *Core, _ *Stats) uint64 { return c.entities.Stats().Hits },
			"chatcore.entities.cache", "{lookup}", cached, as("hit"),
		},
		{
			func(s *Stats) *uint64 { return &s.CacheMisses }, nil, func(c *Core, _ *Stats) uint64 { return c.entities.Stats().Misses },
			"chatcore.entities.cache", "{lookup}", cached, as("miss"),
		},
		{
			func(s *Stats) *uint64 { return &s.SnapshotsSkipped }, nil, func(c *Core, _ *Stats) uint64 { return c.entities.Stats().SnapshotsSkipped },
			"chatcore.snapshots.skipped", "{snapshot}", "Snapshots of hot entities that were due and not written.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.Limited }, nil, func(c *Core, _ *Stats) uint64 { return c.Limits.Stats().Refused },
			"chatcore.limits", "{call}", limited, as("refused"),
		},
		{
			func(s *Stats) *uint64 { return &s.Unchecked }, nil, func(c *Core, _ *Stats) uint64 { return c.Limits.Stats().Unchecked },
			"chatcore.limits", "{call}", limited, as("unchecked"),
		},
		{
			func(s *Stats) *uint64 { return &s.MarksRefused }, nil, func(c *Core, _ *Stats) uint64 { return c.Chats.MarkStats().Refused },
			"chatcore.read_marks.dropped", "{mark}", marks, as("refused"),
		},
		{
			func(s *Stats) *uint64 { return &s.MarksUnrecorded }, nil, func(c *Core, _ *Stats) uint64 { return c.Chats.MarkStats().Unrecorded },
			"chatcore.read_marks.dropped", "{mark}", marks, as("unrecorded"),
		},
		{
			func(s *Stats) *uint64 { return &s.SessionsUnreadable }, nil, func(c *Core, _ *Stats) uint64 { return c.Sessions.Stats().Unreadable },
			"chatcore.sessions.faults", "{session}", sessions, as("unreadable"),
		},
		{
			func(s *Stats) *uint64 { return &s.SessionsNotLeft }, nil, func(c *Core, _ *Stats) uint64 { return c.Sessions.Stats().NotLeft },
			"chatcore.sessions.faults", "{session}", sessions, as("not_left"),
		},
		{
			func(s *Stats) *uint64 { return &s.HelperFailures }, nil, func(c *Core, _ *Stats) uint64 { return c.helpers.Stats().Failures },
			"chatcore.helpers.failures", "{call}", "Failures that a helper answered with a default.", nil,
		},
		{
			func(s *Stats) *uint64 { return &s.HelperUnreadable }, nil, func(c *Core, _ *Stats) uint64 { return c.helpers.Stats().Unreadable },
			"chatcore.helpers.unreadable", "{value}", "Values and messages that helpers could not read and passed over.", nil,
		},
	}
}

// Stats returns the counts.
func (c *Core) Stats() Stats {
	s := Stats{Caches: make(map[string]CacheStats), Blocked: make(map[BlockReason]int64), Tail: c.backend.tailStats(), Feeds: c.Feeds.Stats()}
	for kind, stats := range c.cacheStats() {
		s.Caches[kind] = CacheStats(stats)
	}
	groups := c.counters.All()
	for _, n := range c.counts {
		if n.ofGroup == nil {
			*n.field(&s) = n.ofCore(c, &s)
			continue
		}
		for _, counters := range groups {
			*n.field(&s) += n.ofGroup(counters).Load()
		}
	}
	for _, reason := range blockReasons() {
		s.Blocked[reason] = 0
		for _, counters := range groups {
			s.Blocked[reason] += counters.Blocked(reason)
		}
	}
	return s
}

func blockReasons() []BlockReason {
	return []BlockReason{BlockedTransient, BlockedNewer, BlockedSlow, BlockedPostponed}
}
