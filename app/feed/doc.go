// Package feed serves live feeds of chats. A feed gives its reader what it has missed, from the log, and then each event as it is appended: of each chat in
// the order of the seqs, without a gap and without a double. Ephemeral events are given at most once.
//
// All feeds of a process share one [Hub]. The hub watches only the partitions of chats that a feed follows, checks the chat of an event before it decodes
// it, and decodes and encodes each event once for all feeds.
package feed
