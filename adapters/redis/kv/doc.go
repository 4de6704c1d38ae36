// Package kv is the store of callers' own values, counters and sets on Redis, under the names that they choose. It refuses the names of chatcore's keys.
package kv
