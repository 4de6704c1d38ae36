package domain

// Condition says at which version a decision saw an entity, or only that the entity exists.
type Condition struct {
	Entity  Entity
	Version Seq  // 0: nothing has moved it
	UpTo    Seq  // if higher than Version, the condition holds for each version from Version to UpTo
	Exists  bool // something has moved it; Version and UpTo do not count then
}

// Holds reports whether the condition holds for an entity at a version.
func (c Condition) Holds(version Seq) bool {
	if c.Exists {
		return version != 0
	}
	return version >= c.Version && version <= max(c.Version, c.UpTo)
}
