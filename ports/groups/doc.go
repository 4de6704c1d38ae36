// Package groups is the contract of consumer groups: what a store keeps of a group, how members of the group change it, and how it is administered.
//
// A group has, on each partition of a log, a position in the partition's stream and a checkpoint for each chat. One member owns a partition at a
// time, under a lease. Each change of the owner is a [Commit] that carries the epoch of its lease, so that a superseded owner changes nothing.
//
// The package holds types and interfaces alone. Package delivery decides what a member does, package group runs it, and the adapters redisgroup and
// memgroup implement [Stores].
package groups
