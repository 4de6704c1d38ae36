package ports_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

func TestObjectNames(t *testing.T) {
	long := strings.Repeat("x", ports.MaxObjectElement)
	for _, name := range []string{"a", "a/b", "LOG/seg/00003/a%2Fb/1.0", "ü🍅", "a.b", "a..b", long + "/" + long, "%", "*?[]{}:~"} {
		if err := ports.CheckObjectName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".a", "a/.b", `a\b`, "a\x00", "a\n", "\xff", "a\u2028", "a\u200d",
		long + "x", long + "/" + long + "/x", strings.Repeat("a/", ports.MaxObjectName/2) + "a",
	} {
		var invalid *domain.InvalidError
		if err := ports.CheckObjectName(name); !errors.As(err, &invalid) {
			t.Errorf("%q: error %v, want an InvalidError", name, err)
		}
	}
}

func TestMayBeginObjectName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a.ü](/?[a.ü]){0,5}`).Filter(func(s string) bool { return ports.CheckObjectName(s) == nil }).Draw(t, "name")
		if end := rapid.IntRange(0, len(name)).Draw(t, "end"); !ports.MayBeginObjectName(name[:end]) {
			t.Fatalf("%q begins with %q", name, name[:end])
		}
	})
	for _, text := range []string{"/", "a//", ".", "a/.", "../", "a/../", "./a", `a\/`, "\xff/", strings.Repeat("x", ports.MaxObjectElement+1), strings.Repeat("a/", ports.MaxObjectName)} {
		if ports.MayBeginObjectName(text) {
			t.Errorf("a name may begin with %q", text)
		}
	}
}

// TestObjectRange compares ranges with a byte by byte definition.
func TestObjectRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 8).Draw(t, "size")
		from := rapid.OneOf(rapid.Int64Range(-10, 10), rapid.Int64()).Draw(t, "from")
		length := rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Min(1)).Draw(t, "length")
		begin := from
		if from < 0 && from >= -size {
			begin = size + from
		} else if from < 0 {
			begin = 0
		}
		var want []int64
		for i := begin; i < size && int64(len(want)) < length; i++ {
			want = append(want, i)
		}
		first, end := ports.ObjectRange(size, from, length)
		if end-first != int64(len(want)) || len(want) > 0 && first != want[0] || first < 0 || end > size {
			t.Fatalf("size %d, from %d, length %d: %d to %d, want %v", size, from, length, first, end, want)
		}
	})
}
