package otlp_test

import (
	"context"
	"encoding/hex"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"chatcore/cmd/core/otlp"
)

const agent = "test/1"

// TestSpans_Received exports spans with a parent, a link, an event, a status and attributes of several types.
func TestSpans_Received(t *testing.T) {
	c := newCollector(t, nil, nil)
	exporter, err := otlp.NewSpanExporter(t.Context(), agent)
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "garden"))))
	tracer := provider.Tracer("scope", trace.WithInstrumentationVersion("2"))
	ctx, parent := tracer.Start(t.Context(), "parent", trace.WithSpanKind(trace.SpanKindProducer))
	_, child := tracer.Start(ctx, "child", trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(attribute.StringSlice("list", []string{"a", "b"}), attribute.Bool("yes", true)))
	child.AddEvent("event")
	child.SetStatus(codes.Error, "broken")
	child.End()
	parent.End()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests := c.received()
	if len(requests) != 1 || requests[0].path != "/v1/traces" || requests[0].header.Get("Content-Type") != "application/x-protobuf" || requests[0].header.Get("User-Agent") != agent {
		t.Fatalf("requests: %+v", requests)
	}
	var message tracecollector.ExportTraceServiceRequest
	requests[0].decode(t, &message)
	if len(message.ResourceSpans) != 1 || text(message.ResourceSpans[0].Resource.Attributes, "service.name") != "garden" {
		t.Fatalf("resources: %v", &message)
	}
	scopes := message.ResourceSpans[0].ScopeSpans
	if len(scopes) != 1 || scopes[0].Scope.Name != "scope" || scopes[0].Scope.Version != "2" || len(scopes[0].Spans) != 2 {
		t.Fatalf("scopes: %v", scopes)
	}
	first, second := scopes[0].Spans[0], scopes[0].Spans[1]
	if first.Name != "child" || second.Name != "parent" || second.Kind != tracepb.Span_SPAN_KIND_PRODUCER {
		t.Errorf("spans %q and %q", first.Name, second.Name)
	}
	if string(first.ParentSpanId) != string(second.SpanId) || hex.EncodeToString(first.TraceId) != parent.SpanContext().TraceID().String() {
		t.Errorf("ids: %v", first)
	}
	if len(first.Links) != 1 || len(first.Events) != 1 || first.Status.Code != tracepb.Status_STATUS_CODE_ERROR || first.Status.Message != "broken" || len(first.Attributes) != 2 {
		t.Errorf("span: %v", first)
	}
}

// TestMetrics_Received exports each kind of instrument in both temporalities and both kinds of histogram.
func TestMetrics_Received(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"default":     {},
		"delta":       {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
		"exponential": {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "BASE2_EXPONENTIAL_BUCKET_HISTOGRAM"},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range variables {
				t.Setenv(variable, value)
			}
			got := exportMetrics(t)
			temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
			if name == "delta" {
				temporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
			}
			counter := got["counter"].GetSum()
			if len(counter.GetDataPoints()) != 2 || !counter.IsMonotonic || counter.AggregationTemporality != temporality || got["counter"].Unit != "{thing}" || got["counter"].Description != "Things." {
				t.Errorf("counter: %v", got["counter"])
			}
			for _, point := range counter.GetDataPoints() {
				if want := map[string]int64{"a": 3, "b": 4}[text(point.Attributes, "by")]; point.GetAsInt() != want || point.TimeUnixNano < point.StartTimeUnixNano || point.StartTimeUnixNano == 0 {
					t.Errorf("point: %v, want %d", point, want)
				}
			}
			if up := got["up_down"].GetSum(); up.GetIsMonotonic() || up.GetDataPoints()[0].GetAsDouble() != -1.5 ||
				up.AggregationTemporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
				t.Errorf("up_down: %v", up)
			}
			if gauge := got["gauge"].GetGauge(); len(gauge.GetDataPoints()) != 1 || gauge.DataPoints[0].GetAsDouble() != 0.5 {
				t.Errorf("gauge: %v", gauge)
			}
			if name == "exponential" {
				if e := got["histogram"].GetExponentialHistogram(); len(e.GetDataPoints()) != 1 || e.DataPoints[0].Count != 3 || e.DataPoints[0].GetSum() != 600 || e.DataPoints[0].ZeroCount != 0 || len(e.DataPoints[0].Positive.BucketCounts) == 0 {
					t.Errorf("histogram: %v", e)
				}
				return
			}
			h := got["histogram"].GetHistogram()
			if len(h.GetDataPoints()) != 1 || h.AggregationTemporality != temporality {
				t.Fatalf("histogram: %v", h)
			}
			point := h.DataPoints[0]
			if point.Count != 3 || point.GetSum() != 600 || point.GetMin() != 100 || point.GetMax() != 300 || len(point.BucketCounts) != len(point.ExplicitBounds)+1 {
				t.Errorf("point: %v", point)
			}
			if len(point.Exemplars) == 0 || len(point.Exemplars[0].TraceId) != 16 || point.Exemplars[0].GetAsInt() == 0 || text(point.Exemplars[0].FilteredAttributes, "filtered") != "yes" {
				t.Errorf("exemplars: %v", point.Exemplars)
			}
		})
	}
}

