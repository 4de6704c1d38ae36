// Package feeds tests live feeds as a whole, under attack. Two instances, which are processes of their own, serve readers of all kinds while writers change
// chats and members, and faults of the network, of Redis, of the instances and of the readers happen at random. [Judge] then compares the messages of each
// reader with the log. judge_test.go shows for each rule that it can be broken.
//
// go test runs a short form; make chaos one of minutes, for as long as CHATCORE_CHAOS says. CHATCORE_CHAOS_SEED gives the same actions again, though not the
// same timing. CHATCORE_CHAOS_FAULTS limits a run to some faults, by their names with commas between them.
package feeds
