// Package live carries live events of all processes.
//
// [PubSub] is a Watermill publisher and subscriber over plain Redis pub/sub, and [Local] one within a process; [Bus] publishes ephemeral events through
// them. Messages come at most once: one that no subscriber receives is gone. [Tail] hears the events that are appended to partitions of the log, each
// of them, by announcements on pub/sub channels and reads of the delivery streams. It shares the connection of a PubSub.
//
// The package keeps nothing in Redis and never closes a client that it was given. It knows nothing of consumer groups and feeds.
package live
