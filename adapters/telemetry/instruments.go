package telemetry

import (
	"context"
	"errors"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
)

var errPanicked = errors.New("the handler panicked")

// Kind is the kind of an observable instrument.
type Kind uint8

// The kinds of instruments.
const (
	Counter Kind = iota // a total that only grows
	Level               // a number of things now; those of all processes add up
	Gauge               // a value now, which may have a fraction and adds up to nothing
)

// String returns "counter", "level" or "gauge".
func (k Kind) String() string {
	switch k {
	case Counter:
		return "counter"
	case Level:
		return "level"
	case Gauge:
		return "gauge"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Instrument describes an observable instrument.
type Instrument struct {
	Name, Unit, Description string
	Kind                    Kind
}

// Point is a measurement of the instrument of a name.
type Point struct {
	Name  string
	Value float64 // of a Counter or Level a whole number, exact up to 2^53
	By    attribute.Set
}

// By returns the set of some attributes.
func By(attributes ...attribute.KeyValue) attribute.Set { return attribute.NewSet(attributes...) }

// Group returns the attribute of a consumer group.
func Group(name string) attribute.KeyValue { return semconv.MessagingConsumerGroupName(name) }

// Result returns the attribute of an outcome.
func Result(word string) attribute.KeyValue { return keyOutcome.String(word) }

// Reason returns the attribute that says why something is so.
func Reason(word string) attribute.KeyValue { return attribute.String("chatcore.reason", word) }

// Server returns the attribute of a server's address, HOST:PORT.
func Server(address string) attribute.KeyValue { return attribute.String("chatcore.server", address) }

// OfKind returns the attribute of the kind of a thing.
func OfKind(word string) attribute.KeyValue { return attribute.String("chatcore.kind", word) }

// InState returns the attribute of the state of a thing.
func InState(word string) attribute.KeyValue { return attribute.String("chatcore.state", word) }

// Watch makes the instruments, and measures points whenever a reader asks, until stop is called. Points of a name that no instrument has are
// dropped.
func Watch(meter metric.Meter, instruments []Instrument, points func(context.Context) []Point) (stop func() error, err error) {
	observers := make(map[string]func(metric.Observer, Point), len(instruments))
	var observables []metric.Observable
	var errs []error
	for _, i := range instruments {
		observable, observe, err := i.make(meter)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		observers[i.Name], observables = observe, append(observables, observable)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	registration, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for _, p := range points(ctx) {
			if observe := observers[p.Name]; observe != nil {
				observe(o, p)
			}
		}
		return nil
	}, observables...)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

// make returns the instrument, and a function that observes a point of it.
func (i Instrument) make(meter metric.Meter) (metric.Observable, func(metric.Observer, Point), error) {
	whole := func(m metric.Int64Observable) func(metric.Observer, Point) {
		return func(o metric.Observer, p Point) { o.ObserveInt64(m, int64(p.Value), metric.WithAttributeSet(p.By)) }
	}
	switch i.Kind {
	case Level:
		m, err := meter.Int64ObservableUpDownCounter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		return m, whole(m), err
	case Gauge:
		m, err := meter.Float64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		return m, func(o metric.Observer, p Point) { o.ObserveFloat64(m, p.Value, metric.WithAttributeSet(p.By)) }, err
	case Counter:
	}
	m, err := meter.Int64ObservableCounter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
	return m, whole(m), err
}
