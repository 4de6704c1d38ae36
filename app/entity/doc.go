// Package entity loads the states of entities: chats, members, messages, reactions and marks, as their events leave them.
//
// The package owns the loading from the log, the cache of states and its epoch, the writing of snapshots, and the recent changes of this process. It
// must not know commands, queries or read models: these ask it for states, and decide by themselves what they do with them.
package entity
