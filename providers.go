package chatcore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/metric"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/kv"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/redis/session"
	"chatcore/adapters/redis/typing"
	"chatcore/adapters/redis/view"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/ports"
)

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
		return initRedis(ctx, config, p)
	}
	if err := p.log.check(); err != nil {
		return nil, err
	}
	return initCustom(ctx, config, p)
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
	return initMemory(context.Background(), config, p)
}

func newCodec(p overrides) *wireformat.Codec { return wireformat.New(p.upcasters...) }

func newClock(p overrides) ports.Clock {
	if p.clock != nil {
		return p.clock
	}
	return systemClock{}
}

// The log's clock: Redis's, the process's in memory, or that of a custom log.

func redisClock(log *eventlog.Log) ports.LogClock { return log.Clock() }

func memoryClock(clock ports.Clock) ports.LogClock { return clock }

func customClock(b *EventLog, clock ports.Clock) ports.LogClock {
	if b.Clock != nil {
		return b.Clock
	}
	return clock
}

func newIDs(p overrides) ports.IDs {
	if p.ids != nil {
		return p.ids
	}
	return uuids{}
}

func newProgress() *progress { return &progress{} }

func newCounters() *pubsub.GroupCounters { return &pubsub.GroupCounters{} }

func newStreams(all clients, keys keyspace.Keys, log *eventlog.Log, codec *wireformat.Codec) *pubsub.Streams {
	var partitions []pubsub.Partition
	for _, l := range keys.Log().Partitions() {
		partitions = append(partitions, pubsub.Partition{Stream: l.Stream, Base: l.Base, Partition: l.Partition})
	}
	return pubsub.NewStreams(pubsub.StreamsConfig{
		Commands: all.commands.UniversalClient, Blocking: all.blocking.UniversalClient, Partitions: partitions, Log: log, Codec: codec,
	})
}

// tracedLog is the event log of the commands: its appends are traced.
func tracedLog(log app.Log, t *telemetry.Telemetry) app.CommandLog {
	return t.Log(log, wireformat.Type)
}

func newLiveBus(publisher message.Publisher, codec *wireformat.Codec, ids ports.IDs, t *telemetry.Telemetry) ports.LiveBus {
	return t.LiveBus(pubsub.NewLiveBus(publisher, codec, ids), wireformat.Type)
}

func newEntities(log app.Log, snapshots ports.Snapshots, c Config, w *historyListener) *app.Entities {
	entities := app.NewEntities(log, snapshots, app.CacheBytes(max(c.Log.EntityCache, 0)))
	w.entities.Store(entities)
	return entities
}

// historyListener invalidates cached data of the log when Redis may have lost acknowledged writes.
type historyListener struct {
	entities atomic.Pointer[app.Entities] // nil as long as nothing is cached
}

func newHistoryListener() *historyListener { return &historyListener{} }

func (w *historyListener) forget() {
	if entities := w.entities.Load(); entities != nil {
		entities.Invalidate()
	}
}

func (w *historyListener) epoch() uint64 {
	if entities := w.entities.Load(); entities != nil {
		return entities.Epoch()
	}
	return 0
}

func newPolicy(c Config, p overrides, views app.Views) app.Policy {
	policy := c.policy()
	policy.Gate, policy.Views = p.gate, views
	return policy
}

// connect opens a client for one purpose.
func connect(ctx context.Context, c Config, purpose string, o conn.Options) (*conn.Client, error) {
	o.Purpose, o.TLS, o.Timeout, o.Attempts, o.Logger = purpose, c.Redis.TLS, c.Redis.CommandTimeout, c.Redis.ConnectAttempts, c.Logger
	if o.URL == "" {
		o.URL = c.Redis.URL
	}
	if strings.HasPrefix(strings.TrimSpace(o.URL), "redis://") && strings.Contains(c.Redis.URL+c.Redis.CacheURL, "rediss://") {
		o.TLS = nil // the settings are the other server's
	}
	client, err := conn.Connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("connecting for %s: %w", purpose, err)
	}
	return client, nil
}

func newCommandClient(ctx context.Context, c Config) (commandClient, error) {
	client, err := connect(ctx, c, "commands", conn.Options{Waits: eventlog.Durability(c.Redis.Durability).Waits(), PoolSize: c.Redis.PoolSize})
	return commandClient{client}, err
}

