// Package cache is cache-aside for values of any type: a read that finds nothing good loads it from where it really is, and keeps it in a
// [ports.CacheStore] that all processes share.
//
// What it promises, as long as the store answers:
//
//   - One load. Of concurrent misses of one value, in any number of processes, one loads it; the others get its result.
//   - No old values. A read that begins after an invalidation has returned gives nothing that was loaded before the invalidation began, and
//     a fill that was under way then is refused. What another program writes or deletes meanwhile is not overwritten either.
//   - Versions move forward. A value with a version ([Versioned]) replaces earlier ones only.
//   - A loader that fails, panics or hangs affects only the callers that wait for it.
//
// A cache cannot detect that another program deleted an absent value, or wrote identical bytes; such a program calls Invalidate, or the value stays
// until it expires. Until when a value is fresh is told by the clock of the process that loaded it; how long it is kept by the store's.
//
// Without the store every read loads, at most [Config.LoadLimit] at once, so that what is behind is not run over.
package cache
