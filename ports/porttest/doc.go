// Package porttest holds the suites that every adapter of a port passes. They test the promises of the port's documentation through the port alone.
//
// A suite never waits for time to pass, and its chats and users have ids that no other run uses, so that adapters can run it
// on a server they share. An adapter calls it with a function that opens the adapter for one subtest:
//
//	func TestEventLog(t *testing.T) {
//		porttest.EventLog(t, func(t *testing.T) porttest.Log { return open(t) })
//	}
//
// Features that an adapter adds to its port, such as expiry by its own clock, are for the adapter's own tests.
package porttest
