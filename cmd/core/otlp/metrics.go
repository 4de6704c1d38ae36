package otlp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// NewMetricExporter returns an exporter of metrics with the settings of the environment. agent is the name of the program in its requests.
func NewMetricExporter(agent string) (metric.Exporter, error) {
	metrics := signal{name: "METRICS", path: "v1/metrics"}
	config, err := readSettings(metrics)
	temporality, err1 := metrics.readTemporality()
	aggregation, err2 := metrics.readAggregation()
	if err := errors.Join(err, err1, err2); err != nil {
		return nil, err
	}
	return &metricExporter{client: newClient(config, agent), temporality: temporality, aggregation: aggregation}, nil
}

// metricExporter implements metric.Exporter.
type metricExporter struct {
	client      *client
	temporality metric.TemporalitySelector
	aggregation metric.AggregationSelector
	closed      atomic.Bool
}

func (e *metricExporter) Temporality(kind metric.InstrumentKind) metricdata.Temporality {
	return e.temporality(kind)
}

func (e *metricExporter) Aggregation(kind metric.InstrumentKind) metric.Aggregation {
	return e.aggregation(kind)
}

// Export sends metrics. Those that OTLP cannot express are left out and named by the error. MetricsData and the request of the collector's service have
// the same encoding: field 1, the metrics by resource.
func (e *metricExporter) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	if e.closed.Load() {
		return metric.ErrReaderShutdown
	}
	encoded, err := resourceMetrics(data)
	if len(encoded.ScopeMetrics) == 0 {
		return err
	}
	return errors.Join(err, e.client.post(ctx, &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{encoded}}))
}

// ForceFlush does nothing: Export keeps no data.
func (e *metricExporter) ForceFlush(ctx context.Context) error { return ctx.Err() }

// Shutdown ends the exporter. Further exports return metric.ErrReaderShutdown.
func (e *metricExporter) Shutdown(context.Context) error {
	e.closed.Store(true)
	e.client.close()
	return nil
}

func (s signal) readTemporality() (metric.TemporalitySelector, error) {
	switch variable, name := s.lookup("TEMPORALITY_PREFERENCE"); strings.ToLower(name) {
	case "", "cumulative":
		return metric.CumulativeTemporalitySelector, nil
	case "delta":
		return metric.DeltaTemporalitySelector, nil
	case "lowmemory":
		return metric.LowMemoryTemporalitySelector, nil
	default:
		return nil, fmt.Errorf("%s: %q is not supported; allowed: cumulative, delta, lowmemory", variable, name)
	}
}

func (s signal) readAggregation() (metric.AggregationSelector, error) {
	switch variable, name := s.lookup("DEFAULT_HISTOGRAM_AGGREGATION"); strings.ToLower(name) {
	case "", "explicit_bucket_histogram":
		return metric.DefaultAggregationSelector, nil
	case "base2_exponential_bucket_histogram":
		return func(kind metric.InstrumentKind) metric.Aggregation {
			if kind == metric.InstrumentKindHistogram {
				return metric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
			}
			return metric.DefaultAggregationSelector(kind)
		}, nil
	default:
		return nil, fmt.Errorf("%s: %q is not supported; allowed: explicit_bucket_histogram, base2_exponential_bucket_histogram", variable, name)
	}
}
