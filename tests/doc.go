// Package tests holds what no single layer can show: that the layers keep apart, that generated code is fresh, and that a whole
// transcript goes through the program. Its folder redistest starts the redis-servers that all tests of the project run on; chaos breaks
// them, and the processes and the network, while events are written and handled.
package tests
