package main

import (
	"context"

	"go.opentelemetry.io/otel/attribute"

	"chatcore/adapters/connect/server"
	"chatcore/adapters/telemetry"
)

// Names of the metrics of the API's listener.
const (
	metricConnections       = "chatcore.api.connections"
	metricConnectionsClosed = "chatcore.api.connections.closed"
	metricRequests          = "chatcore.api.requests"
	metricRequestsInFlight  = "chatcore.api.requests.in_flight"
	metricRequestsRefused   = "chatcore.api.requests.refused"
	metricStreams           = "chatcore.api.streams"
)

// watchAPI exports the counts of the API's listener, if metrics are exported, until the provider ends.
func (e *exporters) watchAPI(stats func() server.Stats) error {
	if e.meters == nil {
		return nil
	}
	instruments := []telemetry.Instrument{
		{Name: metricConnections, Unit: "{connection}", Kind: telemetry.Level, Description: "Connections of the API that are open."},
		{Name: metricConnectionsClosed, Unit: "{connection}", Description: "Connections of the API that were closed at their bound: idle ones for new ones, or new ones."},
		{Name: metricRequests, Unit: "{request}", Description: "Requests of the API, with probes and refused ones."},
		{Name: metricRequestsInFlight, Unit: "{request}", Kind: telemetry.Level, Description: "Requests of the API that handlers answer now, without streams."},
		{Name: metricRequestsRefused, Unit: "{request}", Description: "Requests and streams of the API beyond their bounds."},
		{Name: metricStreams, Unit: "{stream}", Kind: telemetry.Level, Description: "Streams of the API that are open."},
	}
	_, err := telemetry.Watch(e.meters.Meter("chatcore/api"), instruments, func(context.Context) []telemetry.Point {
		s := stats()
		point := func(name string, value int64, by ...attribute.KeyValue) telemetry.Point {
			return telemetry.Point{Name: name, Value: float64(value), By: telemetry.By(by...)}
		}
		return []telemetry.Point{
			point(metricConnections, int64(s.Connections)),
			point(metricConnectionsClosed, s.ConnectionsClosed, telemetry.Reason("idle")),
			point(metricConnectionsClosed, s.ConnectionsRefused, telemetry.Reason("busy")),
			point(metricRequests, s.Requests),
			point(metricRequestsInFlight, int64(s.InFlight)),
			point(metricRequestsRefused, s.RequestsRefused),
			point(metricStreams, int64(s.Streams)),
		}
	})
	return err
}
