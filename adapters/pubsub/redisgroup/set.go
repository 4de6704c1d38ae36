//go:build wireinject

package redisgroup

import (
	"github.com/google/wire"

	"chatcore/ports/groups"
)

// Set provides consumer groups on Redis from a [Config].
var Set = wire.NewSet(New, wire.Bind(new(groups.Stores), new(*Groups)))