// newBlockingClient has room for a read of every stream, and for a good many groups' control.
func newBlockingClient(ctx context.Context, c Config, commands commandClient) (blockingClient, error) {
	client, err := connect(ctx, c, "streams", conn.Options{PoolSize: 2*(c.Log.Partitions+1) + 32})
	if err != nil {
		return blockingClient{}, errors.Join(err, commands.Close())
	}
	return blockingClient{client}, nil
}

func newPubSubClient(ctx context.Context, c Config, commands commandClient, blocking blockingClient) (pubSubClient, error) {
	client, err := connect(ctx, c, "pubsub", conn.Options{PoolSize: c.Redis.PoolSize})
	if err != nil {
		return pubSubClient{}, errors.Join(err, blocking.Close(), commands.Close())
	}
	return pubSubClient{client}, nil
}

// newCacheClient is that of the commands where no other server is named.
func newCacheClient(ctx context.Context, c Config, commands commandClient, blocking blockingClient, pubSub pubSubClient) (cacheClient, error) {
	if c.Redis.CacheURL == "" {
		return cacheClient{Client: commands.Client}, nil
	}
	client, err := connect(ctx, c, "cache", conn.Options{URL: c.Redis.CacheURL, PoolSize: c.Redis.PoolSize})
	if err != nil {
		return cacheClient{}, errors.Join(err, pubSub.Close(), blocking.Close(), commands.Close())
	}
	return cacheClient{client, true}, nil
}

func newClients(commands commandClient, blocking blockingClient, pubSub pubSubClient, cache cacheClient) clients {
	return clients{commands, blocking, pubSub, cache}
}

func newKeys(c Config) (keyspace.Keys, error) {
	cluster, err := conn.IsCluster(c.Redis.URL)
	if err != nil {
		return keyspace.Keys{}, err
	}
	return keyspace.Names(c.Redis.Names).Keys(c.Redis.Namespace, c.Log.Partitions, cluster)
}

func openLog(
	ctx context.Context, c Config, all clients, keys keyspace.Keys, codec *wireformat.Codec, meter metric.Meter, w *historyListener,
) (*eventlog.Log, error) {
	if all.cache.own {
		if err := checkCacheRights(ctx, c, all.cache, keys); err != nil {
			return nil, errors.Join(err, all.Close())
		}
	}
	log, err := eventlog.Open(ctx, all.commands.UniversalClient, codec, eventlog.Config{
		Keys: keys, Announce: !c.Log.DisablePubSub, Queue: c.Log.Queue, StreamBound: 2 * c.Delivery.StreamBound, Epoch: w.epoch, Forget: w.forget, Durability: eventlog.Durability(c.Redis.Durability), Attempts: c.Redis.ConnectAttempts, Meter: meter,
		Logger: c.Logger,
	})
	if err != nil {
		return nil, errors.Join(err, all.Close())
	}
	log.Watch(context.WithoutCancel(ctx)) // until it is closed
	return log, nil
}

// checkCacheRights checks that the user of the caches' server has the rights that caches need.
func checkCacheRights(ctx context.Context, c Config, cache cacheClient, keys keyspace.Keys) error {
	cluster, err := conn.IsCluster(c.Redis.CacheURL)
	if err != nil {
		return err
	}
	if err := health.CacheRights(keys, cluster).Check(ctx, cache.UniversalClient); err != nil {
		return fmt.Errorf("on the server of the caches: %w", err)
	}
	return nil
}

func newLive(c Config, pubSub pubSubClient, keys keyspace.Keys) *pubsub.Live {
	return pubsub.NewLive(pubsub.LiveConfig{Client: pubSub.UniversalClient, Channel: keys.Channel, Buffer: c.Delivery.LiveBuffer, Logger: c.Logger})
}

func newTypingMarks(p overrides, c Config, commands commandClient, keys keyspace.Keys) ports.TypingMarks {
	if p.typing != nil {
		return p.typing
	}
	return typing.New(commands.UniversalClient, keys.Typing(), c.Presence.TypingTTL)
}

