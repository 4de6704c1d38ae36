// Package pubsub carries events with Watermill: durable ones from Redis Streams through a router to the handlers of consumer groups,
// live ones over plain Redis pub/sub to who listens at the moment.
//
// [Subscriber] is the durable path. A subscription takes lanes under leases (ruling.go), reads each into a term (following.go, term.go) in which
// every chat is a line (line.go), hands out (handing.go), decides what becomes of what was handed out (settling.go) and takes it down
// (committing.go) by scripts (store.go, script/). Groups in memory have the same behind another station (memory.go). [Groups] looks at it from outside.
// [Live] is the other path.
//
// It decides nothing about chats and keeps no state but a group's own. It never closes a client that it was given.
package pubsub
