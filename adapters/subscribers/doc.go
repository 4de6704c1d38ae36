// Package subscribers runs the consumer groups whose handlers are outside of the process: consumers that are connected to it, and HTTP endpoints. Their
// definitions are stored beside the log, so that every process runs the same groups.
//
// Both kinds are ordinary groups of the delivery core: an event is delivered at least once, a chat's events in the order of their seqs, with retries, dead
// letters and leases of partitions. Package pull hands deliveries to consumers, package webhook posts them.
package subscribers