// exportMetrics measures something with each kind of instrument and returns the metrics that a collector received, by name.
func exportMetrics(t *testing.T) map[string]*metricspb.Metric {
	t.Helper()
	c := newCollector(t, nil, nil)
	exporter, err := otlp.NewMetricExporter(agent)
	if err != nil {
		t.Fatal(err)
	}
	onlyBy := sdkmetric.NewView(sdkmetric.Instrument{Name: "histogram"}, sdkmetric.Stream{AttributeFilter: attribute.NewAllowKeysFilter("by")})
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)), sdkmetric.WithView(onlyBy),
		sdkmetric.WithResource(resource.NewSchemaless(attribute.String("service.name", "garden"))))
	meter := provider.Meter("scope", metric.WithInstrumentationAttributes(attribute.Int("of", 1)))
	counter, err1 := meter.Int64Counter("counter", metric.WithUnit("{thing}"), metric.WithDescription("Things."))
	up, err2 := meter.Float64UpDownCounter("up_down")
	gauge, err3 := meter.Float64Gauge("gauge")
	histogram, err4 := meter.Int64Histogram("histogram")
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, span := sdktrace.NewTracerProvider().Tracer("").Start(t.Context(), "sampled")
	defer span.End()
	by := func(v string) metric.MeasurementOption { return metric.WithAttributes(attribute.String("by", v)) }
	counter.Add(ctx, 3, by("a"))
	counter.Add(ctx, 4, by("b"))
	up.Add(ctx, -1.5)
	gauge.Record(ctx, 0.5)
	for _, v := range []int64{100, 200, 300} {
		histogram.Record(ctx, v, metric.WithAttributes(attribute.String("filtered", "yes")))
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests := c.received()
	if len(requests) != 1 || requests[0].path != "/v1/metrics" {
		t.Fatalf("%d requests: %+v", len(requests), requests)
	}
	var message metricscollector.ExportMetricsServiceRequest
	requests[0].decode(t, &message)
	if len(message.ResourceMetrics) != 1 || text(message.ResourceMetrics[0].Resource.Attributes, "service.name") != "garden" {
		t.Fatalf("resources: %v", &message)
	}
	scopes := message.ResourceMetrics[0].ScopeMetrics
	if len(scopes) != 1 || scopes[0].Scope.Name != "scope" || len(scopes[0].Scope.Attributes) != 1 {
		t.Fatalf("scopes: %v", scopes)
	}
	metrics := make(map[string]*metricspb.Metric)
	for _, m := range scopes[0].Metrics {
		metrics[m.Name] = m
	}
	return metrics
}

