// Package logcopy reads a log out of a vault, as of its end or of a moment: the partitions, their chats, the events of each chat in order, and the checkpoints
// of consumer groups. It knows how segments, tails, journals, forks and erasures together are the state of a log, and checks them against each other.
package logcopy
