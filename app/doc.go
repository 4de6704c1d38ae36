// Package app holds the use cases, a file for each aggregate: chats, members, messages, reactions, read marks, typing, presence, sessions and limits.
//
// A command loads the entities that it depends on, lets domain decide, and appends the decided events on condition that those entities have not moved
// meanwhile. When one has, it loads and decides again, a bounded number of times. A query folds its answer from the log, or reads it from a read model.
//
// The package owns commands, queries, and the caches of answers. It must not know a vendor or a wire format: it uses ports. It must not know how read
// models are kept right: package projection does that. The imports go one way: app uses projection, both use entity, and neither of the two uses app.
package app
