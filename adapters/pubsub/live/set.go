//go:build wireinject

package live

import "github.com/google/wire"

// Set provides live events on Redis from a [PubSubConfig] and a [TailConfig].
var Set = wire.NewSet(NewPubSub, NewTail)
