// Package tests holds the tests that no single layer can contain: that the layers are separate, that generated code is fresh, and that a whole
// transcript passes through the program. Its folder redistest starts the redis-servers that all tests of the project use. chaos makes these, the
// processes and the network fail while events are written and handled.
package tests
