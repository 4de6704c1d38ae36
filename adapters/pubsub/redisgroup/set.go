//go:build wireinject

package pubsub

import "github.com/google/wire"

// Set provides consumer groups on Redis from a [StreamsConfig].
var Set = wire.NewSet(NewStreams)
