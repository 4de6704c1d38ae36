//go:build wireinject

package redis

import "github.com/google/wire"

// Set provides the clients, keys, log and stores of a [Config]. It needs a codec, ids, a meter and a [History].
var Set = wire.NewSet(wire.FieldsOf(new(Config), "Servers", "Keyspace", "Log", "Stores"), Dial, NewKeys, OpenLog, NewStores)
