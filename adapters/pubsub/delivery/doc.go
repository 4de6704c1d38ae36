// Package delivery decides what a member of a consumer group does: which record is delivered when, what follows from its outcome, and what is
// committed. It is a state machine without I/O, clock, goroutines or locks: its caller passes in what happened and the time, and asks what to do.
//
// A [Member] has the partitions that its group reads. [Member.Acquired] gives it the lease of one, as a [Partition]. The caller then reports
//
//   - what it read: [Partition.Fetched], [Partition.Backfilled], [Partition.Opened], [Partition.Walked], [Partition.Compared], [Partition.Resolved]
//   - what handlers did: [Member.Completed], [Member.CompletedBatch]
//   - what the store said: [Partition.Committed], [Member.Lost], [Partition.Updated]
//   - that time passes or the work ends: [Member.Tick], [Member.Rebalance], [Member.Drain]
//
// and asks for what is to be done:
//
//   - records to start handlers with: [Member.Deliver], [Member.DeliverBatches]
//   - changes to commit: [Member.Commits]
//   - reads: [Partition.HasRoom], [Partition.NextStep], [Member.NextScan]
//   - when to call again: [Member.WakeAt], [Member.TakeSignals]; and what to log and count: [Member.TakeEvents]
//
// The same calls with the same arguments have the same results. No method is safe for concurrent use: package group calls them under its mutex.
//
// The invariants are: a queue, which is a chat or what the group's [Order] makes of it, has at most one record in flight, in the order of its seqs. No
// record is delivered after the deadline of its lease, while its partition drains, or after the lease is lost. A commit's position passes an
// unfinished event only if the same commit, or one before, marks the event's chat as left to the log. Attempts of an event never decrease, except by
// a start that is known to be none.
package delivery
