// Package tests holds what no single layer can show: that the layers keep apart, that generated code is fresh, and that a whole
// transcript goes through the program. Its folder redistest starts the redis-servers that all tests of the project run on.
package tests
