// Package definitions stores the definitions of consumer groups on Redis: one hash for all of them, in which a field holds the JSON of a group's definition.
//
// The JSON has the fields of [groups.Definition] in lower case with underscores, durations as 1m30s and times as RFC 3339 has them, and an id of the change
// that wrote it. A process reads fields that it does not know as if they were not there. It refuses to change such a definition, since the fields would be
// lost, and it does so for a kind that it does not know. Deleting it is always possible.
package definitions
