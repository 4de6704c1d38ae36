// Package redistest gives tests a real Redis: private redis-server processes on free loopback ports, in memory, that end with the
// test that started them or, at the latest, with the test process. It needs redis-server 7.0 or newer in PATH; a test that finds
// none fails with the command that installs it.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// and its tests use [Shared], each in a namespace of its own, or [Start] if they stop the server, configure it or read all of its data.
package redistest
