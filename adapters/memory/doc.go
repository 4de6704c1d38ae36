// Package memory implements in memory the ports that package redis implements on Redis, for tests and for data that need not outlive the process.
//
// It passes the suites of package porttest, and is written to be obviously right rather than fast: one mutex, and results are copies. Records hold
// the events as they were appended, values whose slices are shared: neither the appender of an event nor the reader of a record may change them.
package memory
