package chatcore

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/feed"
	"chatcore/app/projection"
	"chatcore/helpers"
	"chatcore/ports"
)

// The configurations of the adapters.

func redisConfig(c Config) redis.Config {
	durability := eventlog.Durability(c.Redis.Durability)
	return redis.Config{
		Servers: redis.Servers{
			URL: c.Redis.URL, CacheURL: c.Redis.CacheURL, TLS: c.Redis.TLS, PoolSize: c.Redis.PoolSize, Streams: c.Log.Partitions + 1,
			Timeout: c.Redis.CommandTimeout, Waits: durability.Waits(), Attempts: c.Redis.ConnectAttempts, Logger: c.Logger,
		},
		Keyspace: redis.Keyspace{
			URL: c.Redis.URL, Namespace: c.Redis.Namespace, Names: keyspace.Names(c.Redis.Names), Partitions: c.Log.Partitions,
		},
		Log: redis.LogConfig{
			Announce: c.Log.Announce.onTypes(), AnnouncePartitions: c.Log.Announce.onPartitions(), Queue: c.Log.Queue,
			StreamBound: 2 * c.Delivery.StreamBound, Durability: durability, Attempts: c.Redis.ConnectAttempts, Logger: c.Logger,
		},
		Stores: redis.StoresConfig{
			TypingTTL: c.Presence.TypingTTL, PresenceTTL: c.Presence.ttl(), EffectTTL: c.Delivery.EffectTTL,
			Sessions: c.Sessions.policy(), SessionCompat: c.Sessions.Compat,
		},
	}
}

func memoryConfig(c Config) memory.Config {
	return memory.Config{
		Announce: c.Log.Announce.onTypes(), PresenceTTL: c.Presence.ttl(), EffectTTL: c.Delivery.EffectTTL, Sessions: c.Sessions.policy(),
	}
}

func telemetryConfig(c Config, p overrides) telemetry.Config {
	return telemetry.Config{Name: instrumentation, Version: Version, Tracers: p.tracers, Meters: p.meters, Logger: c.Logger}
}

func liveConfig(c Config, clients *redis.Clients, keys keyspace.Keys) live.PubSubConfig {
	return live.PubSubConfig{Client: clients.PubSub.UniversalClient, Channel: keys.Channel, Buffer: c.Delivery.LiveBuffer, Logger: c.Logger}
}

func groupsConfig(clients *redis.Clients, keys keyspace.Keys, log *eventlog.Log) redisgroup.Config {
	var partitions []redisgroup.Partition
	for _, p := range keys.Log().Partitions() {
		partitions = append(partitions, redisgroup.Partition(p))
	}
	return redisgroup.Config{
		Commands: clients.Commands.UniversalClient, Blocking: clients.Blocking.UniversalClient, TakeReply: clients.Blocking.TakeReply, Partitions: partitions, Log: log,
	}
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

func newProgress() *progress { return &progress{} }

func newCounters() *group.CountersByGroup { return &group.CountersByGroup{} }

// tracedLog is the event log of the commands: its appends are traced.
func tracedLog(log app.Log, t *telemetry.Telemetry) app.CommandLog {
	return t.Log(log, wireformat.Type)
}

func newLiveBus(publisher message.Publisher, codec *wireformat.Codec, ids ports.IDs, t *telemetry.Telemetry) ports.LiveBus {
	return t.LiveBus(live.NewBus(publisher, codec, ids), wireformat.Type)
}

func newQueries(log app.Log, entities *entity.Loader, views projection.Views, clock ports.LogClock, p overrides) *app.Queries {
	return app.NewQueries(log, entities, views).WithContacts(p.contacts).WithClock(clock).WithDirectIDs(p.directIDs)
}

func newPolicy(c Config, p overrides, views projection.Views, log app.Log) app.Policy {
	policy := c.policy()
	policy.Gate, policy.DirectIDs, policy.Views, policy.DirectChats = p.gate, p.directIDs, views, log
	return policy
}

func newLimits(c LimitsConfig, limiter ports.Limiter) *app.Limits {
	return app.NewLimits(limiter, c.Rates)
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

func newSessionMode(c SessionsConfig) app.SessionMode { return app.SessionMode{Compat: c.Compat} }

func newHelpers(logger *slog.Logger, s stores, live LiveTransport, ids ports.IDs, moved *progress) helpers.Control {
	return helpers.New(helpers.Config{
		Values: s.Values, Counters: s.Counters, Sets: s.Sets, Channels: live, IDs: ids, Outcome: telemetry.Outcome, Handled: moved.made, Logger: logger,
	})
}

func newMemoryGroups(log *memory.Log, codec *wireformat.Codec, clock ports.Clock, p *progress) *memgroup.Groups {
	return memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock, Moved: p.made})
}

func newLocal(c DeliveryConfig) *live.Local { return live.NewLocal(c.LiveBuffer) }

func newViews(b *backend, s stores, c LimitsConfig) projection.Views {
	return projection.Views{
		Log: b.logID, Chats: s.UserChats, Unread: s.Unread, Blocks: s.Blocks, Favourites: s.Favourites, Hidden: s.Hidden, Typing: s.Typing,
		Preview: max(c.PreviewBytes, 0), Kept: keptBy(b.groups),
	}
}

// tracedSessions has every call of the store observed as commands are.
func tracedSessions(s stores, t *telemetry.Telemetry) ports.SessionStore {
	return t.Sessions(s.Sessions)
}

// instrumentation is the name under which the core traces and measures.
const instrumentation = "chatcore"

// Feeds.

func newAccess(c Config, queries *app.Queries) *app.Access {
	return app.NewAccess(queries, app.AccessRules(c.Access))
}

func newFeeds(c Config, b *backend, log app.Log, access *app.Access, queries *app.Queries) *feed.Hub {
	return feed.NewHub(feed.Dependencies{
		Log: log, LogID: b.logID, Tail: b.tail, Access: access, Queries: queries, Logger: c.Logger,
	}, feed.Config(c.Feeds))
}

// legacySweep is the interval between two reads of watched streams if appends do not announce their events on the channels of partitions.
const legacySweep = 250 * time.Millisecond

func tailConfig(c Config, clients *redis.Clients, keys keyspace.Keys, codec *wireformat.Codec, pubsub *live.PubSub) live.TailConfig {
	config := live.TailConfig{
		PubSub: pubsub, Client: clients.Commands.UniversalClient, PartitionOf: keys.Log().Partition, Memberships: keys.Views().Memberships(),
		Codec: codec, Logger: c.Logger,
	}
	for p := range c.Log.Partitions {
		config.Partitions = append(config.Partitions, live.TailPartition{Stream: keys.Log().Stream(p), Channel: keys.Log().Live(p)})
	}
	if !c.Log.Announce.onPartitions() {
		config.Sweep = legacySweep
	}
	return config
}

func newMemoryTail(c Config, log *memory.Log, clock ports.Clock, local *live.Local, s stores) *memory.Tail {
	return memory.NewTail(log, c.Log.Partitions, clock, local, s.UserChats)
}
