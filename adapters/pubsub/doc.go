// Package pubsub delivers events with Watermill. Durable events go from Redis Streams through a router to the handlers of consumer groups. Live
// events go over plain Redis pub/sub to the subscribers of the moment.
//
// [Subscriber] is the durable path. Its members acquire partitions under leases (ruling.go) and read their streams (following.go, term.go) into one
// queue per chat (line.go). They dispatch records to handlers (handing.go), decide on the outcomes (settling.go) and commit them (committing.go) by
// scripts (store.go, script/). Groups in memory do the same on another station (memory.go). [Groups] inspects and changes groups from outside. [Live]
// is the live path.
//
// The package decides nothing about chats and keeps no state other than that of groups. It never closes a client that it was given.
package pubsub
