// Package limit is the rate limiter on Redis: fixed windows in the counters of the wire contract, and GCRA. The script of an append takes limits with
// [TakeScript], in the step that appends.
package limit
