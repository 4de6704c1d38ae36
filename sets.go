//go:build wireinject

package chatcore

import (
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/wire"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
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
		newHelpers, newEntities, tracedLog, newLiveBus, app.NewChats, app.NewQueries, presenceUseCases, newSweeper, newCaches, newLimits,
		newSessionMode, sessionUseCases,
		wire.Struct(new(deps), "*"), newCore,
	)
	redisSet = wire.NewSet(
		newCommandClient, newBlockingClient, newPubSubClient, newCacheClient, newClients, newKeys, openLog, newLive, newStreams,
		newTypingMarks, newEffects, newViews, newHelperStores, newPresence, newCacheStore, newLimiter, newSessionStore, redisClock,
		wire.Bind(new(app.Log), new(*eventlog.Log)), wire.Bind(new(ports.Snapshots), new(*eventlog.Log)),
		wire.Bind(new(message.Publisher), new(*pubsub.Live)), wire.Bind(new(LiveTransport), new(*pubsub.Live)),
		wire.Struct(new(onRedis), "*"), newRedisBackend,
	)
	memorySet = wire.NewSet(
		newLocal, newMemoryLog, newMemoryTyping, newMemoryPresence, newMemoryEffects, newMemoryViews, newMemoryHelperStores, newMemoryDelivery,
		newMemoryCacheStore, newMemoryLimiter, newMemorySessionStore, memoryClock,
		wire.Bind(new(app.Log), new(*memory.Log)), wire.Bind(new(ports.Snapshots), new(*memory.Log)),
		wire.Bind(new(message.Publisher), new(*pubsub.Local)), wire.Bind(new(LiveTransport), new(*pubsub.Local)),
		newMemoryBackend,
	)
	customSet = wire.NewSet(
		customEventLog, newCustomBackend, customLog, customSnapshots, customPublisher, customTransport, newCustomTyping, newMemoryPresence, newMemoryHelperStores, customEffects,
		customViews, customCacheStore, newCustomLimiter, newMemorySessionStore, customClock,
	)
)
