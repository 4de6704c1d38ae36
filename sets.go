//go:build wireinject

package chatcore

import (
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/wire"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/telemetry"
	"chatcore/app"
	"chatcore/ports"
)

// Provider sets: the parts of every core, and its base: Redis, memory, or a custom log.
var (
	coreSet = wire.NewSet(
		newCodec, newPolicy, newClock, newIDs, newMeter, newStartupSpan, newTelemetry, newProgress, newCounters, newHistoryListener,
		wire.Bind(new(ports.Observer), new(*telemetry.Telemetry)),
		wire.FieldsOf(new(stores), "Typing", "Presence", "Limiter", "Effects", "Caches"), newViews, tracedSessions,
		newHelpers, newEntities, tracedLog, newLiveBus, app.NewChats, newModels, newQueries, app.NewPresence, newSweeper, newCaches, newLimits,
		wire.Bind(new(ports.Presence), new(ports.PresenceStore)), wire.Bind(new(ports.Statuses), new(ports.PresenceStore)),
		newSessionMode, app.NewSessions, wire.Bind(new(app.Presences), new(*app.Presence)),
		wire.Struct(new(deps), "*"), newCore,
	)
	redisSet = wire.NewSet(
		redis.Set, redisConfig, storeClients, newRedisStores,
		newCommandClient, newBlockingClient, newPubSubClient, newCacheClient, newClients, newKeys, openLog, newLive, newStreams, redisClock,
		wire.Bind(new(app.Log), new(*eventlog.Log)), wire.Bind(new(ports.Snapshots), new(*eventlog.Log)),
		wire.Bind(new(message.Publisher), new(*pubsub.Live)), wire.Bind(new(LiveTransport), new(*pubsub.Live)),
		wire.Struct(new(onRedis), "*"), newRedisBackend,
	)
	memorySet = wire.NewSet(
		memory.Set, memoryConfig, newMemoryStores,
		newLocal, newMemoryLog, newMemoryDelivery, memoryClock,
		wire.Bind(new(app.Log), new(*memory.Log)), wire.Bind(new(ports.Snapshots), new(*memory.Log)),
		wire.Bind(new(message.Publisher), new(*pubsub.Local)), wire.Bind(new(LiveTransport), new(*pubsub.Local)),
		newMemoryBackend,
	)
	customSet = wire.NewSet(
		memory.Set, memoryConfig, newCustomStores,
		customEventLog, newCustomBackend, customLog, customSnapshots, customPublisher, customTransport, customClock,
	)
)
