package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"chatcore/app/cache"
)

const keyCache = attribute.Key("chatcore.cache")

// WatchCaches exports the counts of caches by name, at each collection, until stop is called.
func WatchCaches(meter metric.Meter, stats func() map[string]cache.Stats) (stop func() error, err error) {
	lookups, err1 := meter.Int64ObservableCounter("chatcore.cache.lookups", metric.WithUnit("{lookup}"),
		metric.WithDescription("Cache lookups by result: value, known absence, miss; and values that could not be decoded."))
	loads, err2 := meter.Int64ObservableCounter("chatcore.cache.loads", metric.WithUnit("{load}"),
		metric.WithDescription("Loads of values, by whether they failed, and those that failed without harm because an older value could be given."))
	writes, err3 := meter.Int64ObservableCounter("chatcore.cache.refused", metric.WithUnit("{write}"), metric.WithDescription("Writes that came too late."))
	broken, err4 := meter.Int64ObservableCounter("chatcore.cache.store_errors", metric.WithUnit("{call}"), metric.WithDescription("Calls of the store that failed."))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for name, s := range stats() {
			by := func(outcome string) metric.ObserveOption {
				return metric.WithAttributes(keyCache.String(name), keyOutcome.String(outcome))
			}
			o.ObserveInt64(lookups, int64(s.Hits), by("hit"))                //nolint:gosec // a count
			o.ObserveInt64(lookups, int64(s.Negative), by("negative"))       //nolint:gosec // a count
			o.ObserveInt64(lookups, int64(s.Misses), by("miss"))             //nolint:gosec // a count
			o.ObserveInt64(lookups, int64(s.Undecodable), by("undecodable")) //nolint:gosec // a count
			o.ObserveInt64(loads, int64(s.Loads-s.LoadErrors), by("ok"))     //nolint:gosec // a count
			o.ObserveInt64(loads, int64(s.LoadErrors), by("error"))          //nolint:gosec // a count
			o.ObserveInt64(loads, int64(s.Stale), by("stale"))               //nolint:gosec // a count
			kind := metric.WithAttributes(keyCache.String(name))
			o.ObserveInt64(writes, int64(s.Refused), kind)     //nolint:gosec // a count
			o.ObserveInt64(broken, int64(s.StoreErrors), kind) //nolint:gosec // a count
		}
		return nil
	}, lookups, loads, writes, broken)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}
