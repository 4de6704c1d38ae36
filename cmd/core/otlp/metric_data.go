package otlp

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
)

// number is the type of a measurement.
type number interface{ int64 | float64 }

// resourceMetrics returns the message of metrics. The error names those that have no message; the others are in the result.
func resourceMetrics(data *metricdata.ResourceMetrics) (*metricspb.ResourceMetrics, error) {
	message := &metricspb.ResourceMetrics{
		Resource:  &resourcepb.Resource{Attributes: keyValues(data.Resource.Attributes())},
		SchemaUrl: data.Resource.SchemaURL(),
	}
	var errs []error
	for _, scope := range data.ScopeMetrics {
		metrics := &metricspb.ScopeMetrics{
			Scope: &commonpb.InstrumentationScope{
				Name: scope.Scope.Name, Version: scope.Scope.Version, Attributes: keyValues(scope.Scope.Attributes.ToSlice()),
			},
			SchemaUrl: scope.Scope.SchemaURL,
		}
		for _, m := range scope.Metrics {
			encoded, err := metricOf(m)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			metrics.Metrics = append(metrics.Metrics, encoded)
		}
		message.ScopeMetrics = append(message.ScopeMetrics, metrics)
	}
	return message, errors.Join(errs...)
}

func metricOf(m metricdata.Metrics) (*metricspb.Metric, error) {
	message := &metricspb.Metric{Name: m.Name, Description: m.Description, Unit: m.Unit}
	switch data := m.Data.(type) {
	case metricdata.Gauge[int64]:
		message.Data = gauge(data)
	case metricdata.Gauge[float64]:
		message.Data = gauge(data)
	case metricdata.Sum[int64]:
		message.Data = sum(data)
	case metricdata.Sum[float64]:
		message.Data = sum(data)
	case metricdata.Histogram[int64]:
		message.Data = histogram(data)
	case metricdata.Histogram[float64]:
		message.Data = histogram(data)
	case metricdata.ExponentialHistogram[int64]:
		message.Data = exponentialHistogram(data)
	case metricdata.ExponentialHistogram[float64]:
		message.Data = exponentialHistogram(data)
	case metricdata.Summary:
		message.Data = summary(data)
	default:
		return nil, fmt.Errorf("metric %q is a %T, which has no message in OTLP", m.Name, m.Data)
	}
	return message, nil
}

func gauge[N number](data metricdata.Gauge[N]) *metricspb.Metric_Gauge {
	return &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: each(data.DataPoints, numberPoint[N])}}
}

func sum[N number](data metricdata.Sum[N]) *metricspb.Metric_Sum {
	return &metricspb.Metric_Sum{Sum: &metricspb.Sum{
		AggregationTemporality: temporality(data.Temporality), IsMonotonic: data.IsMonotonic, DataPoints: each(data.DataPoints, numberPoint[N]),
	}}
}

func histogram[N number](data metricdata.Histogram[N]) *metricspb.Metric_Histogram {
	return &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{
		AggregationTemporality: temporality(data.Temporality), DataPoints: each(data.DataPoints, histogramPoint[N]),
	}}
}

func exponentialHistogram[N number](data metricdata.ExponentialHistogram[N]) *metricspb.Metric_ExponentialHistogram {
	return &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{
		AggregationTemporality: temporality(data.Temporality), DataPoints: each(data.DataPoints, exponentialPoint[N]),
	}}
}

func summary(data metricdata.Summary) *metricspb.Metric_Summary {
	return &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: each(data.DataPoints, summaryPoint)}}
}

func numberPoint[N number](p metricdata.DataPoint[N]) *metricspb.NumberDataPoint {
	message := &metricspb.NumberDataPoint{
		Attributes: keyValues(p.Attributes.ToSlice()), StartTimeUnixNano: unixNano(p.StartTime), TimeUnixNano: unixNano(p.Time),
		Exemplars: each(p.Exemplars, exemplar[N]),
	}
	switch value := any(p.Value).(type) {
	case int64:
		message.Value = &metricspb.NumberDataPoint_AsInt{AsInt: value}
	case float64:
		message.Value = &metricspb.NumberDataPoint_AsDouble{AsDouble: value}
	}
	return message
}

