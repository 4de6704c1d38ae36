package porttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// CacheStore is a store of cached values, with other writers to the same keys.
type CacheStore struct {
	ports.CacheStore
	Write func(key ports.CacheKey, value string) // writes as another program; nil if no other program can
	Drop  func(key ports.CacheKey)
}

// Caches tests a store of cached values. open may return the same store for every subtest.
func Caches(t *testing.T, open func(t *testing.T) CacheStore) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, c cacheRig)
	}{
		{"a value that was put is read", testCachePut},
		{"keys are independent", testCacheApart},
		{"versions only move forward", testCacheVersions},
		{"one lease", testCacheLease},
		{"a fill needs its lease", testCacheFill},
		{"a fill after an invalidation", testCacheInvalidated},
		{"an invalidated version", testCacheFloor},
		{"versions are compared within an origin", testCacheOrigins},
		{"values of other programs remain", testCacheForeign},
		{"one of several concurrent leases is taken", testCacheConcurrent},
		{"an ended context does nothing", testCacheEnded},
		{"random calls", testCacheRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			for kind, object := range map[string]bool{"objects": true, "lists": false} {
				t.Run(kind, func(t *testing.T) { test.run(t, cacheRig{t, open(t), object}) })
			}
		})
	}
}

type cacheRig struct {
	t tb
	CacheStore
	object bool
}

func (c cacheRig) key() ports.CacheKey {
	return ports.CacheKey{Prefix: "kind:", ID: string(NewChatID()), Object: c.object}
}

// value returns JSON of the rig's kind.
func (c cacheRig) value(n int) string {
	switch {
	case !c.object:
		return fmt.Sprintf(`[%d,"<&>"]`, n)
	case n == 0:
		return `{}`
	}
	return fmt.Sprintf(`{"n":%d,"x":"}<&>{"}`, n)
}

var freshUntil = time.UnixMilli(1_735_689_600_123) //nolint:gochecknoglobals // never changed

func (c cacheRig) write(n int, version uint64) ports.CacheWrite {
	return ports.CacheWrite{
		Value: []byte(c.value(n)), TTL: time.Hour, Meta: ports.CacheMeta{Schema: 3, Version: version, Fresh: freshUntil},
	}
}

func (c cacheRig) put(key ports.CacheKey, w ports.CacheWrite, want bool) ports.CacheEntry {
	c.t.Helper()
	e, done, err := c.Put(c.t.Context(), key, w)
	if err != nil || done != want {
		c.t.Fatalf("put of %s: %v, error %v, want %v", w.Value, done, err, want)
	}
	return e
}

func (c cacheRig) get(key ports.CacheKey) ports.CacheEntry {
	c.t.Helper()
	e, err := c.Get(c.t.Context(), key)
	if err != nil {
		c.t.Fatalf("get: %v", err)
	}
	return e
}

// expect compares the cached value; "" means that there is none.
func (c cacheRig) expect(key ports.CacheKey, value string, version uint64) ports.CacheEntry {
	c.t.Helper()
	e := c.get(key)
	if string(e.Value) != value || e.Meta.Version != version {
		c.t.Fatalf("kept is %+v with %q, want %q of version %d", e.Meta, e.Value, value, version)
	}
	return e
}

func (c cacheRig) take(key ports.CacheKey, seen ports.CacheEntry, token string, want ports.LeaseState) ports.CacheEntry {
	c.t.Helper()
	e, state, err := c.Lease(c.t.Context(), key, seen, token, time.Minute)
	if err != nil || state != want {
		c.t.Fatalf("lease for %s: %v, error %v, want %v", token, state, err, want)
	}
	return e
}

func (c cacheRig) drop(version uint64, keys ...ports.CacheKey) {
	c.t.Helper()
	if err := c.Invalidate(c.t.Context(), version, time.Minute, keys...); err != nil {
		c.t.Fatalf("invalidate: %v", err)
	}
}

func testCachePut(_ *testing.T, c cacheRig) {
	key := c.key()
	if e := c.get(key); e.Value != nil || e.Known || e.Mark != "" {
		c.t.Fatalf("at first it is %+v", e)
	}
	for n := range 3 {
		put := c.put(key, c.write(n, 0), true)
		e := c.expect(key, c.value(n), 0)
		if !e.Known || e.Meta.Schema != 3 || !e.Meta.Fresh.Equal(freshUntil) || e.Mark != put.Mark || string(put.Value) != c.value(n) {
			c.t.Fatalf("kept is %+v, put gave %+v", e, put)
		}
	}
	c.put(key, ports.CacheWrite{Value: []byte("null"), TTL: time.Hour}, true)
	if e := c.expect(key, "null", 0); e.Known {
		c.t.Fatalf("null is known as %+v", e.Meta)
	}
	c.put(key, ports.CacheWrite{}, true)
	c.expect(key, "", 0)
	if c.object {
		_, _, err := c.Put(c.t.Context(), key, ports.CacheWrite{Value: []byte("[1]"), TTL: time.Hour})
		if !errors.Is(err, domain.ErrInvalid) {
			c.t.Fatalf("a list where objects are: %v", err)
		}
	}
}

