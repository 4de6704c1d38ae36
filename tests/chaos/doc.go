// Package chaos keeps the core's promises under attack. Workers, which are processes of their own, handle the events of consumer groups, and serve the API to
// consumers and post webhooks to a receiver, which are processes as well, while writers
// give commands, readers, live listeners and feeds follow them, users send heartbeats, an operator tends dead letters, and a nemesis does harm.
//
// A fault_*_test.go file holds a family of attacks, each with its name: on workers, a server, a Cluster, rights, the clock, limits of memory and
// disk, keys, and data (an older state restored in place). A check_*.go file holds a family of rules. The test keeps answers, reads, live events and messages of feeds;
// starts and effects of handlers are recorded on a Redis server without faults. At the end [Check] compares this [Evidence] with the log.
// planted_test.go shows for each rule that it can be broken.
//
// disaster_test.go is a drill: Redis is destroyed with its data, and the log restored from its vault.
//
// go test runs a short form; make chaos one of minutes, for as long as CHATCORE_CHAOS says. CHATCORE_CHAOS_SEED gives the same faults again,
// though not the same timing. CHATCORE_CHAOS_FAULTS limits a run to some attacks, by their names with commas between them.
package chaos