func histogramPoint[N number](p metricdata.HistogramDataPoint[N]) *metricspb.HistogramDataPoint {
	total := float64(p.Sum)
	return &metricspb.HistogramDataPoint{
		Attributes: keyValues(p.Attributes.ToSlice()), StartTimeUnixNano: unixNano(p.StartTime), TimeUnixNano: unixNano(p.Time),
		Count: p.Count, Sum: &total, Min: extreme(p.Min), Max: extreme(p.Max),
		BucketCounts: p.BucketCounts, ExplicitBounds: p.Bounds, Exemplars: each(p.Exemplars, exemplar[N]),
	}
}

func exponentialPoint[N number](p metricdata.ExponentialHistogramDataPoint[N]) *metricspb.ExponentialHistogramDataPoint {
	total := float64(p.Sum)
	return &metricspb.ExponentialHistogramDataPoint{
		Attributes: keyValues(p.Attributes.ToSlice()), StartTimeUnixNano: unixNano(p.StartTime), TimeUnixNano: unixNano(p.Time),
		Count: p.Count, Sum: &total, Min: extreme(p.Min), Max: extreme(p.Max),
		Scale: p.Scale, ZeroCount: p.ZeroCount, ZeroThreshold: p.ZeroThreshold,
		Positive: buckets(p.PositiveBucket), Negative: buckets(p.NegativeBucket), Exemplars: each(p.Exemplars, exemplar[N]),
	}
}

func buckets(b metricdata.ExponentialBucket) *metricspb.ExponentialHistogramDataPoint_Buckets {
	return &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: b.Offset, BucketCounts: b.Counts}
}

func summaryPoint(p metricdata.SummaryDataPoint) *metricspb.SummaryDataPoint {
	return &metricspb.SummaryDataPoint{
		Attributes: keyValues(p.Attributes.ToSlice()), StartTimeUnixNano: unixNano(p.StartTime), TimeUnixNano: unixNano(p.Time),
		Count: p.Count, Sum: p.Sum,
		QuantileValues: each(p.QuantileValues, func(q metricdata.QuantileValue) *metricspb.SummaryDataPoint_ValueAtQuantile {
			return &metricspb.SummaryDataPoint_ValueAtQuantile{Quantile: q.Quantile, Value: q.Value}
		}),
	}
}

func exemplar[N number](e metricdata.Exemplar[N]) *metricspb.Exemplar {
	message := &metricspb.Exemplar{
		FilteredAttributes: keyValues(e.FilteredAttributes), TimeUnixNano: unixNano(e.Time), SpanId: e.SpanID, TraceId: e.TraceID,
	}
	switch value := any(e.Value).(type) {
	case int64:
		message.Value = &metricspb.Exemplar_AsInt{AsInt: value}
	case float64:
		message.Value = &metricspb.Exemplar_AsDouble{AsDouble: value}
	}
	return message
}

func temporality(t metricdata.Temporality) metricspb.AggregationTemporality {
	switch t {
	case metricdata.CumulativeTemporality:
		return metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	case metricdata.DeltaTemporality:
		return metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	}
	return metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_UNSPECIFIED
}

func extreme[N number](e metricdata.Extrema[N]) *float64 {
	value, defined := e.Value()
	if !defined {
		return nil
	}
	f := float64(value)
	return &f
}

// unixNano returns a time in nanoseconds since 1970; 0 for the zero time and earlier ones.
func unixNano(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.UnixNano(), 0)) //nolint:gosec // not negative
}

// each returns the messages of a list.
func each[T, M any](list []T, message func(T) M) []M {
	messages := make([]M, 0, len(list))
	for _, item := range list {
		messages = append(messages, message(item))
	}
	return messages
}
