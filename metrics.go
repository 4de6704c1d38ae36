package chatcore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"chatcore/adapters/telemetry"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// The age at which values of groups and presence are read from Redis again, and the time limit of that. Metrics cost Redis the same for any number of
// readers and any interval.
const (
	levelsFor   = 5 * time.Second
	levelsLimit = 2 * time.Second
)

// Names of the metrics that are no counts.
const (
	metricBlocked     = "chatcore.chats.blocked"
	metricInFlight    = "chatcore.group.in_flight"
	metricLag         = "chatcore.group.lag"
	metricLagAge      = "chatcore.group.lag_age"
	metricBehind      = "chatcore.group.behind"
	metricParked      = "chatcore.group.parked"
	metricDeadLetters = "chatcore.group.dead_letters"
	metricOnline      = "chatcore.presence.online"
	metricMarks       = "chatcore.read_marks.pending"
	metricFeeds       = "chatcore.feeds.open"
	metricFeedChats   = "chatcore.feeds.chats"
	metricReady       = "chatcore.log.ready"
	metricMemory      = "chatcore.redis.memory.used"
	metricMemoryLimit = "chatcore.redis.memory.limit"
	metricDefined     = "chatcore.groups.defined"
)

// instruments returns those of all counts, and of the levels.
func (c *Core) instruments() []telemetry.Instrument {
	list := []telemetry.Instrument{
		{Name: metricBlocked, Unit: "{chat}", Kind: telemetry.Level, Description: "Chats of this process that do not go on now, by why."},
		{Name: metricInFlight, Unit: "{delivery}", Kind: telemetry.Level, Description: "Deliveries of this process that are with handlers now."},
		{Name: metricLag, Unit: "{event}", Kind: telemetry.Level, Description: "Unfinished events on the partitions that this process owns."},
		{Name: metricLagAge, Unit: "s", Kind: telemetry.Gauge, Description: "Age of the oldest of them on a stream."},
		{Name: metricBehind, Unit: "{chat}", Kind: telemetry.Level, Description: "Chats on these partitions that catch up from the log."},
		{Name: metricParked, Unit: "{chat}", Kind: telemetry.Level, Description: "Chats on these partitions that wait for a decision about a dead letter."},
		{Name: metricDeadLetters, Unit: "{letter}", Kind: telemetry.Level, Description: "Dead letters on these partitions."},
		{Name: metricOnline, Unit: "{user}", Kind: telemetry.Gauge, Description: "Users that are published as online, in all processes."},
		{Name: metricMarks, Unit: "{mark}", Kind: telemetry.Level, Description: "Accepted read marks of this process that are not recorded yet."},
		{Name: metricFeeds, Unit: "{feed}", Kind: telemetry.Level, Description: "Feeds of this process that are open now."},
		{Name: metricFeedChats, Unit: "{chat}", Kind: telemetry.Level, Description: "Chats that the feeds of this process follow now."},
		{Name: metricReady, Unit: "{log}", Kind: telemetry.Gauge, Description: "1 while the log accepts events of this process, otherwise 0."},
		{Name: metricMemory, Unit: "By", Kind: telemetry.Gauge, Description: "Memory of a server of the log that counts toward its limit."},
		{Name: metricMemoryLimit, Unit: "By", Kind: telemetry.Gauge, Description: "Memory limit of a server of the log; 0 if it has none."},
	}
	list = append(list, telemetry.Instrument{
		Name: metricDefined, Unit: "{group}", Kind: telemetry.Level, Description: "Defined groups, by kind and by their state in this process.",
	})
	list = append(
		list,
		telemetry.Instrument{Name: metricWebhookRequests, Unit: "{request}", Description: "Requests of this process to the endpoints of webhooks, by result, since each webhook runs here."},
		telemetry.Instrument{Name: metricWebhookState, Unit: "{endpoint}", Kind: telemetry.Level, Description: "1 for the state of the endpoint of each webhook in this process, 0 for the others."},
		telemetry.Instrument{Name: metricWebhookInFlight, Unit: "{request}", Kind: telemetry.Level, Description: "Requests of this process to the endpoint of each webhook that have no answer yet."},
	)
	list = append(append(list, vaultInstruments()...), retentionInstruments()...)
	for _, n := range c.counts {
		if !slices.ContainsFunc(list, func(i telemetry.Instrument) bool { return i.Name == n.name }) {
			list = append(list, telemetry.Instrument{Name: n.name, Unit: n.unit, Description: n.description})
		}
	}
	return list
}

// watchMetrics exports the core's counts and levels until the function that it returns is called.
func (c *Core) watchMetrics(meter metric.Meter) (unwatch func() error, err error) {
	stop, err := telemetry.Watch(meter, c.instruments(), c.points)
	if err != nil {
		return nil, err
	}
	stopCaches, err := telemetry.WatchCaches(meter, c.cacheStats)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return func() error { return errors.Join(stop(), stopCaches()) }, nil
}

