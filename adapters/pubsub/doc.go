// Package pubsub delivers events with Watermill. Durable events go from Redis Streams through a router to the handlers of consumer groups. Live
// events are the concern of package live.
//
// [Subscriber] is the durable path. Its members acquire partitions under leases (assignment.go) and read their streams (fetch.go,
// owned_partition.go) into one queue per chat (chat_queue.go). They dispatch records to handlers (dispatch.go), decide on the outcomes (outcome.go)
// and commit them (commit.go) by scripts (redis_store.go, script/). Groups in memory do the same on another store (memory.go). [Groups] inspects and
// changes groups from outside.
//
// The package decides nothing about chats and keeps no state other than that of groups. It never closes a client that it was given.
package pubsub
