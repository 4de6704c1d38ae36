//go:build wireinject

package telemetry

import (
	"github.com/google/wire"

	"chatcore/ports"
)

// Set provides the telemetry and the meter of a [Config].
var Set = wire.NewSet(ConfiguredMeter, Start, wire.FieldsOf(new(Startup), "Telemetry"), wire.Bind(new(ports.Observer), new(*Telemetry)))
