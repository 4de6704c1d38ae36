package keyspace

import "chatcore/domain"

// Presence has the keys of presence.
type Presence struct{ base }

// Status returns the key of a user's status.
func (k Presence) Status(user domain.UserID) string { return k.presenceKey(k.names.UserStatus, user) }

// Devices returns the key of the list of a user's devices.
func (k Presence) Devices(user domain.UserID) string { return k.presenceKey(k.names.Presence, user) }

// Record returns the key of a user's presence record.
func (k Presence) Record(user domain.UserID) string { return k.presenceKey("cc:presence:", user) }

// presenceKey returns a presence key of a user. On a Cluster it has the tag of a partition: these tags are spread evenly, and the key shares a slot
// with its due index.
func (k Presence) presenceKey(name string, user domain.UserID) string {
	if k.cluster {
		name += "{" + k.tags[k.Shard(user)] + "}:"
	}
	return k.prefix + name + Escape(string(user))
}

// Shards returns the number of due indexes.
func (k Presence) Shards() int {
	if k.cluster {
		return len(k.tags)
	}
	return 1
}

// Shard returns the number of the due index of a user.
func (k Presence) Shard(user domain.UserID) int { return partitionOf(domain.ChatID(user), k.Shards()) }

// Due returns the key of an index of users by the end of their last heartbeat.
func (k Presence) Due(shard int) string {
	if k.cluster {
		return k.prefix + "cc:presence-due:{" + k.tags[shard] + "}"
	}
	return k.prefix + "cc:presence-due"
}

// Sweeper returns the key of the lease of the sweeping process.
func (k Presence) Sweeper() string { return k.prefix + "cc:presence-sweeper" }

// Online returns the key of the set of online users, added that of the users in it that a core has added. They share a slot.
func (k Presence) Online() string { return k.prefix + k.names.UserOnline }

// Added returns the key of the online users that a core has added.
func (k Presence) Added() string { return k.prefix + "cc:{" + k.Online() + "}:added" }
