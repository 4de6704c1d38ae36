// Package telemetry traces and meters the core with OpenTelemetry's API: commands, appends, live events and deliveries. Names and
// attributes are those of the messaging semantic conventions (https://opentelemetry.io/docs/specs/semconv/messaging/) and, where those
// have none, begin with chatcore. Contents of messages, titles and tokens never get into a span or a measurement.
//
// The context of a trace travels as a W3C traceparent in the metadata and the payload of every event, so that the handler of a delivery, in any
// process and at any time, continues the trace of the command.
package telemetry
