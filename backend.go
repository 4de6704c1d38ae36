package chatcore

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// backend is where events are kept and how they travel: Redis or memory.
type backend interface {
	LogID() string
	Streams() []string
	Subscriber(group string, fromBeginning bool) (message.Subscriber, error)
	DeadLetters() pubsub.DeadLetters
	Live() message.Subscriber
	LiveDropped() uint64
	CachedViews() ports.CachedViews // nil if no other program shares the backend
	Forget(ctx context.Context, group string) error
	Close() error
}

// redisBackend has a client of its own for reads that block, so that they never hold a connection that a command waits for.
type redisBackend struct {
	config   Config
	keys     redis.Keys
	log      *redis.Log
	live     *pubsub.Live
	commands commandClient
	blocking blockingClient
}

// The clients that a core opens, told apart by what they are for.
type (
	commandClient  struct{ goredis.UniversalClient }
	blockingClient struct{ goredis.UniversalClient }
)

func (b *redisBackend) LogID() string            { return b.log.ID() }
func (b *redisBackend) Streams() []string        { return b.keys.Streams() }
func (b *redisBackend) Live() message.Subscriber { return b.live }
func (b *redisBackend) LiveDropped() uint64      { return b.live.Dropped() }

func (b *redisBackend) CachedViews() ports.CachedViews {
	return redis.NewCachedViews(b.commands, b.keys)
}

func (b *redisBackend) DeadLetters() pubsub.DeadLetters {
	return pubsub.NewStreamDeadLetters(b.commands)
}

func (b *redisBackend) Subscriber(group string, fromBeginning bool) (message.Subscriber, error) {
	return pubsub.NewStreamSubscriber(pubsub.StreamConfig{
		Client: b.blocking, Group: group, FromBeginning: fromBeginning, Drain: b.config.StopTimeout, Logger: b.config.Logger,
	})
}

func (b *redisBackend) Forget(ctx context.Context, group string) error {
	return pubsub.Forget(ctx, b.commands, b.Streams(), group)
}

func (b *redisBackend) Close() error {
	return errors.Join(b.live.Close(), b.blocking.Close(), b.commands.Close())
}

// memoryBackend keeps everything in the process; it ends with it.
type memoryBackend struct {
	log     *memory.Log
	live    *pubsub.Local
	codec   *wireformat.Codec
	letters *pubsub.MemoryDeadLetters
}

func (b *memoryBackend) LogID() string                        { return b.log.ID() }
func (b *memoryBackend) Streams() []string                    { return []string{"memory"} }
func (b *memoryBackend) Live() message.Subscriber             { return b.live }
func (b *memoryBackend) LiveDropped() uint64                  { return b.live.Dropped() }
func (b *memoryBackend) DeadLetters() pubsub.DeadLetters      { return b.letters }
func (b *memoryBackend) CachedViews() ports.CachedViews       { return nil }
func (b *memoryBackend) Forget(context.Context, string) error { return nil }
func (b *memoryBackend) Close() error                         { return b.live.Close() }

func (b *memoryBackend) Subscriber(_ string, fromBeginning bool) (message.Subscriber, error) {
	return pubsub.NewFeedSubscriber(b.log, b.codec, fromBeginning), nil
}

// systemClock is the time of the machine.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// uuids makes UUIDv7s, which sort by time.
type uuids struct{}

func (uuids) NewID() string { return uuid.Must(uuid.NewV7()).String() }

var (
	_ ports.Clock = systemClock{}
	_ ports.IDs   = uuids{}
)
