// Package group runs members of consumer groups: at least once, a chat's events in the order of their seqs, one at a time, unless the group needs less
// order.
//
// A [Member] joins loops around the state machine of package delivery, which decides everything and is called under the member's mutex: heartbeats and
// leases (assignment.go), the streams of owned partitions (fetch.go), catching up from the log (backfill.go), the comparison of heads with checkpoints
// (scan.go), commits (commit.go), and the start of handlers (dispatch.go). It reaches the group's state through a [Store] alone. Deliveries go to a
// [Handler], a plain callback: [NewWorkers] makes one of a function, and package pubsub one of a Watermill router.
package group
