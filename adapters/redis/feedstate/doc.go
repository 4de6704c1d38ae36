// Package feedstate is the store of the tickets and cursors of feeds on Redis: one string with a TTL for each.
package feedstate
