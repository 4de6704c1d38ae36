package domain

// Condition says at which version a decision saw an entity, or only that the entity exists.
type Condition struct {
	Entity  Entity
	Version Seq  // 0: nothing has moved it
	Exists  bool // something has moved it; Version does not count then
}

// Holds reports whether the condition holds for an entity at a version.
func (c Condition) Holds(version Seq) bool {
	if c.Exists {
		return version != 0
	}
	return version == c.Version
}
