// Package archive copies an event log to a vault: it writes journal objects as a consumer group, seals full segments, writes tails, compares the vault with a log
// that may have lost events, and deletes journals and tails that are no longer needed. docs/vault.md describes the objects.
//
// The package knows the log by its ports and must not know Redis. The caller runs the consumer group and passes its batches to [Archiver.Handle].
package archive
