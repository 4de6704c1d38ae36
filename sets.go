//go:build wireinject

package chatcore

import (
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/wire"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/telemetry"
	"chatcore/app"
	"chatcore/app/projection"
	"chatcore/ports"
)

// Provider sets: the parts of every core, and its base: Redis, memory, or a custom log.
var (
	coreSet = wire.NewSet(
		wire.FieldsOf(new(Config), "Log", "Delivery", "Sessions", "Limits", "Logger"),
		telemetry.Set, telemetryConfig, newCodec, newPolicy, newClock, newIDs, newProgress, newCounters, newHistoryListener,
		wire.FieldsOf(new(stores), "Typing", "Presence", "Limiter", "Effects", "Caches", "FeedState", "WebhookAttempts"), newViews, tracedSessions,
		newHelpers, newEntities, tracedLog, newLiveBus, app.NewChats, projection.NewModels, newQueries, app.NewPresence, app.NewSweeper, newCaches, newLimits, newAccess, newFeeds,
		wire.Bind(new(ports.Presence), new(ports.PresenceStore)), wire.Bind(new(ports.PresenceSweep), new(ports.PresenceStore)), wire.Bind(new(ports.Statuses), new(ports.PresenceStore)),
		newSessionMode, app.NewSessions, wire.Bind(new(app.Presences), new(*app.Presence)),
		wire.Struct(new(deps), "*"), newCore,
	)
	redisSet = wire.NewSet(
		redis.Set, redisConfig, history, newRedisStores, redisgroup.New, live.Set, liveConfig, tailConfig, groupsConfig, redisClock,
		wire.Bind(new(app.Log), new(*eventlog.Log)), wire.Bind(new(ports.Snapshots), new(*eventlog.Log)),
		wire.Bind(new(message.Publisher), new(*live.PubSub)), wire.Bind(new(LiveTransport), new(*live.PubSub)),
		wire.Struct(new(onRedis), "*"), newRedisBackend,
	)
	memorySet = wire.NewSet(
		memory.Set, memoryConfig, newMemoryStores, newLocal, newMemoryGroups, newMemoryTail, memoryClock,
		wire.Bind(new(memory.Announcer), new(*live.Local)),
		wire.Bind(new(app.Log), new(*memory.Log)), wire.Bind(new(ports.Snapshots), new(*memory.Log)),
		wire.Bind(new(message.Publisher), new(*live.Local)), wire.Bind(new(LiveTransport), new(*live.Local)),
		newMemoryBackend,
	)
	customSet = wire.NewSet(
		memory.Set, memoryConfig, newCustomStores,
		customEventLog, newCustomBackend, customLog, customSnapshots, customPublisher, customTransport, customClock,
	)
)
