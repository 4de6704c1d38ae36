// Package cache stores cached values on Redis with leases, so that one process loads a value and none stores an outdated one. Package app/cache has the
// policy; other programs read the values as the wire contract says.
package cache
