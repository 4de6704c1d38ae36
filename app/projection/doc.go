// Package projection keeps the read models of users: the chats that a user is in, the numbers of unread messages, the last message of each chat. It
// also invalidates the cached answers that an event makes stale.
//
// [Builtins] is the handler of the built-in consumer group, which folds events into the read models. [AppendEffects] does a part of that right after an
// append of this process. [Models] reads the read models, counts from the log what they do not have, and checks them against it.
//
// The package owns which events change a read model, and how. It must not know commands or queries, and it does not import package app: a command
// passes it appended events, a query asks it, and caches of answers implement [CachedAnswers].
package projection
