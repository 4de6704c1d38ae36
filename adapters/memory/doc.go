// Package memory keeps in memory what package redis keeps in Redis, for tests and for what need not outlive its process.
//
// It passes the suites of package porttest, and is written to be obviously right rather than fast: one mutex, and what is asked for
// is copied out. Records hold the events as they were appended, values whose slices are shared: neither who appended
// an event nor who was given a record may change them.
package memory
