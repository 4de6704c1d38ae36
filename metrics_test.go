package chatcore_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// instruments records the instruments that a core makes, by name, with their units.
type instruments struct {
	noop.MeterProvider

	mu    sync.Mutex // guards: units
	units map[string]string
}

func (m *instruments) Meter(string, ...metric.MeterOption) metric.Meter {
	return recordingMeter{instruments: m}
}

type recordingMeter struct {
	noop.Meter
	instruments *instruments
}

func (m recordingMeter) made(name, unit string) {
	m.instruments.mu.Lock()
	defer m.instruments.mu.Unlock()
	m.instruments.units[name] = unit
}

func (m recordingMeter) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	m.made(name, metric.NewFloat64HistogramConfig(o...).Unit())
	return noop.Float64Histogram{}, nil
}

func (m recordingMeter) Int64Histogram(name string, o ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	m.made(name, metric.NewInt64HistogramConfig(o...).Unit())
	return noop.Int64Histogram{}, nil
}

func (m recordingMeter) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	m.made(name, metric.NewInt64CounterConfig(o...).Unit())
	return noop.Int64Counter{}, nil
}

func (m recordingMeter) Int64ObservableCounter(name string, o ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	m.made(name, metric.NewInt64ObservableCounterConfig(o...).Unit())
	return noop.Int64ObservableCounter{}, nil
}

func (m recordingMeter) Int64ObservableUpDownCounter(name string, o ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	m.made(name, metric.NewInt64ObservableUpDownCounterConfig(o...).Unit())
	return noop.Int64ObservableUpDownCounter{}, nil
}

func (m recordingMeter) Int64ObservableGauge(name string, o ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	m.made(name, metric.NewInt64ObservableGaugeConfig(o...).Unit())
	return noop.Int64ObservableGauge{}, nil
}

func (m recordingMeter) Float64ObservableGauge(name string, o ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	m.made(name, metric.NewFloat64ObservableGaugeConfig(o...).Unit())
	return noop.Float64ObservableGauge{}, nil
}

// TestMetrics_DocumentedTable compares the table of docs/operating.md with the instruments of a core on Redis: names and units, both ways.
func TestMetrics_DocumentedTable(t *testing.T) {
	made := &instruments{units: make(map[string]string)}
	opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "metrics-" + uuid.NewString()}}, chatcore.WithMeterProvider(made)))
	text, err := os.ReadFile("docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:chatcore|messaging)\\.[a-z_.]+)` \\| (\\S+) \\|").FindAllStringSubmatch(string(text), -1) {
		if !strings.HasPrefix(row[1], "chatcore.api.") { // of the server of core serve, whose tests check them
			documented[row[1]] = row[2]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made.units)) {
		if unit, there := documented[name]; !there || unit != made.units[name] {
			t.Errorf("%s is exported in %q, and documented (%t) in %q", name, made.units[name], there, unit)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, there := made.units[name]; !there {
			t.Errorf("%s is documented and not exported", name)
		}
	}
}

