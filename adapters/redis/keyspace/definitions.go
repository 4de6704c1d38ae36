package keyspace

// Definitions has the key of the definitions of consumer groups.
type Definitions struct{ base }

// Key returns the key of the hash of all definitions.
func (k Definitions) Key() string { return k.prefix + "cc:definitions" }
