package bytescan_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/internal/bytescan"
)

func TestIndexControl(t *testing.T) {
	bytes := rapid.OneOf(rapid.SampledFrom([]byte{0, 0x1f, 0x20, 0x21, 0x7f, 0x80, 0x9f, 0xa0, 0xff}), rapid.ByteRange(0x20, 0xff))
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(bytes, 0, 40).Draw(t, "bytes")
		want := slices.IndexFunc(b, func(c byte) bool { return c < 0x20 })
		if got := bytescan.IndexControl(b); got != want {
			t.Fatalf("%d of %x, want %d", got, b, want)
		}
	})
}
