// Package keyspace names the keys and channels of chatcore in Redis, and nothing else: it sends no command. [Names] are those that other programs know
// by the wire contract. [Keys] are all keys of a namespace, by concern: each adapter takes the keys of its own concern. A key shares its slot on a Cluster with
// the keys that change with it.
package keyspace
