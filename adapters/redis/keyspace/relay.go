package keyspace

// Relays has the channels by which processes ask each other.
type Relays struct{ base }

// Channel returns the plain pub/sub channel of a process: requests to it, and answers to its own requests.
func (k Relays) Channel(instance string) string {
	return k.prefix + OwnPrefix + "relay:" + Escape(instance)
}
