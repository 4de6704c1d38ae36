package chatcore

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/ports"
)

// Option replaces a part of a core.
type Option func(*parts)

// parts are what options have replaced; nil is what the core brings along.
type parts struct {
	log       *EventLog
	clock     ports.Clock
	ids       ports.IDs
	typing    ports.TypingMarks
	presence  ports.PresenceStore
	caches    ports.CacheStore
	contacts  app.ContactsOf
	effects   ports.Effects
	limiter   ports.Limiter
	gate      app.Gate
	sessions  ports.SessionStore
	userChats ports.UserView
	unread    ports.UserView
	stored    stored
	tracers   trace.TracerProvider
	meters    metric.MeterProvider
	upcasters []wireformat.Option
}

func newParts(options []Option) parts {
	var p parts
	for _, option := range options {
		option(&p)
	}
	if p.tracers == nil {
		p.tracers = otel.GetTracerProvider()
	}
	if p.meters == nil {
		p.meters = otel.GetMeterProvider()
	}
	return p
}

// WithClock tells the time to the rules, and has what they wait for wait by it.
func WithClock(clock ports.Clock) Option { return func(p *parts) { p.clock = clock } }

// WithIDs makes the ids of events, and of messages and commands that come without.
func WithIDs(ids ports.IDs) Option { return func(p *parts) { p.ids = ids } }

// WithTypingMarks remembers who is typing. A send ends the sender's typing in the log's own marks only; others expire.
func WithTypingMarks(marks ports.TypingMarks) Option { return func(p *parts) { p.typing = marks } }

// WithPresence keeps who is there, and tells it.
func WithPresence(presence ports.PresenceStore) Option {
	return func(p *parts) { p.presence = presence }
}

// WithCacheStore keeps what is cached. All processes have to share it.
func WithCacheStore(store ports.CacheStore) Option { return func(p *parts) { p.caches = store } }

// WithContacts says who a user's contacts are, for [app.Queries.Contacts]: from a directory, say. They are cached; [app.Queries.ForgetContacts]
// has them asked for anew.
func WithContacts(of app.ContactsOf) Option { return func(p *parts) { p.contacts = of } }

// WithLimiter counts what [Config.Limits] limits.
func WithLimiter(limiter ports.Limiter) Option { return func(p *parts) { p.limiter = limiter } }

// WithGate asks gate before a command creates a chat, adds a member, sends a message or records a custom event; see [app.Gate]. Imports
// ([app.Chats.Backdated]) ask no gate.
func WithGate(gate app.Gate) Option { return func(p *parts) { p.gate = gate } }

// WithSessions keeps the users' sessions, by a policy of its own.
func WithSessions(sessions ports.SessionStore) Option {
	return func(p *parts) { p.sessions = sessions }
}

// WithUserViews keeps which chats users are in, and how many messages they have not read, for [Core.SubscribeBuiltins] and the queries about
// users. nil leaves the core's own.
func WithUserViews(chats, unread ports.UserView) Option {
	return func(p *parts) { p.userChats, p.unread = chats, unread }
}

// WithTracerProvider traces with it instead of with OpenTelemetry's global one as it is when the core is opened.
func WithTracerProvider(tracers trace.TracerProvider) Option {
	return func(p *parts) { p.tracers = tracers }
}

// WithMeterProvider measures with it instead of with OpenTelemetry's global one.
func WithMeterProvider(meters metric.MeterProvider) Option {
	return func(p *parts) { p.meters = meters }
}

// WithUpcaster reads recorded events of one of the core's types and of the given version as those of the next, in which they are
// written from then on. An upcaster that fails or panics makes the event unreadable ([ports.ErrCorrupt]), and no other.
func WithUpcaster(typ string, from int, up func(fields map[string]json.RawMessage) error) Option {
	return func(p *parts) { p.upcasters = append(p.upcasters, wireformat.WithUpcaster(typ, from, up)) }
}

// EventLog is an event log with what carries its events: the three belong together, because what was appended must be delivered and
// announced by the same step. All fields without another word are needed.
type EventLog struct {
	ID          string // names the log: another id is another log
	Log         app.Log
	Snapshots   ports.Snapshots // may be nil: entities are folded from all of their events
	Streams     []string        // the topics of Subscriber: each group reads all of them
	Subscriber  func(group string, fromBeginning bool) (message.Subscriber, error)
	DeadLetters pubsub.DeadLetters
	Live        LiveTransport
	DeleteGroup func(ctx context.Context, group string) error // may be nil
	Close       func() error                                  // may be nil; called once, at the end
}

// LiveTransport carries live events by the names of their types.
type LiveTransport interface {
	message.Publisher
	message.Subscriber
}

// WithEventLog replaces log, delivery and live notification together. The core then needs no Redis: typing, presence, limits and
// sessions are kept in memory unless other options say where, and what [Core.Once] makes, and what built-in subscribers keep of
// users, only where [WithEffects] and [WithUserViews] say. What is cached needs [WithCacheStore]. It closes what it was given when it ends.
func WithEventLog(log EventLog) Option { return func(p *parts) { p.log = &log } }

// instrumentation is the name under which the core traces and measures.
const instrumentation = "chatcore"

func newMeter(p parts, c Config) metric.Meter {
	return telemetry.NewMeter(p.meters.Meter(instrumentation), c.Logger)
}

// opening is the core's telemetry, what ends the span of its opening, and what exports its last metrics.
type opening struct {
	telemetry    *telemetry.Telemetry
	done         func(error)
	flushMetrics func()
}

func newOpening(ctx context.Context, p parts, meter metric.Meter) (opening, error) {
	t, done, err := telemetry.New(ctx, p.tracers.Tracer(instrumentation), meter, "open")
	flush := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		telemetry.Flush(ctx, p.meters)
	}
	return opening{t, done, flush}, err
}

// flushTimeout bounds how long Close waits for the export of the last metrics.
const flushTimeout = time.Second

func newTelemetry(o opening) *telemetry.Telemetry { return o.telemetry }
