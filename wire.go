//go:build wireinject

package chatcore

import (
	"context"

	"github.com/google/wire"
)

func initRedis(ctx context.Context, config Config, p overrides) (*Core, error) {
	panic(wire.Build(coreSet, redisSet))
}

func initMemory(ctx context.Context, config Config, p overrides) (*Core, error) {
	panic(wire.Build(coreSet, memorySet))
}

func initCustom(ctx context.Context, config Config, p overrides) (*Core, error) {
	panic(wire.Build(coreSet, customSet))
}
