package porttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// Vault tests a vault. open may return the same vault for every subtest, which may have other objects.
func Vault(t *testing.T, open func(t *testing.T) ports.Vault) {
	for name, test := range map[string]func(v vaultHarness, t *testing.T){
		"objects are written once":       vaultHarness.writesOnce,
		"one of many writers wins":       vaultHarness.races,
		"ranges":                         vaultHarness.ranges,
		"lists are sorted":               vaultHarness.lists,
		"a page follows the one before":  vaultHarness.pages,
		"odd prefixes":                   vaultHarness.prefixes,
		"objects are deleted":            vaultHarness.deletes,
		"large objects":                  vaultHarness.large,
		"a folder is no object":          vaultHarness.folders,
		"refused arguments":              vaultHarness.refuses,
		"ended contexts":                 vaultHarness.ended,
		"calls side by side":             vaultHarness.sideBySide,
		"a list while objects are added": vaultHarness.listsWhileAdded,
		"random calls":                   vaultHarness.random,
	} {
		t.Run(name, func(t *testing.T) { test(vaultHarness{Vault: open(t), root: rand.Text()}, t) })
	}
}

// vaultHarness calls a vault with names below a root of its own.
type vaultHarness struct {
	ports.Vault
	root string
}

func (v vaultHarness) name(rest string) string { return v.root + "/" + rest }

func (v vaultHarness) put(t tb, rest string, body []byte) {
	t.Helper()
	if err := v.Put(t.Context(), v.name(rest), body); err != nil {
		t.Fatalf("put %q: %v", rest, err)
	}
}

func (v vaultHarness) has(t tb, rest string, want []byte) {
	t.Helper()
	got, err := v.Get(t.Context(), v.name(rest), 0, ports.WholeObject)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("get %q: %d bytes, error %v, want %d bytes", rest, len(got), err, len(want))
	}
}

func (v vaultHarness) hasNot(t tb, rest string) {
	t.Helper()
	if got, err := v.Get(t.Context(), v.name(rest), 0, ports.WholeObject); !errors.Is(err, ports.ErrObjectNotFound) || got != nil {
		t.Fatalf("get %q: %d bytes, error %v, want %v", rest, len(got), err, ports.ErrObjectNotFound)
	}
}

// list returns the names below the root, without it.
func (v vaultHarness) list(t tb, prefix, after string) (rest []string) {
	t.Helper()
	if after != "" {
		after = v.name(after)
	}
	for o, err := range v.List(t.Context(), v.name(prefix), after) {
		if err != nil {
			t.Fatalf("list %q after %q: %v", prefix, after, err)
		}
		rest = append(rest, strings.TrimPrefix(o.Name, v.root+"/"))
	}
	return rest
}

func (v vaultHarness) writesOnce(t *testing.T) {
	body := []byte("first")
	v.put(t, "a/b/object", body)
	copy(body, "other")
	for _, again := range []string{"first", "second", ""} {
		if err := v.Put(t.Context(), v.name("a/b/object"), []byte(again)); !errors.Is(err, ports.ErrExists) {
			t.Errorf("put of %q again: %v, want %v", again, err, ports.ErrExists)
		}
	}
	v.has(t, "a/b/object", []byte("first"))
	v.hasNot(t, "a/b/other")
	v.hasNot(t, "c/d")
	v.put(t, "a/b/empty", nil)
	v.has(t, "a/b/empty", nil)
	got, err := v.Get(t.Context(), v.name("a/b/object"), 0, ports.WholeObject)
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	v.has(t, "a/b/object", []byte("first"))
}

