// Package cache is cache-aside for values of any type: a read without a fresh value loads it from its source, and stores it in a [ports.CacheStore]
// that all processes share.
//
// The guarantees while the store answers:
//
//   - One load. Of concurrent misses of one value, in any number of processes, one loads it; the others get its result.
//   - No old values. A read that begins after an invalidation has returned gets no value that was loaded before the invalidation began, and
//     a fill that was in flight then is refused. A write or deletion by another program meanwhile is not overwritten either.
//   - Versions move forward. A value with a version ([Versioned]) replaces earlier ones only.
//   - A loader that fails, panics or hangs affects only the callers that wait for it.
//
// A cache cannot detect that another program deleted an absent value, or wrote identical bytes; such a program calls Invalidate, or the value stays
// until it expires. The clock of the process that loaded a value decides how long it is fresh; the store's decides how long it is stored.
//
// Without the store every read loads, at most [Config.LoadLimit] at once, so that the source is not overloaded.
package cache
