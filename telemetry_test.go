package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// observed is a core on Redis whose spans and measurements stay in the test.
type observed struct {
	*chatcore.Core
	client *goredis.Client
	spans  *tracetest.InMemoryExporter
	tracer trace.Tracer
	reader *sdkmetric.ManualReader
	prefix string
}

func observe(t *testing.T) *observed {
	t.Helper()
	return observeWith(t, chatcore.Config{})
}

// observeWith observes a core with some settings.
func observeWith(t *testing.T, config chatcore.Config) *observed {
	t.Helper()
	o := &observed{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader(), prefix: "core-" + uuid.NewString()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans))
	o.tracer = tracers.Tracer("test")
	server := redistest.Shared(t)
	o.client = goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = o.client.Close() })
	config.Redis.URL, config.Redis.Namespace, config.Log.Partitions = server.URL(), o.prefix, 1
	o.Core = opened(t)(chatcore.New(t.Context(), quick(config),
		chatcore.WithTracerProvider(tracers), chatcore.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader)))))
	return o
}

// named are the ended spans of a name, as soon as there are so many.
func (o *observed) named(t *testing.T, name string, n int) tracetest.SpanStubs {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(wait.Limit); ; {
		spans := slices.DeleteFunc(slices.Clone(o.spans.GetSpans()), func(s tracetest.SpanStub) bool { return s.Name != name })
		if len(spans) >= n {
			return spans
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d spans %q, want %d", len(spans), name, n)
		}
	}
}

func TestOneTraceFromCommandToHandler(t *testing.T) {
	const secret = "the content of the message"
	o := observe(t)
	failed := errors.New("not yet")
	err := errors.Join(
		o.Subscribe("push", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			if d.Attempt == 1 {
				return failed
			}
			_, span := o.tracer.Start(ctx, "the handler's own")
			span.End()
			return nil
		})),
		o.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.TypingStart]) {}), chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) {})),
	)
	if err != nil {
		t.Fatal(err)
	}
	start(t, o.Core)
	ctx, request := o.tracer.Start(t.Context(), "request")
	must[app.Done](t)(o.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: secret}))
	if _, err := o.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	must[app.Sent](t)(o.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: secret}))
	request.End()

	send := o.named(t, "send", 1)[0]
	if scope := send.InstrumentationScope; scope.Name != "chatcore" || scope.Version != chatcore.Version {
		t.Errorf("the spans are of %s %s", scope.Name, scope.Version)
	}
	produced := o.named(t, "send message:new", 1)[0]
	processed := o.named(t, "process message:new", 3) // two attempts, and live
	own := o.named(t, "the handler's own", 1)[0]
	live := o.named(t, "process typing:start", 1)[0]
	typed := o.named(t, "send typing:start", 1)[0]
	for _, s := range append(tracetest.SpanStubs{send, produced, own, live, typed}, processed...) {
		if s.SpanContext.TraceID() != request.SpanContext().TraceID() {
			t.Errorf("%s is of another trace", s.Name)
		}
	}
	if send.Parent.SpanID() != request.SpanContext().SpanID() || produced.Parent.SpanID() != send.SpanContext.SpanID() || live.Parent.SpanID() != typed.SpanContext.SpanID() {
		t.Error("the spans are not within one another")
	}
	groups := 0
	for _, s := range processed {
		if s.Parent.SpanID() != produced.SpanContext.SpanID() || s.SpanKind != trace.SpanKindConsumer {
			t.Errorf("%s is of the kind %v, within another span", s.Name, s.SpanKind)
		}
		if value, ok := attributeOf(s, "messaging.consumer.group.name"); ok && value.AsString() == "push" {
			groups++
		}
	}
	if groups != 2 {
		t.Errorf("%d spans of the group, want 2", groups)
	}
	if produced.SpanKind != trace.SpanKindProducer {
		t.Errorf("the append is of the kind %v", produced.SpanKind)
	}
	for key, want := range map[attribute.Key]string{
		"messaging.system": "redis", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": "message:new", "chatcore.chat.id": "c",
	} {
		if got, _ := attributeOf(produced, key); got.AsString() != want {
			t.Errorf("%s is %q, want %q", key, got.AsString(), want)
		}
	}
	for _, s := range o.spans.GetSpans() {
		if strings.Contains(fmt.Sprintf("%+v", s), secret) {
			t.Errorf("the span %s tells the content", s.Name)
		}
	}

	entries, err := o.client.XRevRangeN(t.Context(), o.prefix+":message-delivery-stream", "+", "-", 1).Result()
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	parent := "00-" + produced.SpanContext.TraceID().String() + "-" + produced.SpanContext.SpanID().String() + "-01"
	metadata, err := wireformat.DecodeMetadata([]byte(entries[0].Values["metadata"].(string)))
	if err != nil || metadata["traceparent"] != parent || !strings.Contains(entries[0].Values["payload"].(string), `"traceparent":"`+parent+`"`) {
		t.Errorf("the entry does not carry %s: %v, %v", parent, metadata, err)
	}
}

