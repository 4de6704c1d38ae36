// Package memgroup keeps the consumer groups of an event log in the memory of one process. It implements [groups.Stores] with every rule of the
// contract: leases by a clock, epochs, numbered commits, streams that can be trimmed. A core in memory uses it, and tests use it to make a store fail
// ([WithFaults], [Groups.Fence], [Groups.Lose], [Groups.Snapshot]). A program that brings its own event log finds here what its groups.Stores must do.
//
// The package must not know who runs the groups. It starts no goroutines.
package memgroup
