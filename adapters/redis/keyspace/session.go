package keyspace

import "chatcore/domain"

// Sessions has the keys of sessions.
type Sessions struct{ base }

// RecordPrefix returns the key of a session record without the hash of the session's secret. On a Cluster the user is a hash tag.
func (k Sessions) RecordPrefix(user domain.UserID) string {
	return k.prefix + k.names.Session + k.tagged(user) + ":"
}

// CompatRecord returns the key of a session record by its token, in the form of the guide.
func (k Sessions) CompatRecord(token string) string { return k.prefix + k.names.Session + token }

// Index returns the key of the index of a user's sessions.
func (k Sessions) Index(user domain.UserID) string { return k.prefix + "cc:sessions:" + k.tagged(user) }

// tagged returns a user's id as a part of keys that share a slot of a Cluster.
func (k Sessions) tagged(user domain.UserID) string {
	if k.cluster {
		return "{" + Escape(string(user)) + "}"
	}
	return Escape(string(user))
}
