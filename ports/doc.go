// Package ports holds the contracts between the use cases and the outside: the services that app needs, independent of their implementation. A port
// has one to four methods, takes the context first, and names no vendor. Package porttest has the suite that every adapter of a port passes.
package ports
