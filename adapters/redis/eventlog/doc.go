// Package eventlog is the event log on Redis.
//
// The log of a chat is a list of encoded events, cut into segments, with hashes that index the entities the events moved. All keys of a chat share the
// hash tag of the chat's partition, so one script appends to the log, the delivery stream and the live channels atomically, on a single server and on a
// Cluster.
//
//   - Appends: append, send, request, append_queue, batch; script/append.lua and send.lua. halt stops them while a part of the rights is missing, confirm waits for
//     replicas, witness notices data that went back in time.
//   - Reads: load and ask (entities), history, search, unread, index and lists, last and activity (last messages of chats), backlog (for consumer groups).
//   - Identity: identity, identify, upgrade. A log has an id, a level, and a number of partitions; every script compares it.
//   - fsck and the files after it check and repair a log; probe is the write of a readiness check.
//
// The package knows nothing of an event's meaning except the entities it moves, whether it counts as a message, and which message it deletes. It
// validates no commands and delivers no events: the rules are in package domain, and package pubsub reads the streams.
package eventlog
