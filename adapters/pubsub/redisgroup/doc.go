// Package redisgroup keeps consumer groups in Redis: it implements [groups.Stores] with Lua scripts on the keys of each partition, and reads the
// delivery streams.
//
// [Groups] administers the groups of all processes and returns their stores. A store is the state of one group: each change is one script, which
// checks the identity of the log and the epoch of the owner (store.go, lease.go, commit.go, script/). [Reader] reads the streams for all groups of a
// process. partition.go lists the keys, and progress.go and retry_mark.go the texts of their values.
//
// The package decides nothing about deliveries, and never closes a client that it was given.
package redisgroup
