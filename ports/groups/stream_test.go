package groups_test

import (
	"errors"
	"math"
	"testing"

	"chatcore/domain"
	"chatcore/ports/groups"
)

func id(ms, n uint64) groups.StreamID { return groups.StreamID{Milliseconds: ms, Number: n} }

func TestStreamID(t *testing.T) {
	for text, want := range map[string]groups.StreamID{
		"0-0": id(0, 0), "1700000000000-12": id(1700000000000, 12), "18446744073709551615-18446744073709551615": id(math.MaxUint64, math.MaxUint64),
	} {
		if got, err := groups.ParseStreamID(text); got != want || err != nil || got.String() != text {
			t.Errorf("%s is %v, error %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-", "1", "1-", "-1", "1-2-3", "1-x", "x-1", "+1-1", "01-1", "1-01", " 1-1", "18446744073709551616-0", "0-99999999999999999999"} {
		if got, err := groups.ParseStreamID(text); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q is %v, error %v", text, got, err)
		}
	}
	for _, pair := range [][2]groups.StreamID{{id(0, 0), id(0, 1)}, {id(0, 9), id(1, 0)}, {id(1, 1), id(1, 2)}} {
		if pair[0].Compare(pair[1]) != -1 || pair[1].Compare(pair[0]) != 1 || pair[0].Compare(pair[0]) != 0 {
			t.Errorf("%v is not before %v", pair[0], pair[1])
		}
	}
}
