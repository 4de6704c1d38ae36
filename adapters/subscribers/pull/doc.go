// Package pull hands the deliveries of consumer groups to consumers outside of the process: programs that are connected to it, in any language.
//
// A [Broker] has the pull groups of a process. The process is a member of a group only while it has consumers of it, and for a while afterwards, so that a
// process without consumers owns no partitions. The concurrency of the member is the sum of the credits of its consumers: each delivery that the member starts
// has a consumer with room for it.
//
// A delivery is leased to one consumer, which settles it with the delivery's token. The token is good at any process: the others pass settlements to the
// process that made it ([ports.Relay]). Whether a settlement takes effect is decided by the delivery core, which knows whether the partition is still owned.
//
// The package must not know of the network: the handlers of calls are in package connect.
package pull