func newPresence(
	p overrides, c Config, commands commandClient, keys keyspace.Keys, blocking blockingClient, codec *wireformat.Codec, ids ports.IDs, meter metric.Meter,
	t *telemetry.Telemetry,
) (ports.PresenceStore, error) {
	if p.presence != nil {
		return t.Presence(p.presence, wireformat.TypeUserStatus), nil
	}
	presence, err := presence.New(presence.Config{
		Client: commands.UniversalClient, Keys: keys.Presence(), Codec: codec, IDs: ids, TTL: c.Presence.ttl(), Meter: meter,
	})
	if err != nil {
		return nil, errors.Join(err, blocking.Close(), commands.Close())
	}
	return t.Presence(presence, wireformat.TypeUserStatus), nil
}

func presenceUseCases(store ports.PresenceStore) *app.Presence { return app.NewPresence(store, store) }

func newSweeper(store ports.PresenceStore, clock ports.Clock, c Config) *app.Sweeper {
	return app.NewSweeper(store, clock, c.Logger)
}

func newEffects(p overrides, c Config, commands commandClient, keys keyspace.Keys) ports.Effects {
	if p.effects != nil {
		return p.effects
	}
	return effect.New(commands.UniversalClient, keys.Custom(), c.Delivery.EffectTTL)
}

func newLimiter(p overrides, commands commandClient, keys keyspace.Keys) ports.Limiter {
	if p.limiter != nil {
		return p.limiter
	}
	return limit.New(commands.UniversalClient, keys.Limits())
}

func newLimits(c Config, limiter ports.Limiter) *app.Limits {
	return app.NewLimits(limiter, c.Limits.Rates)
}

func newViews(
	p overrides, log *eventlog.Log, typing ports.TypingMarks, commands commandClient, keys keyspace.Keys, streams *pubsub.Streams,
) app.Views {
	views := p.viewsOr(log.ID(), typing, view.NewUserChats(commands.UniversalClient, keys.Views()), view.NewUnreadCounts(commands.UniversalClient, keys.Views()))
	views.Kept = keptBy(streams)
	return views
}

// keptBy reports whether the built-in subscriber has ever run. Once it has, nobody is asked again.
func keptBy(groups interface {
	Exists(ctx context.Context, group string) (bool, error)
},
) func(context.Context) (bool, error) {
	var known atomic.Bool
	return func(ctx context.Context) (bool, error) {
		if known.Load() {
			return true, nil
		}
		exists, err := groups.Exists(ctx, BuiltinGroup)
		if exists {
			known.Store(true)
		}
		return exists, err
	}
}

// viewsOr are the views of the options or, where there are none, those given.
func (p overrides) viewsOr(log string, typing ports.TypingMarks, chats, unread ports.UserView) app.Views {
	if p.userChats != nil {
		chats = p.userChats
	}
	if p.unread != nil {
		unread = p.unread
	}
	return app.Views{Log: log, Chats: chats, Unread: unread, Typing: typing, Contacts: p.contacts}
}

func newSessionStore(p overrides, c Config, commands commandClient, keys keyspace.Keys) (ports.SessionStore, error) {
	switch {
	case p.sessions != nil:
		return p.sessions, nil
	case c.Sessions.Compat:
		return session.NewCompat(commands.UniversalClient, keys.Sessions(), c.Sessions.policy())
	}
	return session.New(commands.UniversalClient, keys.Sessions(), c.Sessions.policy()), nil
}

func newMemorySessionStore(p overrides, c Config, clock ports.Clock) ports.SessionStore {
	if p.sessions != nil {
		return p.sessions
	}
	return memory.NewSessions(clock, c.Sessions.policy())
}

// sessionUseCases have every call of the store observed as commands are.
func sessionUseCases(store ports.SessionStore, presence *app.Presence, mode app.SessionMode, t *telemetry.Telemetry) *app.Sessions {
	return app.NewSessions(t.Sessions(store), presence, mode)
}

func newSessionMode(c Config) app.SessionMode { return app.SessionMode{Compat: c.Sessions.Compat} }

// helperStore is a store of all that helpers keep.
type helperStore interface {
	ports.KeyValues
	ports.Counters
	ports.Sets
}

