// Package pubsub carries events with Watermill: durable ones from Redis Streams through a router to the handlers of consumer groups,
// live ones over plain Redis pub/sub to who listens at the moment.
//
// It decides nothing about chats and keeps no state but a group's own. It never closes a client that it was given.
package pubsub
