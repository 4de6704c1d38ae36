// Package redis is chatcore's state on Redis. Its packages implement the ports:
//
//   - eventlog: the log of each chat, the source of truth, and its index
//   - presence, session, limit, typing: data of users, with the names and lifetimes of the wire contract
//   - view, effect: read models by user, and effects of handlers that are made once
//   - cache, kv: cached values, and values of callers
//   - keyspace: the names of all keys; rediscmd: errors and routing of commands; conn: clients; health: the state of servers and the rights of the user
//
// An adapter imports keyspace and rediscmd, and no other adapter, except that eventlog takes limits in an append. Each adapter has its scripts in a
// folder script beside it.
package redis
