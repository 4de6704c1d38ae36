// Package app holds the use cases: each loads the entities it depends on, lets domain decide, and appends the decided events on condition that those
// entities have not moved meanwhile. When one has, it loads and decides again, a bounded number of times.
//
// The package knows no vendor and no wire format: it uses ports.
package app
