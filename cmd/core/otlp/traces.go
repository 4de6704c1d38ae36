package otlp

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// NewSpanExporter returns an exporter of spans with the settings of the environment. agent is the name of the program in its requests.
func NewSpanExporter(ctx context.Context, agent string) (trace.SpanExporter, error) {
	config, err := readSettings(signal{name: "TRACES", path: "v1/traces"})
	if err != nil {
		return nil, err
	}
	return otlptrace.New(ctx, &spanClient{newClient(config, agent)})
}

// spanClient implements otlptrace.Client.
type spanClient struct{ client *client }

func (s *spanClient) Start(context.Context) error { return nil }

func (s *spanClient) Stop(context.Context) error {
	s.client.close()
	return nil
}

// UploadTraces sends spans. TracesData and the request of the collector's service have the same encoding: field 1, the spans by resource.
func (s *spanClient) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	return s.client.post(ctx, &tracepb.TracesData{ResourceSpans: spans})
}
