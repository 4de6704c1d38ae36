// Package live carries live events with Watermill: over plain Redis pub/sub ([PubSub]) and within one process ([Local]), to the subscribers of the moment.
// [Bus] publishes ephemeral events. Live events come at most once: a message that no subscriber receives is gone.
//
// The package keeps nothing in Redis and never closes a client that it was given. It knows nothing of consumer groups.
package live
