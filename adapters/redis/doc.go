// Package redis keeps chatcore's state in Redis.
//
//   - The event log (log, lane, batch, request, append, load, read by backlog; script/append.lua and others): the log of a chat is a list of
//     encoded events, cut into segments, with hashes beside it that index the entities which the events moved. All keys of a chat share the hash
//     tag of the chat's partition, so that one script appends to the log, the delivery stream and the live channels in one step, on a single
//     server as on a Cluster.
//   - What is kept of users: views of the log (userview, effects), presence and statuses (presence, statuses, sweep), sessions, limits (limiter),
//     typing marks (typing).
//   - What other programs share: cached values (cache, cachevalue), and the caller's own keys (store).
//   - Connections (url, connect, watch, route) and how their servers are (health).
//
// Nothing here knows what an event means beyond which entities it moves, whether it counts as a message, and which message it deletes. The
// package decides nothing and delivers nothing: rules are domain's, reading the streams is pubsub's. Keys are named in keys.go, under [Names].
package redis
