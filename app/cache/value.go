package cache

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Versioned values have the version of their source, from 1: a later value has a higher one.
type Versioned interface{ CacheVersion() uint64 }

// isObject reports whether values of a type encode as JSON objects, or null.
func isObject(t reflect.Type) bool {
	for _, custom := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(custom) || reflect.PointerTo(t).Implements(custom) {
			return false
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return isObject(t.Elem())
	case reflect.Struct, reflect.Map:
		return true
	default:
		return false
	}
}

var null = []byte("null") //nolint:gochecknoglobals // never changed

// encode writes a value as other programs do: without escaping for HTML.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// versionOf is a value's version, 0 if it has none.
func versionOf(value any) (uint64, error) {
	v, ok := value.(Versioned)
	if !ok {
		return 0, nil
	}
	version := v.CacheVersion()
	return version, checkVersion(version)
}

func checkVersion(version uint64) error {
	if version < 1 || version > ports.MaxCacheVersion {
		return &domain.InvalidError{Field: "version", Problem: "is out of range", Allowed: "1 to 2^53 - 1"}
	}
	return nil
}

// verdict is the judgment of an entry.
type verdict int

const (
	missing  verdict = iota // there is nothing, or nothing of the id's
	foreign                 // of another schema, or no value of the type
	expired                 // of use only for its version
	stale                   // of use if no better can be had
	soft                    // good, and soon no longer
	fresh                   // good
	negative                // it is known that there is no value
)

// String returns the name of the verdict.
func (v verdict) String() string {
	switch v {
	case missing:
		return "missing"
	case foreign:
		return "foreign"
	case expired:
		return "expired"
	case stale:
		return "stale"
	case soft:
		return "soft"
	case fresh:
		return "fresh"
	case negative:
		return "negative"
	}
	return "verdict(" + strconv.Itoa(int(v)) + ")"
}

func (v verdict) good() bool { return v >= soft }

// judge reads the entry of an id.
func (c *Cache[K, T]) judge(id K, origin string, e ports.CacheEntry) (value T, v verdict) {
	var none T
	switch {
	case len(e.Value) == 0:
		return none, missing
	case string(e.Value) == "null":
		if c.kind.Negative > 0 {
			return none, negative
		}
		return none, missing
	case e.Known && e.Meta.Origin != origin:
		return none, missing
	case e.Known && e.Meta.Schema != c.kind.Schema, json.Unmarshal(e.Value, &value) != nil:
		return none, foreign
	case c.source.Belongs != nil && !c.source.Belongs(id, value):
		return none, missing
	case !e.Known: // for the lifetime that its writer set
		return value, fresh
	}
	switch left := e.Meta.Fresh.Sub(c.clock.Now()); {
	case left > c.kind.TTL: // the clock was set back
		return value, soft
	case left > c.kind.Soft:
		return value, fresh
	case left > 0:
		return value, soft
	case left > -c.kind.Stale:
		return value, stale
	}
	return value, expired
}

// write returns the write of a value.
func (c *Cache[K, T]) write(value []byte, version uint64) ports.CacheWrite {
	ttl := c.kind.TTL - time.Duration(rand.Float64()*c.kind.Jitter*float64(c.kind.TTL)) //nolint:gosec // spreads load
	return ports.CacheWrite{
		Value: value, TTL: c.kind.TTL + c.kind.Stale,
		Meta: ports.CacheMeta{Schema: c.kind.Schema, Version: version, Fresh: c.clock.Now().Add(ttl)},
	}
}

// writeOf returns the write of a load's result.
func (c *Cache[K, T]) writeOf(l loaded[T]) (w ports.CacheWrite, version uint64, err error) {
	if l.err != nil {
		return w, 0, l.err
	}
	if l.missing {
		w := ports.CacheWrite{TTL: c.kind.Negative}
		if c.kind.Negative > 0 {
			w.Value = null
		}
		return w, 0, nil
	}
	if version, err = versionOf(l.value); err != nil {
		return w, 0, err
	}
	return c.write(l.encoded, version), version, nil
}
