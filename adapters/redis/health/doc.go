// Package health examines Redis servers: their version, memory and eviction policy, the rights of the user, and the report of core doctor. It changes
// nothing on them.
package health
