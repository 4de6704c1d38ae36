package object

import (
	"encoding/binary"
	"fmt"
)

// writer appends values to bytes. The ids of packed events are apart.
type writer struct{ b, ids []byte }

func (w *writer) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *writer) count(n int) { w.number(uint64(n)) } //nolint:gosec // a length

// step appends the difference of two numbers, small if they are close. It wraps around, so that every pair of numbers can be written.
func (w *writer) step(from, to uint64) {
	const sign = 63
	difference := to - from
	w.number(difference<<1 ^ -(difference >> sign))
}

func (w *writer) bytes(b []byte) {
	w.count(len(b))
	w.b = append(w.b, b...)
}

func (w *writer) text(s string) {
	w.count(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) flag(set bool) {
	n := uint64(0)
	if set {
		n = 1
	}
	w.number(n)
}

// reader reads the values of a writer. After the first wrong one it returns zero values.
type reader struct {
	rest, ids []byte
	wrong     string
}

func (r *reader) fail(format string, args ...any) {
	if r.wrong == "" {
		r.wrong, r.rest, r.ids = fmt.Sprintf(format, args...), nil, nil
	}
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail("a number is missing")
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count reads a number of things, each of which has at least one byte that follows.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.fail("%d values are expected in %d bytes", n, len(r.rest))
		return 0
	}
	return int(n) //nolint:gosec // at most a length
}

func (r *reader) step(from uint64) uint64 {
	n := r.number()
	return from + (n>>1 ^ -(n & 1))
}

// take returns bytes that share the memory of the reader's.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail("%d bytes are expected, there are %d", n, len(r.rest))
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) bytes() []byte { return r.take(r.count()) }

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) flag() bool {
	n := r.number()
	if n > 1 {
		r.fail("a flag is %d", n)
	}
	return n == 1
}

// end returns the error of an object whose values were wrong, or that has more.
func (r *reader) end(name Name) error {
	if r.wrong == "" && len(r.rest)+len(r.ids) > 0 {
		r.fail("%d bytes follow the last value", len(r.rest)+len(r.ids))
	}
	if r.wrong != "" {
		return damaged(name, r.wrong)
	}
	return nil
}
