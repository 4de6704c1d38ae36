// Package redis stores chatcore's state in Redis.
//
//   - The event log (log, partition, batch, request, append, load, read by backlog; script/append.lua and others): the log of a chat is a list of encoded
//     events, cut into segments, with hashes that index the entities the events moved. All keys of a chat share the hash tag of the chat's partition,
//     so one script appends to the log, the delivery stream and the live channels atomically, on a single server and on a Cluster.
//   - User data: read models of the log (userview, effects), presence and statuses (presence, statuses, sweep), sessions, rate limits (limiter),
//     typing marks (typing).
//   - Data shared with other programs: cached values (cache, cachevalue), and custom keys (store).
//   - Connections (url, connect, watch, route) and the health of their servers (health).
//
// The package knows nothing of an event's meaning except the entities it moves, whether it counts as a message, and which message it deletes. It
// validates no commands and delivers no events: the rules are in package domain, and package pubsub reads the streams. keys.go defines all keys,
// under [Names].
package redis