// races has writers of one name write different bodies. Each reader sees nothing or the whole object of the winner.
func (v vaultHarness) races(t *testing.T) {
	const rounds, writers, size = 8, 8, 10_000
	for round := range rounds {
		name := fmt.Sprint("race/", round)
		var mu sync.Mutex
		var winners []int
		var running sync.WaitGroup
		for i := range writers {
			running.Go(func() {
				switch err := v.Put(t.Context(), v.name(name), bytes.Repeat([]byte{byte(i)}, size+i)); {
				case err == nil:
					mu.Lock()
					winners = append(winners, i)
					mu.Unlock()
				case !errors.Is(err, ports.ErrExists):
					t.Errorf("writer %d: %v", i, err)
				}
			})
			running.Go(func() {
				got, err := v.Get(t.Context(), v.name(name), 0, ports.WholeObject)
				if err == nil && (len(got) < size || len(got) != size+int(got[0])) || err != nil && !errors.Is(err, ports.ErrObjectNotFound) {
					t.Errorf("a reader got %d bytes, error %v", len(got), err)
				}
			})
		}
		running.Wait()
		if len(winners) != 1 {
			t.Fatalf("writers %v succeeded, want one", winners)
		}
		v.has(t, name, bytes.Repeat([]byte{byte(winners[0])}, size+winners[0]))
		if got := v.list(t, name, ""); !slices.Equal(got, []string{name}) {
			t.Errorf("the list has %q", got)
		}
	}
}

func (v vaultHarness) ranges(t *testing.T) {
	body := []byte("0123456789")
	v.put(t, "ten", body)
	v.put(t, "none", nil)
	for _, r := range []struct {
		from, length int64
		want         string
	}{
		{0, 1, "0"},
		{0, 10, "0123456789"},
		{0, 11, "0123456789"},
		{0, math.MaxInt64, "0123456789"},
		{3, 4, "3456"},
		{9, 1, "9"},
		{9, math.MaxInt64, "9"},
		{1, math.MaxInt64, "123456789"},
		{10, 1, ""},
		{11, 5, ""},
		{math.MaxInt64, math.MaxInt64, ""},
		{-1, 1, "9"},
		{-4, 2, "67"},
		{-4, 4, "6789"},
		{-4, math.MaxInt64, "6789"},
		{-10, 3, "012"},
		{-11, 3, "012"},
		{-100, 200, "0123456789"},
		{math.MinInt64, 2, "01"},
		{math.MinInt64, math.MaxInt64, "0123456789"},
	} {
		got, err := v.Get(t.Context(), v.name("ten"), r.from, r.length)
		if err != nil || string(got) != r.want {
			t.Errorf("from %d, length %d: %q, error %v, want %q", r.from, r.length, got, err, r.want)
		}
		if got, err := v.Get(t.Context(), v.name("none"), r.from, r.length); err != nil || len(got) > 0 {
			t.Errorf("empty object from %d, length %d: %q, error %v", r.from, r.length, got, err)
		}
		if _, err := v.Get(t.Context(), v.name("absent"), r.from, r.length); !errors.Is(err, ports.ErrObjectNotFound) {
			t.Errorf("absent object from %d, length %d: %v", r.from, r.length, err)
		}
	}
}

func (v vaultHarness) deletes(t *testing.T) {
	for _, name := range []string{"a/1", "a/2", "a/b/3", "c"} {
		v.put(t, name, []byte("old"))
	}
	for range 2 {
		if err := v.Delete(t.Context(), v.name("a/1"), v.name("a/b/3"), v.name("absent"), v.name("absent/too"), v.name("a/1")); err != nil {
			t.Fatal(err)
		}
		v.hasNot(t, "a/1")
		v.hasNot(t, "a/b/3")
		v.has(t, "a/2", []byte("old"))
		if got := v.list(t, "", ""); !slices.Equal(got, []string{"a/2", "c"}) {
			t.Errorf("the list has %q", got)
		}
	}
	if err := v.Delete(t.Context()); err != nil {
		t.Errorf("nothing is deleted: %v", err)
	}
	v.put(t, "a/b/3", []byte("new"))
	v.has(t, "a/b/3", []byte("new"))
	if err := v.Delete(t.Context(), v.name("a/2"), v.name("a/b/3")); err != nil {
		t.Fatal(err)
	}
	v.put(t, "a", []byte("an empty folder takes no name"))
	v.has(t, "a", []byte("an empty folder takes no name"))
}

