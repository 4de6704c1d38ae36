package chatcore

import (
	"context"
	"errors"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/ports"
)

// New opens a core on Redis. It waits until Redis answers, for a bounded number of attempts, and checks that the log there is one that
// it can work with. The caller ends it with Run or Close.
func New(ctx context.Context, config Config) (*Core, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return initRedis(ctx, config)
}

// NewInMemory opens a core in memory: for tests, and for a look. What it holds ends with the process.
func NewInMemory(config Config) (*Core, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return initMemory(config)
}

func newCodec() *wireformat.Codec { return wireformat.New() }

func newPolicy(c Config) app.Policy { return c.policy() }

func newCommandClient(ctx context.Context, c Config) (commandClient, error) {
	client, err := redis.Connect(ctx, redis.Options{
		URL: c.RedisURL, Timeout: c.CommandTimeout, Attempts: c.ConnectAttempts, Logger: c.Logger,
	})
	return commandClient{client}, err
}

// newBlockingClient has room for a read of every stream by a good many groups at once.
func newBlockingClient(ctx context.Context, c Config, first commandClient) (blockingClient, error) {
	client, err := redis.Connect(ctx, redis.Options{
		URL: c.RedisURL, Timeout: c.CommandTimeout, Attempts: c.ConnectAttempts, PoolSize: 32 * (c.Partitions + 1), Logger: c.Logger,
	})
	if err != nil {
		return blockingClient{}, errors.Join(err, first.Close())
	}
	return blockingClient{client}, nil
}

func newKeys(c Config) (redis.Keys, error) {
	cluster, err := redis.IsCluster(c.RedisURL)
	if err != nil {
		return redis.Keys{}, err
	}
	return redis.NewKeys(c.Namespace, c.Partitions, cluster)
}

func openLog(ctx context.Context, c Config, commands commandClient, blocking blockingClient, keys redis.Keys, codec *wireformat.Codec) (*redis.Log, error) {
	log, err := redis.Open(ctx, commands.UniversalClient, codec, redis.LogConfig{Keys: keys, Announce: !c.Unannounced, Logger: c.Logger})
	if err != nil {
		return nil, errors.Join(err, blocking.Close(), commands.Close())
	}
	return log, nil
}

func newLive(c Config, commands commandClient, keys redis.Keys) *pubsub.Live {
	return pubsub.NewLive(pubsub.LiveConfig{Client: commands.UniversalClient, Prefix: keys.Prefix(), Buffer: c.LiveBuffer, Logger: c.Logger})
}

func newTypingMarks(commands commandClient, keys redis.Keys) *redis.TypingMarks {
	return redis.NewTypingMarks(commands.UniversalClient, keys)
}

func newStatuses(commands commandClient, keys redis.Keys) *redis.Statuses {
	return redis.NewStatuses(commands.UniversalClient, keys)
}

func newLocal(c Config) *pubsub.Local { return pubsub.NewLocal(c.LiveBuffer) }

func newMemoryLog(c Config, codec *wireformat.Codec, clock ports.Clock, live *pubsub.Local) *memory.Log {
	if c.Unannounced {
		return memory.New(codec, clock, nil)
	}
	return memory.New(codec, clock, live.Announce)
}

func newMemoryTyping(log *memory.Log) *memory.Typing { return log.Typing() }
