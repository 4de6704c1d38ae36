// Package chaos keeps the core's promises under attack. Workers, which are processes of their own, handle the events of a consumer group
// while writers give commands and a nemesis kills, freezes and cuts off what it can reach. What was acknowledged, which handlers were
// started and which effects they had is recorded on a Redis server that is left alone; at the end [Check] holds these records against the
// log.
//
// go test runs a short form; make chaos one of minutes, for as long as CHATCORE_CHAOS says. CHATCORE_CHAOS_SEED gives the same faults again,
// though not the same timing.
package chaos