func (v vaultHarness) large(t *testing.T) {
	body := make([]byte, 20<<20+1)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	v.put(t, "large", body)
	v.has(t, "large", body)
	tail, err := v.Get(t.Context(), v.name("large"), -1000, 1000)
	if err != nil || !bytes.Equal(tail, body[len(body)-1000:]) {
		t.Errorf("the end has %d bytes, error %v", len(tail), err)
	}
}

// folders puts objects whose names are others and more, which a vault may refuse.
func (v vaultHarness) folders(t *testing.T) {
	v.put(t, "a", []byte("a"))
	v.put(t, "b/c", []byte("c"))
	want := []string{"a", "b/c"}
	for _, name := range []string{"a/d", "a/d/e/f", "b"} {
		err := v.Put(t.Context(), v.name(name), []byte(name))
		if err == nil {
			want = append(want, name)
			v.has(t, name, []byte(name))
			continue
		}
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("put %q: %v, want success or %v", name, err, domain.ErrInvalid)
		}
		v.hasNot(t, name)
		if err := v.Delete(t.Context(), v.name(name)); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	slices.Sort(want)
	if got := v.list(t, "", ""); !slices.Equal(got, want) {
		t.Errorf("the list has %q, want %q", got, want)
	}
	v.has(t, "a", []byte("a"))
	v.has(t, "b/c", []byte("c"))
}

func (v vaultHarness) refuses(t *testing.T) {
	v.put(t, "a", nil)
	names := []string{"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", ".a", "a/.b", `a\b`, "a\x00b", "a\nb", "\xff", strings.Repeat("x", ports.MaxObjectElement+1), strings.Repeat("x/", ports.MaxObjectName)}
	for _, name := range names {
		_, get := v.Get(t.Context(), name, 0, 1)
		for call, err := range map[string]error{"Get": get, "Put": v.Put(t.Context(), name, nil), "Delete": v.Delete(t.Context(), v.name("a"), name)} {
			var invalid *domain.InvalidError
			if !errors.As(err, &invalid) {
				t.Errorf("%s of %q: %v, want an InvalidError", call, name, err)
			}
		}
	}
	for _, length := range []int64{0, -1, math.MinInt64} {
		if _, err := v.Get(t.Context(), v.name("a"), 0, length); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("length %d: %v, want %v", length, err, domain.ErrInvalid)
		}
	}
	v.has(t, "a", nil)
	longest := strings.Repeat("x", ports.MaxObjectElement) + "/" + strings.Repeat("y", ports.MaxObjectName-ports.MaxObjectElement-len(v.name(""))-1)
	v.put(t, longest, []byte("longest"))
	v.has(t, longest, []byte("longest"))
}

func (v vaultHarness) ended(t *testing.T) {
	v.put(t, "a", []byte("a"))
	ended, end := context.WithCancel(t.Context())
	end()
	_, get := v.Get(ended, v.name("a"), 0, 1)
	var list error
	for _, list = range v.List(ended, v.name(""), "") { //nolint:revive // the error is the last one
	}
	for call, err := range map[string]error{"Get": get, "List": list, "Put": v.Put(ended, v.name("b"), nil), "Delete": v.Delete(ended, v.name("a"))} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v, want %v and %v", call, err, ports.ErrUnavailable, context.Canceled)
		}
	}
	v.has(t, "a", []byte("a"))
}

// sideBySide has callers work on objects of their own and read those of others, while folders appear and vanish.
func (v vaultHarness) sideBySide(t *testing.T) {
	const callers, rounds = 8, 20
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() {
			for round := range rounds {
				name := fmt.Sprintf("shared/%d/%d", round, i)
				body := []byte(name)
				if err := v.Put(t.Context(), v.name(name), body); err != nil {
					t.Errorf("put %q: %v", name, err)
				}
				if got, err := v.Get(t.Context(), v.name(name), 0, ports.WholeObject); err != nil || !bytes.Equal(got, body) {
					t.Errorf("get %q: %q, error %v", name, got, err)
				}
				if err := v.Delete(t.Context(), v.name(name)); err != nil {
					t.Errorf("delete %q: %v", name, err)
				}
			}
		})
	}
	running.Wait()
	if got := v.list(t, "", ""); len(got) > 0 {
		t.Errorf("objects are left: %q", got)
	}
}
