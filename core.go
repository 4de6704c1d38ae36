package chatcore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/metric"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/subscribers"
	"chatcore/adapters/subscribers/pull"
	"chatcore/adapters/subscribers/webhook"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/feed"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Core is a chatcore: commands, queries, and the handlers that are added to it. Commands and queries work from New on and until Run or Close has
// ended; afterwards every call that needs Redis or the log returns [ErrClosed]. All methods are safe for concurrent use.
//
// Chats, Presence, Queries and Sessions are for trusted code: they check no membership of the caller. For code that answers users use [Core.As].
type Core struct {
	Chats     *app.Chats      // commands about chats, of any actor
	Presence  *app.Presence   // heartbeats, statuses and online users, of any user to any caller
	Queries   *app.Queries    // present state, folded from the log; checks no membership
	Access    *app.Access     // the part of a chat that a user may read
	Sessions  *app.Sessions   // logins of users
	Erasures  *app.Erasures   // erasures of users
	Retention *app.Retention  // retention policies and legal holds; nil on a custom event log
	Users     *app.Users      // departures of users
	Limits    *app.Limits     // how often something may be done, by the kinds of Config.Limits.Rates
	Feeds     *feed.Hub       // live feeds of chats
	Helpers   *helpers.Client // values, counters, sets and channels of the caller's own

	deps
	live *liveListeners

	definitions   *subscribers.Administration
	defined       *subscribers.Manager               // follows the definitions; runs if runsDefined
	runners       map[groups.Kind]subscribers.Runner // of the manager; not changed once the core runs
	webhooks      *webhook.Administration
	webhookRunner *webhook.Runner

	builtins *projection.Builtins      // the handler of the built-in group
	after    *projection.AppendEffects // its effects, right after this process's appends
	answers  bool                      // queries are answered from the caches once the core runs

	consumers *pull.Broker
	vault     *archive.Archiver // nil without a vault, as the next two
	eraser    *erase.Eraser
	erasures  func(ctx context.Context, deliveries []ports.Delivery) error // erases in the vault

	flushMetrics func() // exports the last metrics, while unwatch has not been called
	unwatch      func() error
	counts       []count
	levels       levels

	readiness readiness // of the log

	running chan struct{} // closed when every group and listener runs
	ended   chan struct{} // closed when Run has ended, after runErr was set
	runErr  error

	mu          sync.Mutex // guards the fields below
	groups      []*registration
	listeners   []LiveHandler
	middlewares []message.HandlerMiddleware
	teamCaches  map[string]teamCache // by prefix
	stop        context.CancelFunc   // of Run; nil before it
	closed      bool
	router      *pubsub.Router         // of the groups, from Run on; nil before
	attachments map[string]*Attachment // by group, those that join included
	stopped     bool                   // the router has ended: nothing is attached any more
	attaching   sync.WaitGroup         // attachments that have not ended
	runsDefined bool                   // by SubscribeDefined
	closing     sync.Once
	closeErr    error
}

// deps holds the parts of a core.
type deps struct {
	config        Config
	backend       *backend
	sweeper       *app.Sweeper
	presenceStore ports.PresenceStore
	readModels    *projection.Models
	effects       ports.Effects // nil: there is nowhere to remember them
	entities      *entity.Loader
	cacheStore    ports.CacheStore // nil without a store for caches
	caches        *app.Caches      // nil as well then
	codec         *wireformat.Codec
	helpers       helpers.Control
	clock         ports.LogClock
	counters      *group.CountersByGroup
	progress      *progress
	telemetry     *telemetry.Telemetry
	feedState     ports.FeedState

	webhookAttempts ports.WebhookAttempts
}

// ErrClosed is returned by a core whose Run has ended or that was closed, and by everything that belongs to it.
var ErrClosed = ports.ErrClosed

// Errors of opening a core on Redis.
var (
	// ErrURL is a Config.Redis.URL that cannot be understood.
	ErrURL = conn.ErrURL
	// ErrUnreachable is returned when Redis did not answer in any attempt.
	ErrUnreachable = conn.ErrUnreachable
	// ErrRejected is returned when Redis answers a connection with an error that another attempt does not change: no or wrong credentials, a database
	// that the server does not have, or TLS that does not fit. It is not tried again.
	ErrRejected = conn.ErrRejected
	// ErrTooOld is a Redis below version 7.0.
	ErrTooOld = health.ErrTooOld
	// ErrLogDiffers is returned for a log with another number of partitions, another hash or other names. The error is a [*ports.LogDiffersError].
	ErrLogDiffers = ports.ErrLogDiffers
	// ErrEvicting is returned by durable writes while Redis may evict keys of the log: within a second and the time of an answer after such a policy was
	// switched on, and no longer once it is switched off.
	ErrEvicting = health.ErrEvicting
	// ErrFull is returned by writes that Redis refuses because it is at its maxmemory, and by [Core.Health] as the reason not to be ready until less
	// than 95 % of it is used.
	ErrFull = rediscmd.ErrFull
	// ErrNoPermission is returned when the Redis user lacks a right that the core needs. The error is a [*ports.RightsError].
	ErrNoPermission = ports.ErrNoPermission
)

