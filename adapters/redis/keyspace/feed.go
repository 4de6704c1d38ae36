package keyspace

// Feeds has the keys of the state of feeds.
type Feeds struct{ base }

// State returns the key of a ticket or cursor.
func (k Feeds) State(key string) string { return k.prefix + "cc:feed:" + Escape(key) }
