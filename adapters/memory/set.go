//go:build wireinject

package memory

import "github.com/google/wire"

// Set provides the log and the stores of a [Config]. It needs a codec, a clock, an [Announcer] and the live bus.
var Set = wire.NewSet(NewLog, NewStores)