// Errors of queries.
var (
	// ErrNoViews is returned by queries about a user where no process has ever run the built-in subscribers ([Core.SubscribeBuiltins]).
	ErrNoViews = projection.ErrNoViews
	// ErrCorrupt is returned where something of the log or of a view is missing. It is never taken for nothing that was there.
	ErrCorrupt = ports.ErrCorrupt
)

// registration is one consumer group as it was asked for.
type registration struct {
	group                        string
	handlers                     map[string]pubsub.Handler
	plain                        message.NoPublishHandlerFunc // instead of handlers
	start                        groups.Start
	poison                       delivery.Poison
	unordered                    bool
	orderBy                      func(domain.Durable) string
	concurrency, chatConcurrency int           // 0: the default
	timeout                      time.Duration // of a handler start; 0: none
	passing                      bool
	retry                        RetryPolicy                 // fields of 0 are those of DeliveryConfig.Retry
	chats                        func(domain.ChatID) bool    // nil: all
	builtin                      bool                        // a group of the core's own
	batch                        group.BatchHandler          // of a group of the core's own
	encoded                      bool                        // the batch handler takes encoded events
	middlewares                  []message.HandlerMiddleware // of this group, inside those of all groups
	err                          error
}

func (s *registration) handle(typ string, h pubsub.Handler) {
	if _, twice := s.handlers[typ]; twice {
		s.err = errors.Join(s.err, duplicateHandler(s.group, typ))
	}
	s.handlers[typ] = h
}

// New opens a core on Redis. It waits until Redis answers, for a bounded number of attempts, and checks that the log there is one that
// it can work with. The caller ends it with Run or Close.
func New(ctx context.Context, config Config, options ...Option) (*Core, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	p, err := newParts(options)
	if err != nil {
		return nil, err
	}
	if p.log == nil {
		core, _, err := initRedis(ctx, config, p) // the core closes what it has opened
		return core.withVault(ctx, err)
	}
	if err := p.log.check(); err != nil {
		return nil, err
	}
	core, err := initCustom(ctx, config, p)
	return core.withVault(ctx, err)
}

// NewInMemory opens a core in memory: for tests and demos. Its data ends with the process.
func NewInMemory(config Config, options ...Option) (*Core, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	p, err := newParts(options)
	if err != nil {
		return nil, err
	}
	if p.log != nil {
		return nil, &domain.InvalidError{Field: "options", Problem: "have WithEventLog", Allowed: "New for a core on a custom event log"}
	}
	core, err := initMemory(context.Background(), config, p)
	return core.withVault(context.Background(), err)
}

func newCore(
	m deps, o telemetry.Startup, meter metric.Meter,
	chats *app.Chats, presence *app.Presence, queries *app.Queries, access *app.Access, sessions *app.Sessions, limits *app.Limits, feeds *feed.Hub,
) (*Core, error) {
	users := app.NewUsers(chats, queries, sessions)
	core := &Core{
		Chats: chats, Presence: presence, Queries: queries, Access: access, Sessions: sessions, Limits: limits, Feeds: feeds, Helpers: m.helpers.Client,
		Users: users, Erasures: app.NewErasures(users),
		deps: m, flushMetrics: o.Flush, readiness: readiness{probe: m.backend.probe}, running: make(chan struct{}), ended: make(chan struct{}),
	}
	core.live = &liveListeners{core: core, tail: m.backend.tail}
	var cached projection.CachedAnswers // nil without caches
	if m.caches != nil {
		cached = m.caches
	}
	core.builtins = projection.NewBuiltins(m.readModels, cached, m.backend.redis != nil)
	if m.backend.redis != nil {
		core.builtins.OnErased(m.backend.redis.eraseEntries)
	}
	core.after = projection.NewAppendEffects(core.builtins, m.progress.made, m.config.Logger)
	chats.NotifyMarksEnded(m.progress.made)
	if m.readModels.Views().Kept != nil {
		chats.ApplyAfterAppend(core.after)
	}
	if err := core.openRetention(); err != nil {
		return nil, errors.Join(err, m.backend.close())
	}
	core.consumers = pull.New(pull.Config{Definitions: m.backend.defined, Relay: m.backend.relay, Logger: m.config.Logger})
	core.openDefinitions()
	if err := core.openWebhooks(); err != nil {
		return nil, errors.Join(err, m.backend.close())
	}
	var err error
	core.counts = counts()
	core.unwatch, err = core.watchMetrics(meter)
	o.End(err)
	if err != nil {
		return nil, errors.Join(err, m.backend.close())
	}
	return core, nil
}

// As returns the commands and queries of one user, whom the caller has authenticated: commands act as that user only, and queries return only what
// that user may read, as Config.Access says. It costs nothing. A query about a chat takes one round trip more than that of Queries.
func (c *Core) As(user domain.UserID) app.UserView {
	return app.NewUserView(user, c.Chats, c.Access, c.Presence, c.Sessions)
}

