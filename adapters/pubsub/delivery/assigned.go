package delivery

import (
	"hash/fnv"
	"slices"

	"chatcore/ports/groups"
)

// Assigned returns the member that a partition is assigned to: one that does not decline the partition, if there is one, and of these the one with the
// highest hash of both (rendezvous hashing). A member that starts or stops therefore moves only its own share.
func Assigned(p groups.Partition, m groups.Members) string {
	members := m.Living
	if declined := m.Declined[p.Stream]; len(declined) > 0 {
		willing := slices.DeleteFunc(slices.Clone(members), func(member string) bool { return slices.Contains(declined, member) })
		if len(willing) > 0 {
			members = willing
		}
	}
	best, highest := "", uint64(0)
	for _, member := range members {
		h := fnv.New64a()
		_, _ = h.Write([]byte(member))
		_, _ = h.Write([]byte{0})
		_, _ = h.Write([]byte(p.Stream))
		if weight := mix(h.Sum64()); best == "" || weight > highest || weight == highest && member > best {
			best, highest = member, weight
		}
	}
	return best
}

// mix spreads the high bits, in which the FNV hashes of similar names are alike.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}
