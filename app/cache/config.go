package cache

import (
	"fmt"
	"time"

	"chatcore/domain"
)

// Config says how values of one kind are kept. The zero value of each field but Prefix means its default.
type Config struct {
	// Prefix goes before the id.
	Prefix string
	// Schema is the number of the values' form. Values of another form are not read.
	Schema uint32

	// TTL is how long a value is fresh at most. Defaults to 10 min.
	TTL time.Duration
	// Jitter is how much earlier its freshness may end, as a part of TTL, so that values loaded together do not expire together. Defaults to
	// 0.1; below 0 there is none.
	Jitter float64
	// Soft is how long before its freshness ends a value that is read is loaded anew, without the reader waiting for it. Defaults to 0: it is not.
	Soft time.Duration
	// Stale is how long after TTL a value is given, and kept for it, if a new one cannot be loaded. Defaults to 0: not at all.
	Stale time.Duration
	// Retry is how long after a load that failed a process gives the value that is there without trying again. Defaults to 1 s; below 0 every read
	// tries.
	Retry time.Duration
	// Negative is how long it is kept that there is no value. Defaults to 0: it is not.
	Negative time.Duration

	// LoadTimeout is how long a load may take. Defaults to 5 s.
	LoadTimeout time.Duration
	// LoadLimit is how many loads a process makes at once without the store, and how many ahead of time. Defaults to 16.
	LoadLimit int
	// Lease is how long others wait for a process that loads a value: when it has died, another loads it after that. Defaults to LoadTimeout and 1 s.
	Lease time.Duration
	// Remember is how long values below an invalidated version are refused. Defaults to TTL and Stale.
	Remember time.Duration
}

func (k Config) withDefaults() Config {
	if k.TTL == 0 {
		k.TTL = 10 * time.Minute
	}
	if k.Jitter == 0 {
		k.Jitter = 0.1
	}
	k.Jitter = max(k.Jitter, 0)
	if k.Retry == 0 {
		k.Retry = time.Second
	}
	if k.LoadTimeout == 0 {
		k.LoadTimeout = 5 * time.Second
	}
	if k.LoadLimit == 0 {
		k.LoadLimit = 16
	}
	if k.Lease == 0 {
		k.Lease = k.LoadTimeout + time.Second
	}
	if k.Remember == 0 {
		k.Remember = k.TTL + k.Stale
	}
	return k
}

// check returns an error if the kind is not valid.
func (k Config) check() error {
	refuse := func(field string, problem any, allowed string) error {
		return &domain.InvalidError{Field: "CacheConfig." + field, Problem: fmt.Sprintf("is %v", problem), Allowed: allowed}
	}
	if k.Prefix == "" {
		return refuse("Prefix", "empty", "the part of keys before the ids")
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"TTL", k.TTL},
		{"Soft", k.Soft},
		{"Stale", k.Stale},
		{"Negative", k.Negative},
		{"LoadTimeout", k.LoadTimeout},
		{"Lease", k.Lease},
		{"Remember", k.Remember},
	} {
		if d.value < 0 || d.value > 0 && d.value < time.Millisecond {
			return refuse(d.field, d.value, "0, or a duration from 1ms")
		}
	}
	switch {
	case k.Jitter > 0.9 || k.Jitter != k.Jitter:
		return refuse("Jitter", k.Jitter, "up to 0.9")
	case k.LoadLimit < 0:
		return refuse("LoadLimit", k.LoadLimit, "a number from 0")
	case k.Soft > 0 && k.Soft >= k.withDefaults().TTL:
		return refuse("Soft", k.Soft, "less than TTL")
	}
	return nil
}
