package porttest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// oddNames returns names with different meanings in paths, patterns, URLs and orders. They are sorted.
func oddNames() []string {
	names := []string{
		" ", "!", "%", "%2F", "*", "+", "-", "0", "?", "A", "[a]", "a b", "a!/x", "a-b/x", "a.b", "a/%2E%2E/x", "a/&=#", "a/b/c/d/e", "a/b.", "a/b..c", "a/x", "a0", "ab/x",
		"aü", "a🍅", "b", "u\u0308", "{x}", "~", "\u00fc", "🍅",
	}
	slices.Sort(names)
	return names
}

func (v vaultHarness) lists(t *testing.T) {
	want := oddNames()
	shuffled := slices.Clone(want)
	slices.Reverse(shuffled)
	for i, name := range shuffled {
		v.put(t, name, make([]byte, i))
	}
	if got := v.list(t, "", ""); !slices.Equal(got, want) {
		t.Errorf("the list is\n%q, want\n%q", got, want)
	}
	for i, name := range shuffled {
		v.has(t, name, make([]byte, i))
	}
	i := len(shuffled)
	for o, err := range v.List(t.Context(), v.root+"/", "") {
		if i--; err != nil || o.Size != int64(i) {
			t.Errorf("%q has the size %d, want %d; error %v", o.Name, o.Size, i, err)
		}
	}
	for _, after := range append(want, "a", "a/", "a/b", "a/b/", "a\xff", "a/\x00", "\xff") {
		expected := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return name <= after })
		if got := v.list(t, "", after); !slices.Equal(got, expected) {
			t.Errorf("after %q the list is %q, want %q", after, got, expected)
		}
	}
	outside := 0
	for _, err := range v.List(t.Context(), v.root+"/", v.root+"0") {
		outside++
		if err != nil {
			t.Error(err)
		}
	}
	if outside > 0 {
		t.Errorf("after all names with the prefix, the list has %d", outside)
	}
	for _, err := range v.List(t.Context(), v.root+"/", "") {
		if err != nil {
			t.Error(err)
		}
		break // a caller may stop
	}
}

// pages lists more objects than one answer of a store may have, some at a time.
func (v vaultHarness) pages(t *testing.T) {
	const objects, page = 1100, 97
	want := make([]string, objects)
	var running sync.WaitGroup
	for i := range want {
		want[i] = fmt.Sprintf("p%d/%04d", i/200, i)
	}
	for chunk := range slices.Chunk(want, objects/8) {
		running.Go(func() {
			for _, name := range chunk {
				if err := v.Put(t.Context(), v.name(name), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if got := v.list(t, "", ""); !slices.Equal(got, want) {
		t.Fatalf("the list has %d objects, want %d", len(got), len(want))
	}
	var got []string
	for after := ""; ; after = v.name(got[len(got)-1]) {
		before := len(got)
		for o, err := range v.List(t.Context(), v.name(""), after) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, strings.TrimPrefix(o.Name, v.root+"/")); len(got)-before == page {
				break
			}
		}
		if len(got) == before {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages have %d objects, want %d", len(got), len(want))
	}
	names := make([]string, len(want))
	for i, name := range want {
		names[i] = v.name(name)
	}
	if err := v.Delete(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	if got := v.list(t, "", ""); len(got) > 0 {
		t.Errorf("after all were deleted, the list has %q", got)
	}
}

func (v vaultHarness) prefixes(t *testing.T) {
	want := oddNames()
	for _, name := range want {
		v.put(t, name, nil)
	}
	prefixes := []string{"", "a/", "a/b", "a/b/", "a/b/c/", "a/b/c/d/e", "a/b/c/d/e/", "a/b/c/d/e/f", "A/", "a//", "/", "..", "../", "a/../", "./", ".", "*", "?", "[", "a*", "\x00", "\xf0", "a\xc3"}
	for _, prefix := range append(prefixes, want...) {
		for _, after := range []string{"", "a/b", prefix} {
			expected := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return !strings.HasPrefix(name, prefix) || name <= after })
			if got := v.list(t, prefix, after); !slices.Equal(got, expected) {
				t.Errorf("with the prefix %q after %q the list is %q, want %q", prefix, after, got, expected)
			}
		}
	}
}

// listsWhileAdded lists objects while others come and go: those that stay are in every list, once.
func (v vaultHarness) listsWhileAdded(t *testing.T) {
	const objects = 60
	var stay []string
	for i := range objects {
		stay = append(stay, fmt.Sprintf("%02d/stays", i))
		v.put(t, stay[i], nil)
	}
	var stopped atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; !stopped.Load(); i++ {
			name := v.name(fmt.Sprintf("%02d/goes/%d", i%objects, i))
			if err := v.Put(t.Context(), name, nil); err != nil {
				t.Error(err)
			}
			if err := v.Delete(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	})
	for range 10 {
		got := v.list(t, "", "")
		if !slices.IsSorted(got) {
			t.Errorf("the list is not sorted: %q", got)
		}
		if got = slices.DeleteFunc(got, func(name string) bool { return !strings.HasSuffix(name, "/stays") }); !slices.Equal(got, stay) {
			t.Errorf("the list has %q, want %q", got, stay)
		}
	}
	stopped.Store(true)
	running.Wait()
}