func testCacheApart(_ *testing.T, c cacheRig) {
	base := string(NewChatID())
	ids := []string{base, base + ":", base + "|[]{}^\\`-:%*?\"", "{" + base + "}", "日本" + base, base + ":l", base + " "}
	for i, id := range ids {
		for j, prefix := range []string{"kind:", "other:"} {
			c.put(ports.CacheKey{Prefix: prefix, ID: id, Object: c.object}, c.write(10*i+j, 1), true)
		}
	}
	for i, id := range ids {
		for j, prefix := range []string{"kind:", "other:"} {
			c.expect(ports.CacheKey{Prefix: prefix, ID: id, Object: c.object}, c.value(10*i+j), 1)
		}
	}
	c.drop(0, ports.CacheKey{Prefix: "kind:", ID: ids[0], Object: c.object})
	c.expect(ports.CacheKey{Prefix: "kind:", ID: ids[0], Object: c.object}, "", 0)
	c.expect(ports.CacheKey{Prefix: "other:", ID: ids[0], Object: c.object}, c.value(1), 1)
}

func testCacheVersions(_ *testing.T, c cacheRig) {
	key := c.key()
	c.put(key, c.write(5, 5), true)
	if e := c.put(key, c.write(4, 4), false); string(e.Value) != c.value(5) {
		c.t.Fatalf("refused for %+v", e)
	}
	c.put(key, c.write(0, 0), false)
	c.put(key, c.write(6, 5), true)
	c.expect(key, c.value(6), 5)
	c.put(key, c.write(7, ports.MaxCacheVersion), true)
	c.put(key, c.write(8, ports.MaxCacheVersion-1), false)
	c.expect(key, c.value(7), ports.MaxCacheVersion)
	c.drop(0, key)
	c.put(key, c.write(1, 1), true)
}

func testCacheLease(_ *testing.T, c cacheRig) {
	key := c.key()
	nothing := c.get(key)
	c.take(key, nothing, "a", ports.LeaseTaken)
	c.take(key, nothing, "b", ports.LeaseHeld)
	c.take(key, nothing, "a", ports.LeaseTaken)
	c.put(key, ports.CacheWrite{Token: "b", Release: true}, false)
	c.take(key, nothing, "b", ports.LeaseHeld)
	c.put(key, ports.CacheWrite{Token: "a", Release: true}, false)
	c.take(key, nothing, "b", ports.LeaseTaken)
	w := c.write(1, 0)
	w.Token = "b"
	one := c.put(key, w, true)
	if e := c.take(key, nothing, "a", ports.LeaseChanged); string(e.Value) != c.value(1) || e.Mark != one.Mark || !e.Known {
		c.t.Fatalf("changed to %+v", e)
	}
	c.take(key, one, "a", ports.LeaseTaken)
	c.put(key, c.write(2, 0), true) // ends the lease
	c.take(key, c.get(key), "b", ports.LeaseTaken)
}

func testCacheFill(_ *testing.T, c cacheRig) {
	key := c.key()
	w := c.write(1, 7)
	w.Token = "a"
	c.put(key, w, false)
	c.expect(key, "", 0)
	c.take(key, c.get(key), "a", ports.LeaseTaken)
	other := w
	other.Token = "ab"
	c.put(key, other, false)
	c.put(key, w, true)
	c.put(key, w, false) // the lease has ended
	c.take(key, c.get(key), "a", ports.LeaseTaken)
	w.Value = nil
	c.put(key, w, true)
	c.expect(key, "", 0)
}

func testCacheInvalidated(_ *testing.T, c cacheRig) {
	for name, before := range map[string]func(key ports.CacheKey){
		"nothing": func(ports.CacheKey) {},
		"a value": func(key ports.CacheKey) { c.put(key, c.write(1, 1), true) },
	} {
		key := c.key()
		before(key)
		c.take(key, c.get(key), "a", ports.LeaseTaken)
		c.drop(0, key, c.key())
		w := c.write(2, 2)
		w.Token = "a"
		if e := c.put(key, w, false); e.Value != nil {
			c.t.Fatalf("%s: refused for %+v", name, e)
		}
		c.expect(key, "", 0)
		c.take(key, c.get(key), "b", ports.LeaseTaken)
	}
}

func testCacheFloor(_ *testing.T, c cacheRig) {
	key := c.key()
	c.put(key, c.write(5, 5), true)
	c.drop(5, key)
	c.expect(key, c.value(5), 5)
	c.drop(8, key)
	c.expect(key, "", 0)
	c.drop(6, key)
	for _, version := range []uint64{0, 6, 7} {
		c.put(key, c.write(1, version), false)
	}
	c.put(key, ports.CacheWrite{Value: []byte("null"), TTL: time.Hour}, false)
	c.take(key, c.get(key), "a", ports.LeaseTaken)
	w := c.write(7, 7)
	w.Token = "a"
	c.put(key, w, false)
	c.take(key, c.get(key), "a", ports.LeaseTaken)
	c.drop(9, key) // the lease remains: the version decides
	w = c.write(9, 9)
	w.Token = "a"
	c.put(key, w, true)
	c.expect(key, c.value(9), 9)
	c.drop(9, key)
	c.expect(key, c.value(9), 9)
}

