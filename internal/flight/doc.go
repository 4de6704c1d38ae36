// Package flight runs one call for each key at a time. Callers that come meanwhile join the call, called a flight, and share its result.
//
// The package owns who leads a flight, who waits for it, and what its callers contribute to it. It must not know what a flight does: it imports the
// standard library alone.
package flight
