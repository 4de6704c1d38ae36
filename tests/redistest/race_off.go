//go:build !race

package redistest

// Race reports whether the tests run under the race detector, which adds allocations and has pools lose entries.
const Race = false
