//go:build wireinject

package chatcore

import (
	"context"

	"github.com/google/wire"
)

// initRedis closes what it has opened after an error. A core that is open closes it itself.
func initRedis(ctx context.Context, config Config, p overrides) (*Core, func(), error) {
	panic(wire.Build(coreSet, redisSet))
}

func initMemory(ctx context.Context, config Config, p overrides) (*Core, error) {
	panic(wire.Build(coreSet, memorySet))
}

func initCustom(ctx context.Context, config Config, p overrides) (*Core, error) {
	panic(wire.Build(coreSet, customSet))
}