// TestMetrics_Unknown sends the metrics that OTLP has and names the others.
func TestMetrics_Unknown(t *testing.T) {
	c := newCollector(t, nil, nil)
	exporter, err := otlp.NewMetricExporter(agent)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1, 0)
	data := &metricdata.ResourceMetrics{Resource: resource.Empty(), ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{
		{Name: "odd"},
		{Name: "summary", Data: metricdata.Summary{DataPoints: []metricdata.SummaryDataPoint{{Time: at, Count: 1, Sum: 2, QuantileValues: []metricdata.QuantileValue{{Quantile: 0.5, Value: 2}}}}}},
	}}}}
	if err := exporter.Export(t.Context(), data); err == nil || !contains(err.Error(), `"odd"`) {
		t.Errorf("error %v", err)
	}
	var message metricscollector.ExportMetricsServiceRequest
	c.received()[0].decode(t, &message)
	metrics := message.ResourceMetrics[0].ScopeMetrics[0].Metrics
	if len(metrics) != 1 || metrics[0].GetSummary().DataPoints[0].QuantileValues[0].Value != 2 || metrics[0].GetSummary().DataPoints[0].TimeUnixNano != 1e9 || metrics[0].GetSummary().DataPoints[0].StartTimeUnixNano != 0 {
		t.Errorf("metrics: %v", metrics)
	}
	if err := exporter.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := exporter.Export(t.Context(), data); err == nil {
		t.Error("exports after the shutdown")
	}
}

// TestAttributes_EveryType sends each type of attribute that OpenTelemetry has.
func TestAttributes_EveryType(t *testing.T) {
	c := newCollector(t, nil, nil)
	exporter, err := otlp.NewMetricExporter(agent)
	if err != nil {
		t.Fatal(err)
	}
	is := func(value *commonpb.AnyValue) *commonpb.AnyValue { return value }
	str := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
	}
	num := func(n int64) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
	}
	flag := &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}
	half := &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}
	list := func(values ...*commonpb.AnyValue) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
	}
	want := map[attribute.Value]*commonpb.AnyValue{
		attribute.BoolValue(true):                   is(flag),
		attribute.Int64Value(7):                     num(7),
		attribute.Float64Value(0.5):                 is(half),
		attribute.StringValue("s"):                  str("s"),
		attribute.BoolSliceValue([]bool{true}):      list(flag),
		attribute.Int64SliceValue([]int64{7}):       list(num(7)),
		attribute.Float64SliceValue([]float64{0.5}): list(half),
		attribute.StringSliceValue([]string{"s"}):   list(str("s")),
		attribute.ByteSliceValue([]byte("b")):       {Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("b")}},
		attribute.SliceValue(attribute.IntValue(7)): list(num(7)),
		attribute.MapValue(attribute.Int("k", 7)): {Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{
			Values: []*commonpb.KeyValue{{Key: "k", Value: num(7)}},
		}}},
		{}: {},
	}
	var values []attribute.Value
	var metrics []metricdata.Metrics
	for value := range want {
		values = append(values, value)
		points := []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(attribute.KeyValue{Key: "of", Value: value})}}
		metrics = append(metrics, metricdata.Metrics{Name: "gauge", Data: metricdata.Gauge[int64]{DataPoints: points}})
	}
	data := &metricdata.ResourceMetrics{Resource: resource.Empty(), ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: metrics}}}
	if err := exporter.Export(context.Background(), data); err != nil {
		t.Fatal(err)
	}
	var message metricscollector.ExportMetricsServiceRequest
	c.received()[0].decode(t, &message)
	for i, m := range message.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		if got := m.GetGauge().DataPoints[0].Attributes[0].Value; !proto.Equal(got, want[values[i]]) {
			t.Errorf("%v of type %v is sent as %v", values[i].String(), values[i].Type(), got)
		}
	}
	if err := exporter.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// text returns the text of an attribute, or "".
func text(attributes []*commonpb.KeyValue, key string) string {
	for _, kv := range attributes {
		if kv.Key == key {
			return kv.Value.GetStringValue()
		}
	}
	return ""
}