// storedOr returns the stores of the options, and the store given where they have none.
func (p overrides) storedOr(s helperStore) helperStores {
	to := p.stored
	if to.values == nil {
		to.values = s
	}
	if to.counters == nil {
		to.counters = s
	}
	if to.sets == nil {
		to.sets = s
	}
	return to
}

func newHelpers(c Config, s helperStores, live LiveTransport, ids ports.IDs, moved *progress) helpers.Control {
	return helpers.New(helpers.Config{
		Values: s.values, Counters: s.counters, Sets: s.sets, Channels: live, IDs: ids, Outcome: telemetry.Outcome, Handled: moved.made, Logger: c.Logger,
	})
}

func newHelperStores(p overrides, commands commandClient, keys keyspace.Keys) helperStores {
	return p.storedOr(kv.New(commands.UniversalClient, keys.Custom()))
}

func newLocal(c Config) *pubsub.Local { return pubsub.NewLocal(c.Delivery.LiveBuffer) }

func newMemoryLog(c Config, codec *wireformat.Codec, clock ports.Clock, live *pubsub.Local) *memory.Log {
	if c.Log.DisablePubSub {
		return memory.New(codec, clock, nil)
	}
	return memory.New(codec, clock, live.Announce)
}

func newMemoryDelivery(log *memory.Log, codec *wireformat.Codec, clock ports.Clock, p *progress) *pubsub.Memory {
	return pubsub.NewMemory(log, codec, clock, p.made)
}

func newMemoryTyping(p overrides, log *memory.Log) ports.TypingMarks {
	if p.typing != nil {
		return p.typing
	}
	return log.Typing()
}

// newMemoryPresence publishes transitions on the live bus, which traces them.
func newMemoryPresence(p overrides, c Config, clock ports.Clock, live ports.LiveBus, t *telemetry.Telemetry) ports.PresenceStore {
	if p.presence != nil {
		return t.Presence(p.presence, wireformat.TypeUserStatus)
	}
	return memory.NewPresence(clock, live, c.Presence.ttl())
}

func newMemoryEffects(p overrides, c Config, clock ports.Clock) ports.Effects {
	if p.effects != nil {
		return p.effects
	}
	return memory.NewEffects(clock, c.Delivery.EffectTTL)
}

func newMemoryLimiter(p overrides, log *memory.Log) ports.Limiter {
	if p.limiter != nil {
		return p.limiter
	}
	return log.Limiter()
}

func newCacheStore(p overrides, server cacheClient, keys keyspace.Keys) ports.CacheStore {
	if p.caches != nil {
		return p.caches
	}
	return cache.New(server.UniversalClient, keys.Caches())
}

func newMemoryCacheStore(p overrides, clock ports.Clock) ports.CacheStore {
	if p.caches != nil {
		return p.caches
	}
	return memory.NewCache(clock)
}

func customCacheStore(p overrides) ports.CacheStore { return p.caches }

func newMemoryHelperStores(p overrides, clock ports.Clock) helperStores {
	return p.storedOr(memory.NewStore(clock))
}

func newMemoryViews(p overrides, log *memory.Log, typing ports.TypingMarks, delivery *pubsub.Memory) app.Views {
	views := p.viewsOr(log.ID(), typing, memory.NewUserView(), memory.NewUserView())
	views.Kept = keptBy(delivery)
	return views
}

// A custom log provides all ports but typing, presence and limits.

func customEventLog(p overrides) *EventLog { return p.log }

func customLog(b *EventLog) app.Log { return b.Log }

func customSnapshots(b *EventLog) ports.Snapshots { return b.Snapshots }

func customPublisher(b *EventLog) message.Publisher { return b.Live }

func customTransport(b *EventLog) LiveTransport { return b.Live }

func customViews(p overrides, b *EventLog, typing ports.TypingMarks) app.Views {
	return p.viewsOr(b.ID, typing, nil, nil)
}

func customEffects(p overrides) ports.Effects { return p.effects }

func newCustomTyping(p overrides, clock ports.Clock) ports.TypingMarks {
	if p.typing != nil {
		return p.typing
	}
	return memory.NewTyping(clock)
}

func newCustomLimiter(p overrides, clock ports.Clock) ports.Limiter {
	if p.limiter != nil {
		return p.limiter
	}
	return memory.NewLimiter(clock)
}
