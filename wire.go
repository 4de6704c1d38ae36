//go:build wireinject

package chatcore

import (
	"context"

	"github.com/google/wire"
)

func initRedis(ctx context.Context, config Config) (*Core, error) {
	panic(wire.Build(coreSet, redisSet))
}

func initMemory(config Config) (*Core, error) {
	panic(wire.Build(coreSet, memorySet))
}