func testCacheOrigins(_ *testing.T, c cacheRig) {
	old := c.key()
	old.Origin = "0a1B"
	now, none := old, old
	now.Origin, none.Origin = "0a1Bc2", ""
	origin := func(want string) {
		c.t.Helper()
		if e := c.get(none); e.Meta.Origin != want || !e.Known {
			c.t.Fatalf("kept is %+v, want origin %q", e.Meta, want)
		}
	}
	for _, tagged := range []ports.CacheKey{now, none} { // a value without an origin is of another origin, too
		c.put(old, c.write(9, 9), true)
		c.drop(8, old)
		origin(old.Origin)
		c.put(tagged, c.write(4, 4), true) // neither the cached value nor the invalidated version counts
		c.expect(old, c.value(4), 4)
		origin(tagged.Origin)
		c.drop(4, tagged)
		c.expect(tagged, c.value(4), 4)
		c.put(tagged, c.write(3, 3), false)
		c.drop(0, old)
	}
	c.put(old, c.write(9, 9), true)
	seen := c.take(now, c.get(now), "a", ports.LeaseTaken)
	w := c.write(2, 2)
	w.Token = "a"
	c.put(now, w, true)
	c.expect(now, c.value(2), 2)
	c.take(now, seen, "a", ports.LeaseChanged)
	c.put(old, c.write(9, 9), true)
	c.drop(1, now) // a value of another origin is dropped at any version
	c.expect(now, "", 0)
	c.put(old, c.write(9, 9), true)
	c.drop(0, now)
	c.expect(old, "", 0)
}

func testCacheForeign(_ *testing.T, c cacheRig) {
	if c.Write == nil {
		return // no other program can write
	}
	key, w := c.key(), c.write(2, 2)
	w.Token = "a"
	foreign := strings.ReplaceAll(c.value(9), ":", ": ")
	c.take(key, c.get(key), "a", ports.LeaseTaken)
	c.Write(key, foreign)
	if e := c.put(key, w, false); string(e.Value) != foreign || e.Known {
		c.t.Fatalf("refused for %+v", e)
	}
	e := c.expect(key, foreign, 0)
	c.take(key, e, "a", ports.LeaseTaken)
	c.put(key, w, true) // the holder of the lease has seen the foreign value
	c.expect(key, c.value(2), 2)
	c.take(key, c.get(key), "a", ports.LeaseTaken)
	c.Drop(key)
	c.put(key, w, false)
	c.expect(key, "", 0)
	c.put(key, c.write(3, 3), true)
	c.Write(key, foreign) // without a version, even if one is stored beside it
	if e := c.get(key); e.Known || string(e.Value) != foreign {
		c.t.Fatalf("kept is %+v", e)
	}
	c.put(key, c.write(1, 1), true)
	c.Write(key, foreign)
	c.drop(1, key)
	c.expect(key, "", 0)
	for _, odd := range []string{``, ` `, `nonsense`, `{"_cc":{"s":1`, `{"_cc":{"s":1,"v":x,"f":1}}`, `{"_cc":{"s":1,"v":2,"f":3}x`, `{"_cc":{"s":99999999999,"v":2,"f":3},"a":1}`, `{"_cc":{"s":1,"v":2,"f":3,"o":""}}`, `{"_cc":{"s":1,"v":2,"f":3,"o":"a b"}}`, `{"_cc":{"s":1,"v":2,"f":3,"o":"a},"a":1}`, `{"_cc":1}`} {
		c.Write(key, odd)
		if e := c.expect(key, odd, 0); e.Known {
			c.t.Fatalf("%q is known as %+v", odd, e.Meta)
		}
		c.take(key, c.get(key), "b", ports.LeaseTaken)
		w.Token = "b"
		c.put(key, w, true)
		c.expect(key, c.value(2), 2)
	}
}

func testCacheConcurrent(t *testing.T, c cacheRig) {
	key := c.key()
	seen := c.get(key)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			_, state, err := c.Lease(t.Context(), key, seen, fmt.Sprint("t", i), time.Minute)
			if err != nil {
				t.Error(err)
			}
			if state == ports.LeaseTaken {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d leases were taken", taken.Load())
	}
}

func testCacheEnded(t *testing.T, c cacheRig) {
	key := c.key()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, got := c.Get(ctx, key)
	_, _, leased := c.Lease(ctx, key, ports.CacheEntry{}, "a", time.Minute)
	_, _, put := c.Put(ctx, key, c.write(1, 1))
	if invalidated := c.Invalidate(ctx, 5, time.Minute, key); got == nil || leased == nil || put == nil || invalidated == nil {
		t.Errorf("errors %v, %v, %v, %v", got, leased, put, invalidated)
	}
	c.take(key, c.expect(key, "", 0), "b", ports.LeaseTaken)
	c.put(key, c.write(1, 1), true)
}
