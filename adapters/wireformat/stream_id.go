package wireformat

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// StreamID is the id of an entry of a delivery stream. The zero value is before every entry.
type StreamID struct {
	Milliseconds uint64 // of the server's clock, since 1970
	Number       uint64 // of the entry within the millisecond
}

// ParseStreamID reads an id as Redis writes it, such as 1700000000000-0. It returns an [*Error] with [ErrMalformed] for any other text.
func ParseStreamID(s string) (StreamID, error) {
	first, second, _ := strings.Cut(s, "-")
	ms, ok1 := parseNumber(first)
	n, ok2 := parseNumber(second)
	if !ok1 || !ok2 {
		return StreamID{}, &Error{Reason: ErrMalformed, Field: "id", Problem: fmt.Sprintf("is %q", clip(s)), Allowed: "milliseconds, a minus and a number"}
	}
	return StreamID{ms, n}, nil
}

// Compare returns -1 if the entry of a is before that of b, 0 if they are the same, and 1 otherwise.
func (a StreamID) Compare(b StreamID) int {
	return cmp.Or(cmp.Compare(a.Milliseconds, b.Milliseconds), cmp.Compare(a.Number, b.Number))
}

// Append appends the id to dst as Redis writes it.
func (a StreamID) Append(dst []byte) []byte {
	return strconv.AppendUint(append(strconv.AppendUint(dst, a.Milliseconds, 10), '-'), a.Number, 10)
}

// String returns the id as Redis writes it.
func (a StreamID) String() string { return string(a.Append(nil)) }

// parseNumber reads digits without a sign and without leading zeros. It allocates nothing, also for other text.
func parseNumber(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		digit := uint64(s[i] - '0')
		if digit > 9 || n > (1<<64-1-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}