func attributeOf(s tracetest.SpanStub, key attribute.Key) (attribute.Value, bool) {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value, true
		}
	}
	return attribute.Value{}, false
}

// measured are the sums, or the counts of recorded values, by name and attributes.
func (o *observed) measured(t *testing.T) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := o.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]int64)
	add := func(name string, set attribute.Set, n int64) {
		var parts []string
		for _, a := range set.ToSlice() {
			parts = append(parts, string(a.Key)+"="+a.Value.String())
		}
		found[name+"{"+strings.Join(parts, ",")+"}"] += n
		found[name] += n
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, int64(p.Count))
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Sum)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, int64(math.Ceil(p.Value)))
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			}
		}
	}
	return found
}

func TestWhatIsMeasured(t *testing.T) {
	o := observe(t)
	done := make(chan struct{})
	if err := o.Subscribe("push", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		if d.Attempt == 1 {
			return errors.New("not yet")
		}
		close(done)
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	stop := start(t, o.Core)
	ctx := t.Context()
	must[app.Done](t)(o.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(o.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	if _, err := o.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "eve", Content: "x"}); !errors.Is(err, domain.ErrNotMember) {
		t.Fatal(err)
	}
	if _, err := o.Chats.Record(ctx, domain.Record{
		Chat: "c", Actor: "ada", Event: chatcore.Define[order]("order:placed", 1).Of(order{}), Conditions: []domain.Condition{{Entity: domain.CustomEntity("o"), Version: 7}},
	}); !errors.Is(err, ports.ErrConflict) {
		t.Fatal(err)
	}
	receive(t, done)
	stop()
	got := o.measured(t)
	for name, want := range map[string]int64{
		"chatcore.command.duration{chatcore.command=create,chatcore.outcome=ok}":       1,
		"chatcore.command.duration{chatcore.command=send,chatcore.outcome=ok}":         1,
		"chatcore.command.duration{chatcore.command=send,chatcore.outcome=refused}":    1,
		"chatcore.command.duration{chatcore.command=record,chatcore.outcome=conflict}": 1,
		"chatcore.append.duration{chatcore.outcome=ok}":                                3,
		"chatcore.append.batch.size":                                                   3,
		"chatcore.append.conflicts":                                                    1,
		"chatcore.append.queue":                                                        0,
		"messaging.client.operation.duration":                                          3,
		"messaging.process.duration":                                                   2,
		"chatcore.redeliveries{messaging.consumer.group.name=push}":                    1,
	} {
		if n, there := got[name]; !there || n != want {
			t.Errorf("%s is %d (%v), want %d", name, n, there, want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestTotalsAreMeasuredWhileTheCoreIsOpen(t *testing.T) {
	o := observe(t)
	if err := o.Subscribe("push"); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	must[app.Done](t)(o.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	for range 3 {
		must[app.Sent](t)(o.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	}
	got := o.measured(t)
	for _, name := range []string{
		"chatcore.deliveries{chatcore.outcome=handled,messaging.consumer.group.name=push}",
		"chatcore.deliveries{chatcore.outcome=dead_letter,messaging.consumer.group.name=push}", "chatcore.live.dropped", "chatcore.live.reconnects",
		"chatcore.live.unreadable", "chatcore.snapshots.unreadable", "chatcore.entities.cache{chatcore.outcome=hit}",
		"chatcore.helpers.failures", "chatcore.helpers.unreadable",
	} {
		if _, there := got[name]; !there {
			t.Errorf("%s is not measured", name)
		}
	}
	if hits := got["chatcore.entities.cache{chatcore.outcome=hit}"]; hits == 0 {
		t.Error("three sends hit no cache")
	}
	must[int](t)(o.Helpers.SAdd(ctx, "set", "m"))
	var text string
	o.Helpers.Lenient().Get(ctx, "set", &text)
	must[int64](t)(o.Helpers.Incr(ctx, "number"))
	must[bool](t)(o.Helpers.Get(ctx, "number", &text))
	if got := o.measured(t); got["chatcore.helpers.failures"] != 1 || got["chatcore.helpers.unreadable"] != 1 {
		t.Errorf("%v failures and %v unreadable values", got["chatcore.helpers.failures"], got["chatcore.helpers.unreadable"])
	}
}

// TestTransitionsAreSends has a script publish events that do not pass the live bus.
func TestTransitionsAreSends(t *testing.T) {
	o := observe(t)
	ctx, parent := o.tracer.Start(t.Context(), "request")
	for range 3 { // one of them is a transition
		if err := o.Presence.Heartbeat(ctx, "ada", "phone", ""); err != nil {
			t.Fatal(err)
		}
	}
	must[bool](t)(o.Presence.SetStatus(ctx, "ada", domain.Busy))
	parent.End()
	spans := o.named(t, "send user:status", 2)
	for _, s := range spans {
		if s.Parent.SpanID() != parent.SpanContext().SpanID() || s.SpanKind != trace.SpanKindProducer || !s.EndTime.After(s.StartTime) {
			t.Errorf("span %+v", s)
		}
	}
	if sends := o.measured(t)["messaging.client.operation.duration"]; len(spans) != 2 || sends != 2 {
		t.Errorf("%d spans, %d sends, want 2", len(spans), sends)
	}
}

// stubbornMeters refuse every instrument and callback, and never end a flush.
type stubbornMeters struct {
	noop.MeterProvider
	flushed chan struct{}
}

func (m stubbornMeters) Meter(string, ...metric.MeterOption) metric.Meter { return refusingMeter{} }

func (m stubbornMeters) ForceFlush(ctx context.Context) error {
	close(m.flushed)
	<-ctx.Done()
	return ctx.Err()
}

type refusingMeter struct{ noop.Meter }

var errRefused = errors.New("no such instrument")

func (refusingMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, errRefused
}

func (refusingMeter) Int64Histogram(string, ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return nil, errRefused
}

func (refusingMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errRefused
}

func (refusingMeter) Int64ObservableCounter(string, ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return nil, errRefused
}

func (refusingMeter) Int64ObservableGauge(string, ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return nil, errRefused
}

func (refusingMeter) Int64ObservableUpDownCounter(string, ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return nil, errRefused
}

func (refusingMeter) Float64ObservableGauge(string, ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return nil, errRefused
}

func (refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, errRefused
}

func TestTelemetry_FaultyMetersDecideNothing(t *testing.T) {
	meters := stubbornMeters{flushed: make(chan struct{})}
	var logged strings.Builder
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "faulty-meters-" + uuid.NewString()},
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	}, chatcore.WithMeterProvider(meters))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada", Title: "Garden"}); err != nil {
		t.Error(err)
	}
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-meters.flushed:
	default:
		t.Error("Close exported no last metrics")
	}
	if n := strings.Count(logged.String(), "metrics are incomplete"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, logged.String())
	}
}

// TestTelemetry_AcceptedMarkLinksToItsCall makes two read marks within a second. The span that records the second one belongs to no call's trace, and
// links to the call that it was accepted from.
func TestTelemetry_AcceptedMarkLinksToItsCall(t *testing.T) {
	o := observe(t)
	must[app.Done](t)(o.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
	var call trace.SpanContext
	for _, m := range []domain.MessageID{"m1", "m2"} {
		must[app.Sent](t)(o.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: m, Content: "x"}))
	}
	for i, m := range []domain.MessageID{"m1", "m2"} {
		ctx, request := o.tracer.Start(t.Context(), "request")
		marked := must[app.Marked](t)(o.Chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ben", MessageID: m}))
		request.End()
		if call = request.SpanContext(); marked.Recorded != (i == 0) {
			t.Fatalf("mark %d: %+v", i, marked)
		}
		if n, there := o.measured(t)["chatcore.read_marks.pending"]; !there || int(n) > i {
			t.Errorf("after mark %d, %d are pending (%v), want at most %d", i, n, there, i)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range o.named(t, "read", 3) { // of the two calls, and in the background
		if len(s.Links) == 1 && s.Links[0].SpanContext.SpanID() == call.SpanID() && s.SpanContext.TraceID() != call.TraceID() {
			return
		}
	}
	t.Errorf("no span links to the call: %+v", o.named(t, "read", 3))
}
