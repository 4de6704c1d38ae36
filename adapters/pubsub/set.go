//go:build wireinject

package pubsub

import "github.com/google/wire"

// Set provides consumer groups and live events on Redis from a [StreamsConfig] and a [LiveConfig].
var Set = wire.NewSet(NewStreams, NewLive)
