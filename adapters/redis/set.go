//go:build wireinject

package redis

import "github.com/google/wire"

// Set provides the stores of a [Config]. It needs clients, keys, a codec, ids and a meter.
var Set = wire.NewSet(NewStores)
