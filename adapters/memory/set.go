//go:build wireinject

package memory

import "github.com/google/wire"

// Set provides the stores of a [Config]. It needs a clock and the live bus.
var Set = wire.NewSet(NewStores)