// points measures everything once.
func (c *Core) points(ctx context.Context) []telemetry.Point {
	var points []telemetry.Point
	add := func(name string, value float64, by ...attribute.KeyValue) {
		points = append(points, telemetry.Point{Name: name, Value: value, By: telemetry.By(by...)})
	}
	s, groups := c.Stats(), c.counters.All()
	for _, n := range c.counts {
		if n.ofGroup == nil {
			add(n.name, float64(*n.field(&s)), n.by...)
			continue
		}
		for group, counters := range groups {
			add(n.name, float64(n.ofGroup(counters).Load()), append([]attribute.KeyValue{telemetry.Group(group)}, n.by...)...)
		}
	}
	add(metricMarks, float64(c.Chats.MarkStats().Pending))
	add(metricFeeds, float64(s.Feeds.Feeds))
	add(metricFeedChats, float64(s.Feeds.Chats))
	for of, n := range c.countDefined() {
		add(metricDefined, float64(n), telemetry.OfKind(of.kind), telemetry.InState(of.state))
	}
	running := c.inFlight()
	for group, counters := range groups {
		for _, reason := range blockReasons() {
			add(metricBlocked, float64(counters.Blocked(reason)), telemetry.Group(group), telemetry.Reason(string(reason)))
		}
		add(metricInFlight, float64(running[group]), telemetry.Group(group))
	}
	points = append(append(append(points, c.webhookPoints()...), c.vaultPoints()...), c.retentionPoints()...)
	return append(append(points, c.memoryLevels()...), c.levels.read(ctx, c)...)
}

// memoryLevels returns the memory of the log's servers, which the log checks every second.
func (c *Core) memoryLevels() (points []telemetry.Point) {
	if c.backend.redis == nil {
		return nil
	}
	for _, server := range c.backend.redis.log.Memory() {
		by := telemetry.By(telemetry.Server(server.Address))
		points = append(
			points,
			telemetry.Point{Name: metricMemory, Value: float64(server.Used), By: by},
			telemetry.Point{Name: metricMemoryLimit, Value: float64(server.Limit), By: by},
		)
	}
	return points
}

// readyLevel returns whether the log accepts events. It returns nothing for a core that is closed.
func (c *Core) readyLevel(ctx context.Context) []telemetry.Point {
	ready := 1.0
	if err := c.Ready(ctx); errors.Is(err, ErrClosed) {
		return nil
	} else if err != nil {
		ready = 0
	}
	return []telemetry.Point{{Name: metricReady, Value: ready}}
}

// inFlight returns how many deliveries are with handlers now, by group.
func (c *Core) inFlight() map[string]int {
	c.mu.Lock()
	router := c.router
	c.mu.Unlock()
	n := make(map[string]int)
	if router != nil {
		for _, h := range router.InFlight() {
			n[h.Group]++
		}
	}
	return n
}

// levels holds the values last read from Redis of this process's groups and of presence.
type levels struct {
	mu     sync.Mutex // guards the fields below, and that one reader at a time asks
	asked  time.Time
	points []telemetry.Point
}

func (l *levels) read(ctx context.Context, c *Core) []telemetry.Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked.IsZero() || time.Since(l.asked) >= levelsFor {
		ctx, cancel := context.WithTimeout(ctx, levelsLimit)
		defer cancel()
		ready := make(chan []telemetry.Point, 1)
		go func() { ready <- c.readyLevel(ctx) }() // beside the others, which wait for a Redis that does not answer
		l.points = append(c.groupLevels(ctx), c.onlineLevel(ctx)...)
		l.points = append(l.points, <-ready...)
		l.asked = time.Now()
	}
	return l.points
}

// groupLevels asks where the groups of this process stand on the partitions that it owns. A group that cannot be asked is left out.
func (c *Core) groupLevels(ctx context.Context) (points []telemetry.Point) {
	for _, state := range c.owned(ctx) {
		if len(state.Partitions) == 0 {
			continue
		}
		var lag, behind, parked, letters float64
		var age time.Duration
		for _, l := range state.Partitions {
			lag, behind = lag+float64(l.Lag), behind+float64(l.Behind)
			parked, letters = parked+float64(l.Parked), letters+float64(l.Letters)
			age = max(age, l.Age)
		}
		group := telemetry.By(telemetry.Group(state.Group))
		points = append(
			points,
			telemetry.Point{Name: metricLag, Value: lag, By: group},
			telemetry.Point{Name: metricLagAge, Value: age.Seconds(), By: group},
			telemetry.Point{Name: metricBehind, Value: behind, By: group},
			telemetry.Point{Name: metricParked, Value: parked, By: group},
			telemetry.Point{Name: metricDeadLetters, Value: letters, By: group},
		)
	}
	return points
}

// owned returns the states of this process's groups on the partitions that it owns. It asks for some groups at a time.
func (c *Core) owned(ctx context.Context) (states []groups.State) {
	const atATime = 8
	c.mu.Lock()
	router := c.router
	c.mu.Unlock()
	if router == nil {
		return nil
	}
	var mu sync.Mutex // guards states
	var asking sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for _, group := range router.Groups() {
		owned := router.Owned(group)
		if len(owned) == 0 {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			if state, err := c.backend.groups.Inspect(ctx, group, owned); err == nil {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, state)
			}
		})
	}
	asking.Wait()
	return states
}

// onlineLevel reads how many users are online, if the store can count them.
func (c *Core) onlineLevel(ctx context.Context) []telemetry.Point {
	counter, ok := c.presenceStore.(ports.OnlineCounter)
	if !ok {
		return nil
	}
	n, err := counter.CountOnline(ctx)
	if err != nil {
		return nil
	}
	return []telemetry.Point{{Name: metricOnline, Value: float64(n)}}
}
