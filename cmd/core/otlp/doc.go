// Package otlp exports spans and metrics to an OpenTelemetry collector: protobuf over HTTP, as https://opentelemetry.io/docs/specs/otlp/ has it, with
// the settings of the standard variables OTEL_EXPORTER_OTLP_.
//
// The package owns the encoding of metrics, the requests and their retries. It must not know what is measured or when it is exported. It exists because
// OpenTelemetry's own exporters over HTTP link all of gRPC: it takes the messages from go.opentelemetry.io/proto/otlp and no service.
package otlp
