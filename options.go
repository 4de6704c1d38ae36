package chatcore

import (
	"encoding/json"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Option replaces a part of a core.
type Option func(*overrides)

// WithClock replaces the process's clock. In memory, and on a custom event log without a clock, it stamps events and decides edit windows, and all
// waits use it. On Redis it only paces the presence sweeper: there Redis's clock stamps and decides ([ports.LogClock]), so that a process whose clock
// is wrong neither gains nor loses time. [app.Chats.Backdated] stamps events with a time of the past.
func WithClock(clock ports.Clock) Option { return func(p *overrides) { p.clock = clock } }

// WithIDs makes the ids of events, and of messages and commands that come without.
func WithIDs(ids ports.IDs) Option { return func(p *overrides) { p.ids = ids } }

// WithTypingMarks replaces the store of typing marks. A send ends the sender's typing in the log's own marks only; others expire.
func WithTypingMarks(marks ports.TypingMarks) Option {
	return func(p *overrides) { p.stores.Typing = marks }
}

// WithPresence replaces the presence store, which also publishes transitions.
func WithPresence(presence ports.PresenceStore) Option {
	return func(p *overrides) { p.stores.Presence = presence }
}

// WithCacheStore replaces the store of caches. All processes must share it.
func WithCacheStore(store ports.CacheStore) Option {
	return func(p *overrides) { p.stores.Caches = store }
}

// WithContacts provides a user's contacts, for [app.Queries.Contacts]: from a directory, for example. They are cached; [app.Queries.ForgetContacts]
// invalidates them.
func WithContacts(of app.ContactsOf) Option { return func(p *overrides) { p.contacts = of } }

// WithLimiter replaces the limiter of [LimitsConfig.Rates].
func WithLimiter(limiter ports.Limiter) Option {
	return func(p *overrides) { p.stores.Limiter = limiter }
}

// WithDirectIDs names direct chats by a function of a team whose chats exist already; see [app.DirectIDs]. New returns a [*domain.InvalidError] for a function that cannot
// be used. Defaults to [domain.DirectID].
func WithDirectIDs(ids app.DirectIDs) Option { return func(p *overrides) { p.directIDs = ids } }

// WithGate asks gate before a command creates a chat, opens a direct one, joins, adds a member, sends a message or records a custom event; see [app.Gate]. Imports
// ([app.Chats.Backdated]) ask no gate.
func WithGate(gate app.Gate) Option { return func(p *overrides) { p.gate = gate } }

// WithSessions keeps the users' sessions, by a policy of its own.
func WithSessions(sessions ports.SessionStore) Option {
	return func(p *overrides) { p.stores.Sessions = sessions }
}

// WithUserViews keeps which chats users are in, and how many messages they have not read, for [Core.SubscribeBuiltins] and the queries about
// users. nil leaves the core's own.
func WithUserViews(chats, unread ports.UserView) Option {
	return func(p *overrides) { p.stores.UserChats, p.stores.Unread = chats, unread }
}

// WithBlockView keeps which users block others in direct chats, for [Core.SubscribeBuiltins] and [app.Queries.Blocked].
func WithBlockView(blocks ports.UserView) Option {
	return func(p *overrides) { p.stores.Blocks = blocks }
}

// WithSettingsViews keeps the favourites and the hidden chats of users, for [Core.SubscribeBuiltins] and [app.Queries.FilteredChatList]. Without them, a filtered list
// loads the settings of more chats than it has.
func WithSettingsViews(favourites, hidden ports.UserView) Option {
	return func(p *overrides) { p.stores.Favourites, p.stores.Hidden = favourites, hidden }
}

// WithTracerProvider traces with it instead of with OpenTelemetry's global one as it is when the core is opened.
func WithTracerProvider(tracers trace.TracerProvider) Option {
	return func(p *overrides) { p.tracers = tracers }
}

// WithMeterProvider measures with it instead of with OpenTelemetry's global one.
func WithMeterProvider(meters metric.MeterProvider) Option {
	return func(p *overrides) { p.meters = meters }
}

// WithUpcaster reads recorded events of one of the core's types and of the given version as those of the next, in which they are
// written from then on. An upcaster that fails or panics makes the event unreadable ([ports.ErrCorrupt]), and no other.
func WithUpcaster(typ string, from int, up func(fields map[string]json.RawMessage) error) Option {
	return func(p *overrides) { p.upcasters = append(p.upcasters, wireformat.WithUpcaster(typ, from, up)) }
}

// WithHelpers replaces the stores of [Core.Helpers]. nil leaves the core's own.
func WithHelpers(values ports.KeyValues, counters ports.Counters, sets ports.Sets) Option {
	return func(p *overrides) { p.stores.Values, p.stores.Counters, p.stores.Sets = values, counters, sets }
}

// EventLog is an event log with the consumer groups and the live channels of its events: the three belong together, because an append must deliver and
// announce its events in the same step. Fields without a comment are required.
type EventLog struct {
	ID        string // names the log: another id is another log
	Log       app.Log
	Snapshots ports.Snapshots // may be nil: entities are folded from all of their events
	Clock     ports.LogClock  // stamps events and decides edit windows; nil: the clock of [WithClock]
	Groups    groups.Stores   // the state of the log's consumer groups; memgroup.New returns those of a log in the process's memory
	Backlog   ports.Backlog   // reads the log by the partitions of Groups, for groups that are behind; may be nil if Log is a [ports.Backlog]
	// Definitions stores the definitions of groups for all processes; nil: the process keeps them in its memory
	Definitions groups.Definitions
	Live        LiveTransport
	Tail        ports.Tail   // may be nil: then there are no feeds, and listeners hear only what Live delivers
	Close       func() error // may be nil; called once, at the end
}

// LiveTransport carries live events by the names of their types.
type LiveTransport interface {
	message.Publisher
	message.Subscriber
}

// WithEventLog replaces log, delivery and live notification together. The core then needs no Redis: typing, presence, limits and sessions are in
// memory unless other options replace them. [Core.Once] needs [WithEffects], read models need [WithUserViews], and caches need [WithCacheStore]. The
// core closes these ports when it ends.
func WithEventLog(log EventLog) Option { return func(p *overrides) { p.log = &log } }
