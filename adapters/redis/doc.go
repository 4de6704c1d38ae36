// Package redis keeps chatcore's state in Redis: the event log, the marks of who is typing, each user's status, limits.
//
// The log of a chat is a list of encoded events, cut into segments, with hashes beside it that index the entities which the events
// moved. All keys of a chat share the hash tag of the chat's partition, so that one script appends to the log, the delivery
// stream and the live channels in one step, on a single server as on a Cluster. Nothing here knows what an event means
// beyond which entities it moves, whether it counts as a message, and which message it deletes.
//
// The package decides nothing and delivers nothing: rules are domain's, reading the streams is pubsub's.
package redis