// TestMetrics_Groups brings a group into every state that has a metric.
func TestMetrics_Groups(t *testing.T) {
	o := observeWith(t, chatcore.Config{Delivery: chatcore.DeliveryConfig{Lease: wait.Limit}}) // a lease that ends on a busy machine would repeat deliveries
	release := make(chan struct{})
	if err := errors.Join(
		o.Subscribe("push", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			switch d.Event.Content {
			case "bad":
				return chatcore.Permanent(errors.New("refused"))
			case "slow":
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			return nil
		}), chatcore.OnPoison(chatcore.Park)),
		o.Subscribe("other"),
	); err != nil {
		t.Fatal(err)
	}
	start(t, o.Core)
	ctx := t.Context()
	send := func(chat domain.ChatID, content string) {
		must[app.Sent](t)(o.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: content}))
	}
	for _, chat := range []domain.ChatID{"parked", "slow"} {
		must[app.Done](t)(o.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
	}
	send("parked", "bad")
	send("slow", "slow")
	send("slow", "waits")
	await := func(what string, want map[string]int64) {
		t.Helper()
		var got map[string]int64
		defer func() {
			if t.Failed() {
				t.Log(got)
			}
		}()
		wait.Until(t, what, func() bool {
			if err := o.Presence.Heartbeat(t.Context(), "ada", "phone", ""); err != nil { // each time: one lasts for 90 s
				t.Fatal(err)
			}
			got = o.measured(t)
			for name, n := range want {
				if found, there := got[name]; !there || found != n {
					return false
				}
			}
			return true
		})
	}
	const push, other = "{messaging.consumer.group.name=push}", "{messaging.consumer.group.name=other}"
	await("every state of the groups to be measured", map[string]int64{
		"chatcore.group.lag" + push: 2, "chatcore.group.in_flight" + push: 1, "chatcore.group.parked" + push: 1, "chatcore.group.dead_letters" + push: 1,
		"chatcore.deliveries{chatcore.outcome=dead_letter,messaging.consumer.group.name=push}": 1,
		"chatcore.group.lag" + other: 0, "chatcore.group.lag_age" + other: 0, "chatcore.group.parked" + other: 0, "chatcore.group.behind" + other: 0,
		"chatcore.deliveries{chatcore.outcome=ignored,messaging.consumer.group.name=other}": 5,
		"chatcore.presence.online": 1,
	})
	if got := o.measured(t); got["chatcore.group.lag_age"+push] <= 0 {
		t.Errorf("the oldest event is %d s old", got["chatcore.group.lag_age"+push])
	}
	close(release)
	await("the lag to end", map[string]int64{"chatcore.group.lag" + push: 0, "chatcore.group.lag_age" + push: 0, "chatcore.group.in_flight" + push: 0, "chatcore.group.parked" + push: 1})
	for name := range o.measured(t) {
		if regexp.MustCompile(`^chatcore\.(group|deliveries|partitions|streams|chats)\.?[a-z_]*\{`).MatchString(name) && !regexp.MustCompile(`messaging\.consumer\.group\.name=`).MatchString(name) {
			t.Errorf("%s has no group", name)
		}
	}
}

// TestMetrics_LogState measures whether the log accepts events, and its server's memory, while the server refuses writes for lack of memory and after.
func TestMetrics_LogState(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", "1gb")
	o := &observed{reader: sdkmetric.NewManualReader()}
	o.Core = opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}},
		chatcore.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader)))))
	limit := "chatcore.redis.memory.limit{chatcore.server=" + server.Addr() + "}"
	await := func(maxmemory string, bytes, ready int64) {
		t.Helper()
		if err := server.Client(t).ConfigSet(t.Context(), "maxmemory", maxmemory).Err(); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "metrics with maxmemory "+maxmemory, func() bool {
			got := o.measured(t)
			accepts, there := got["chatcore.log.ready"]
			return there && accepts == ready && got[limit] == bytes && got["chatcore.redis.memory.used"] > 100_000
		})
	}
	await("1gb", 1<<30, 1)
	await("1", 1, 0)
	await("0", 0, 1)
}

// TestMetrics_WhileItStarts reads metrics, counts and health while 256 groups are added to the router. The race detector finds what they share unguarded.
func TestMetrics_WhileItStarts(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}, chatcore.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))))
	subscribeMany(t, core, 256)
	running := make(chan struct{})
	var reading sync.WaitGroup
	defer reading.Wait()
	for _, read := range []func(){
		func() {
			if err := reader.Collect(t.Context(), &metricdata.ResourceMetrics{}); err != nil {
				t.Error(err)
			}
		},
		func() { core.Stats() },
		func() { core.Health(t.Context()) },
	} {
		reading.Go(func() {
			for {
				read()
				select {
				case <-running:
					return
				default:
				}
			}
		})
	}
	start(t, core)
	close(running)
}