// Subscribe adds a consumer group: every durable event is delivered to it at least once, by one of the processes that subscribe under
// the same name. A new group starts with the next event, or see [FromBeginning] and [StartAt]. Events of types without a handler are finished and counted
// ([Stats.Ignored]). The subscription takes effect when the core starts.
//
// Subscribe returns [ErrRunning] after the start and [ErrClosed] after the end of the core, a [*DuplicateError] if this core has the group already or
// one event type has two handlers, [ErrTooManyGroups] if the process has [DeliveryConfig.MaxGroups] groups, and a [*domain.InvalidError] for a wrong name or
// option. Each error says what to call instead.
func (c *Core) Subscribe(group string, options ...SubscribeOption) error {
	return c.subscribe(&registration{group: group, handlers: make(map[string]pubsub.Handler)}, options)
}

// SubscribeMessages adds a consumer group with a plain Watermill handler, which is given the messages as they are on the stream: the
// event's JSON as payload, its type and chat in the metadata.
func (c *Core) SubscribeMessages(group string, handle message.NoPublishHandlerFunc, options ...SubscribeOption) error {
	return c.subscribe(messagesRegistration("SubscribeMessages", group, handle), options)
}

func messagesRegistration(call, group string, handle message.NoPublishHandlerFunc) *registration {
	return &registration{group: group, plain: handle, handlers: make(map[string]pubsub.Handler), err: noHandler(call, handle == nil)}
}

// apply adds options to a registration, and checks it.
func (s *registration) apply(options []SubscribeOption) error {
	for i, option := range options {
		if option == nil {
			return &domain.InvalidError{Field: "options", Problem: fmt.Sprintf("have nil as option %d", i+1), Allowed: "options such as On"}
		}
		option(s)
	}
	return checkGroup(s)
}

func (c *Core) subscribe(s *registration, options []SubscribeOption) error {
	if err := s.apply(options); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fresh(); err != nil {
		return lateCall("Subscribe", err)
	}
	if err := c.admit(s); err != nil {
		return err
	}
	c.groups = append(c.groups, s)
	c.counters.Of(s.group) // exported from now on
	return nil
}

// admit returns why the core cannot run another group, or nil. It is called with the mutex held.
func (c *Core) admit(s *registration) error {
	_, taken := c.attachments[s.group]
	for _, other := range c.groups {
		taken = taken || other.group == s.group
	}
	if taken {
		return duplicateGroup(s)
	}
	if most := c.maxGroups(); len(c.groups)+len(c.attachments) >= most {
		return &TooManyGroupsError{Group: s.group, Allowed: most}
	}
	return nil
}

// Use adds Watermill middlewares around the handlers of all groups but the built-in ones, as [WithMiddleware] does for one group, the first one
// outermost. All groups share the state of such a middleware: one circuit breaker opens for all of them. The errors are those of [Core.Listen],
// and a [*domain.InvalidError] for a nil.
func (c *Core) Use(middlewares ...message.HandlerMiddleware) error {
	if err := checkMiddlewares("Use", middlewares); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fresh(); err != nil {
		return lateCall("Use", err)
	}
	c.middlewares = append(c.middlewares, middlewares...)
	return nil
}

// Listen adds handlers of live events, which every process gets. They are called once the core has started. Listen returns [ErrRunning] after the
// start and [ErrClosed] after the end of the core, and a [*domain.InvalidError] for a handler without a function.
func (c *Core) Listen(handlers ...LiveHandler) error {
	for i, h := range handlers {
		if h.err != nil {
			return h.err
		}
		if h.handle == nil {
			return &domain.InvalidError{Field: "Listen", Problem: fmt.Sprintf("has an empty LiveHandler as handler %d", i+1), Allowed: "those of OnLive and Definition.OnLive"}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fresh(); err != nil {
		return lateCall("Listen", err)
	}
	c.listeners = append(c.listeners, handlers...)
	return nil
}

// FeedState returns the store of tickets and cursors of feeds, for code that serves feeds to clients.
func (c *Core) FeedState() ports.FeedState { return c.feedState }

// LogID is the event log's own id.
func (c *Core) LogID() string { return c.backend.logID }

// Close ends the core: if it runs, Close stops Run and waits for it. Run does the same by itself when it ends. From then on every call that needs
// Redis or the log returns [ErrClosed]. Close takes at most [Config.StopTimeout], and returns an [*AbandonedError] if handlers have outlasted that.
// It may be called more than once, but not by a handler, which it waits for.
//
//nolint:contextcheck // a close has no caller's context
func (c *Core) Close() error {
	c.mu.Lock()
	c.closed = true
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
		<-c.ended
	}
	stopped, end := context.WithCancel(context.Background())
	end()
	limits, release := c.config.stopPlan().limits(stopped)
	defer release()
	return c.release(limits)
}

// fresh returns why the core can no longer be changed or started, or nil. It is called with the mutex held.
func (c *Core) fresh() error {
	switch {
	case c.closed:
		return ErrClosed
	case c.stop != nil:
		return ErrRunning
	}
	return nil
}
