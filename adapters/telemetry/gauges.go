package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

var errPanicked = errors.New("the handler panicked")

// Counts are totals since the start that a core keeps by itself.
type Counts struct {
	Handled, Unhandled, DeadLetters, CaughtUp, Fenced, LiveDropped, LiveUnreadable, CacheHits, CacheMisses, HelperFailures, HelperUnreadable, Limited, Unchecked, SessionsUnreadable, SessionsNotLeft, Transient, Offered, LiveFailed, LiveReconnects uint64

	BlockedTransient, BlockedNewer, BlockedSlow int64 // chats, now
}

// Watch measures the totals whenever a reader asks, until stop is called.
func Watch(meter metric.Meter, counts func() Counts) (stop func() error, err error) {
	var errs [15]error
	counter := func(i int, name, unit, what string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs[i] = err
		return c
	}
	deliveries := counter(0, "chatcore.deliveries", "{delivery}", "Deliveries that are finished, by how.")
	dropped := counter(1, "chatcore.live.dropped", "{message}", "Live messages that never reached their listener, because it was slow or ended before.")
	reconnects := counter(13, "chatcore.live.reconnects", "{connection}", "Working live connections that were lost.")
	unreadable := counter(2, "chatcore.live.unreadable", "{message}", "Live messages that are no event.")
	cached := counter(3, "chatcore.entities.cache", "{lookup}", "Lookups of entities in the cache, by whether they were there.")
	caughtUp := counter(4, "chatcore.deliveries.caught_up", "{event}", "Events that groups read back from the log instead of from a stream.")
	fenced := counter(5, "chatcore.partitions.fenced", "{partition}", "Partitions that another process had taken before this one told what it had finished.")
	limited := counter(8, "chatcore.limits", "{call}", "Calls that a limit refused, or that were allowed because it could not be checked.")
	sessions := counter(12, "chatcore.sessions.faults", "{session}", "Tokens under which no session is kept but something else, and devices of closed sessions whose presence went on.")
	failures := counter(6, "chatcore.helpers.failures", "{call}", "Failures that a helper answered with a default.")
	undecodable := counter(7, "chatcore.helpers.unreadable", "{value}", "Values and messages that helpers could not read and passed over.")
	transient := counter(9, "chatcore.deliveries.transient_failures", "{start}", "Handler starts that failed transiently and are no attempts.")
	offered := counter(10, "chatcore.partitions.offered", "{partition}", "Partitions offered to other members because of an event of a later version of the program.")
	liveFailed := counter(11, "chatcore.live.failed", "{call}", "Calls of live handlers that panicked or ended their goroutine.")
	blocked, err := meter.Int64ObservableUpDownCounter("chatcore.chats.blocked", metric.WithUnit("{chat}"),
		metric.WithDescription("Chats of this process that do not go on now, by why."))
	errs[14] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	by := func(word string) metric.ObserveOption {
		return metric.WithAttributeSet(attribute.NewSet(keyOutcome.String(word)))
	}
	handled, unhandled, dead, hit, miss := by("handled"), by("unhandled"), by("dead_letter"), by("hit"), by("miss")
	refused, unchecked := by("refused"), by("unchecked")
	foreign, notLeft := by("unreadable"), by("not_left")
	reason := func(word string) metric.ObserveOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String("chatcore.reason", word)))
	}
	byTransient, byNewer, bySlow := reason("transient"), reason("newer"), reason("slow")
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		c := counts()
		for _, value := range [...]struct {
			counter metric.Int64Observable
			n       uint64
			by      metric.ObserveOption
		}{
			{deliveries, c.Handled, handled},
			{deliveries, c.Unhandled, unhandled},
			{deliveries, c.DeadLetters, dead},
			{cached, c.CacheHits, hit},
			{cached, c.CacheMisses, miss},
			{limited, c.Limited, refused},
			{limited, c.Unchecked, unchecked},
			{sessions, c.SessionsUnreadable, foreign},
			{sessions, c.SessionsNotLeft, notLeft},
		} {
			o.ObserveInt64(value.counter, int64(value.n), value.by) //nolint:gosec // a count
		}
		o.ObserveInt64(failures, int64(c.HelperFailures))      //nolint:gosec // a count
		o.ObserveInt64(undecodable, int64(c.HelperUnreadable)) //nolint:gosec // a count
		o.ObserveInt64(caughtUp, int64(c.CaughtUp))            //nolint:gosec // a count
		o.ObserveInt64(fenced, int64(c.Fenced))                //nolint:gosec // a count
		o.ObserveInt64(dropped, int64(c.LiveDropped))          //nolint:gosec // a count
		o.ObserveInt64(reconnects, int64(c.LiveReconnects))    //nolint:gosec // a count
		o.ObserveInt64(transient, int64(c.Transient))          //nolint:gosec // a count
		o.ObserveInt64(offered, int64(c.Offered))              //nolint:gosec // a count
		o.ObserveInt64(liveFailed, int64(c.LiveFailed))        //nolint:gosec // a count
		o.ObserveInt64(blocked, c.BlockedTransient, byTransient)
		o.ObserveInt64(blocked, c.BlockedNewer, byNewer)
		o.ObserveInt64(blocked, c.BlockedSlow, bySlow)
		o.ObserveInt64(unreadable, int64(c.LiveUnreadable)) //nolint:gosec // a count
		return nil
	}, deliveries, caughtUp, fenced, dropped, reconnects, unreadable, cached, limited, failures, undecodable, sessions, transient, offered, liveFailed, blocked)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}
