// Package cache is cache-aside for values of any type: a read that finds nothing good loads it from where it really is, and keeps it in a
// [ports.CacheStore] that all processes share.
//
// What it promises, as long as the store answers:
//
//   - One load. Of concurrent misses of one value, in any number of processes, one loads it; the others are given what it got.
//   - No old values. A read that begins after an invalidation has returned gives nothing that was loaded before the invalidation began, and
//     a fill that was under way then is refused. What another program writes or deletes meanwhile is not overwritten either.
//   - Versions move forward. A value that tells its version ([Versioned]) replaces earlier ones only.
//   - A loader that fails, panics or hangs harms nobody but those who wait for it.
//
// What cannot be known: that another program deleted a value that was not there, or wrote the very bytes that were; such a program calls Invalidate,
// or has a value wait for the end of its time. Until when a value is fresh is told by the clock of the process that loaded it; how long it is
// kept by the store's.
//
// Without the store every read loads, at most [Kind.LoadLimit] at once, so that what is behind is not run over.
package cache
