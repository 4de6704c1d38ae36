//go:build wireinject

package chatcore

import (
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/wire"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis"
	"chatcore/app"
	"chatcore/ports"
)

// What every core is made of, and what it stands on: Redis or memory.
var (
	coreSet = wire.NewSet(
		newCodec, newPolicy,
		wire.Struct(new(systemClock)), wire.Bind(new(ports.Clock), new(systemClock)),
		wire.Struct(new(uuids)), wire.Bind(new(ports.IDs), new(uuids)),
		app.NewChats, app.NewUsers, app.NewQueries,
		pubsub.NewLiveBus, wire.Bind(new(ports.LiveBus), new(*pubsub.LiveBus)),
		newCore,
	)
	redisSet = wire.NewSet(
		newCommandClient, newBlockingClient, newKeys, openLog, newLive, newTypingMarks, newStatuses,
		wire.Bind(new(ports.EventLog), new(*redis.Log)), wire.Bind(new(app.Log), new(*redis.Log)),
		wire.Bind(new(ports.TypingMarks), new(*redis.TypingMarks)), wire.Bind(new(ports.Statuses), new(*redis.Statuses)),
		wire.Bind(new(message.Publisher), new(*pubsub.Live)),
		wire.Struct(new(redisBackend), "*"), wire.Bind(new(backend), new(*redisBackend)),
	)
	memorySet = wire.NewSet(
		newLocal, newMemoryLog, newMemoryTyping, memory.NewStatuses,
		wire.Bind(new(ports.EventLog), new(*memory.Log)), wire.Bind(new(app.Log), new(*memory.Log)),
		wire.Bind(new(ports.TypingMarks), new(*memory.Typing)), wire.Bind(new(ports.Statuses), new(*memory.Statuses)),
		wire.Bind(new(message.Publisher), new(*pubsub.Local)),
		wire.Struct(new(pubsub.MemoryDeadLetters)),
		wire.Struct(new(memoryBackend), "*"), wire.Bind(new(backend), new(*memoryBackend)),
	)
)
