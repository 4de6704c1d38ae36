// Package effect makes the commands of a handler take effect once on Redis, whatever the number of deliveries: a marker beside the changed keys is
// written in the same step.
package effect
