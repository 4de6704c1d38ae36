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
	"chatcore/adapters/redis"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
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

func newEntities(log app.Log, snapshots ports.Snapshots, c Config, w *historyListener) *entity.Loader {
	entities := entity.NewLoader(log, snapshots, entity.CacheBytes(max(c.Log.EntityCache, 0)))
	w.entities.Store(entities)
	return entities
}

// historyListener invalidates cached data of the log when Redis may have lost acknowledged writes.
type historyListener struct {
	entities atomic.Pointer[entity.Loader] // nil as long as nothing is cached
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

func newModels(log app.Log, entities *entity.Loader, views projection.Views) *projection.Models {
	return projection.NewModels(log, entities, views)
}

func newQueries(log app.Log, entities *entity.Loader, views projection.Views, p overrides) *app.Queries {
	return app.NewQueries(log, entities, views).WithContacts(p.contacts)
}

func newPolicy(c Config, p overrides, views projection.Views) app.Policy {
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

func newSweeper(store ports.PresenceStore, clock ports.Clock, c Config) *app.Sweeper {
	return app.NewSweeper(store, clock, c.Logger)
}

func newLimits(c Config, limiter ports.Limiter) *app.Limits {
	return app.NewLimits(limiter, c.Limits.Rates)
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

func newSessionMode(c Config) app.SessionMode { return app.SessionMode{Compat: c.Sessions.Compat} }

func newHelpers(c Config, s stores, live LiveTransport, ids ports.IDs, moved *progress) helpers.Control {
	return helpers.New(helpers.Config{
		Values: s.Values, Counters: s.Counters, Sets: s.Sets, Channels: live, IDs: ids, Outcome: telemetry.Outcome, Handled: moved.made, Logger: c.Logger,
	})
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

// A custom log provides all ports but typing, presence and limits.

func customEventLog(p overrides) *EventLog { return p.log }

func customLog(b *EventLog) app.Log { return b.Log }

func customSnapshots(b *EventLog) ports.Snapshots { return b.Snapshots }

func customPublisher(b *EventLog) message.Publisher { return b.Live }

func customTransport(b *EventLog) LiveTransport { return b.Live }

// The configurations of the adapters' stores.

func redisConfig(c Config) redis.Config {
	return redis.Config{
		TypingTTL: c.Presence.TypingTTL, PresenceTTL: c.Presence.ttl(), EffectTTL: c.Delivery.EffectTTL,
		Sessions: c.Sessions.policy(), SessionCompat: c.Sessions.Compat,
	}
}

func memoryConfig(c Config) memory.Config {
	return memory.Config{PresenceTTL: c.Presence.ttl(), EffectTTL: c.Delivery.EffectTTL, Sessions: c.Sessions.policy()}
}

func storeClients(all clients) redis.Clients {
	return redis.Clients{Commands: all.commands.UniversalClient, Cache: all.cache.UniversalClient}
}

// stores are the stores of a core: those of options, and its own for the rest.
type stores ports.Stores

// newRedisStores has the transitions of presence traced.
func newRedisStores(own ports.Stores, p overrides, t *telemetry.Telemetry) stores {
	own.Presence = t.Presence(own.Presence, wireformat.TypeUserStatus)
	return p.storesOr(own, t)
}

// newMemoryStores takes typing and limits from the log, whose appends end typing and count. The live bus traces the transitions of presence.
func newMemoryStores(own ports.Stores, log *memory.Log, p overrides, t *telemetry.Telemetry) stores {
	own.Typing, own.Limiter = log.Typing(), log.Limiter()
	return p.storesOr(own, t)
}

// newCustomStores has effects, read models and caches only if options provide them.
func newCustomStores(own ports.Stores, p overrides, t *telemetry.Telemetry) stores {
	own.Effects, own.UserChats, own.Unread, own.Caches = nil, nil, nil, nil
	return p.storesOr(own, t)
}

// storesOr returns the stores of the options, and own ones for the rest.
func (p overrides) storesOr(own ports.Stores, t *telemetry.Telemetry) stores {
	if p.stores.Presence != nil {
		p.stores.Presence = t.Presence(p.stores.Presence, wireformat.TypeUserStatus)
	}
	return stores(p.stores.Or(own))
}

func newViews(b *backend, s stores) projection.Views {
	views := projection.Views{Log: b.logID, Chats: s.UserChats, Unread: s.Unread, Typing: s.Typing}
	if b.groups != nil {
		views.Kept = keptBy(b.groups)
	}
	return views
}

// tracedSessions has every call of the store observed as commands are.
func tracedSessions(s stores, t *telemetry.Telemetry) ports.SessionStore {
	return t.Sessions(s.Sessions)
}
