package keyspace

import (
	"slices"

	"chatcore/domain"
)

// Log has the keys of the event log.
type Log struct{ base }

// Partition names a delivery stream, and the prefix of its groups' keys. Package pubsub defines the rest of their names.
type Partition struct {
	Stream string
	Base   string
	Number int // below 0 for the bare stream, which other programs write
}

// Partitions returns the streams that a group reads: each partition's, and the bare stream if it is none of these.
func (k Log) Partitions() []Partition {
	partitions := make([]Partition, 0, len(k.tags)+1)
	for p := range k.tags {
		partitions = append(partitions, Partition{Stream: k.Stream(p), Base: k.Key(p, ""), Number: p})
	}
	if len(k.tags) > 1 {
		bare := k.prefix + k.names.Stream
		partitions = append(partitions, Partition{Stream: bare, Base: k.prefix + "cc:{" + bare + "}:", Number: -1})
	}
	return partitions
}

// Stream returns the delivery stream of a partition.
func (k Log) Stream(p int) string {
	if len(k.tags) == 1 {
		return k.prefix + k.names.Stream
	}
	return k.prefix + k.names.Stream + ":{" + k.tags[p] + "}"
}

// Record returns the key of the copy of the log's identity.
func (k Log) Record() string { return k.prefix + "cc:log" }

// Key returns the key with a name in a partition.
func (k Log) Key(p int, name string) string { return k.partitionKey(p, name) }

// ID returns the key of a partition's identity.
func (k Log) ID(p int) string { return k.Key(p, "id") }

// Chats returns the key of the set of a partition's chats.
func (k Log) Chats(p int) string { return k.Key(p, "chats") }

// Count returns the key of the number of a partition's chats.
func (k Log) Count(p int) string { return k.Key(p, "count") }

// Last returns the key of the last messages of a partition's chats.
func (k Log) Last(p int) string { return k.Key(p, "last") }

// Previews returns the key of the last messages of a partition's chats, as lists show them.
func (k Log) Previews(p int) string { return k.Key(p, "previews") }

// Confirm returns the key that is written to have replicas confirm earlier writes.
func (k Log) Confirm(p int) string { return k.Key(p, "confirm") }

// Vault returns the key of the notes of a partition's archivers.
func (k Log) Vault(p int) string { return k.Key(p, "vault") }

// Holds returns the key of the legal holds that erasures of a partition meet.
func (k Log) Holds(p int) string { return k.Key(p, "holds") }

// Policies returns the key of the retention policies of a partition.
func (k Log) Policies(p int) string { return k.Key(p, "retention") }

// Expired returns the key of how far retention is in the chats of a partition.
func (k Log) Expired(p int) string { return k.Key(p, "expired") }

// Witness returns the key of the counter of a process that reveals older data.
func (k Log) Witness(p int, process string) string {
	return k.Key(p, "witness:"+process)
}

// Fence returns the key of the fence of a batch, which stops a late sending.
func (k Log) Fence(p int, token string) string { return k.Key(p, "fence:"+token) }

// AppendChat appends the start of the keys of a chat, which ends before the colon and the part.
func (k Log) AppendChat(b []byte, chat domain.ChatID) []byte {
	b = append(append(append(b, k.prefix...), OwnPrefix...), '{')
	return AppendEscaped(append(append(b, k.tags[k.Partition(chat)]...), "}:"...), string(chat))
}

// Chat returns the key of a part of a chat.
func (k Log) Chat(chat domain.ChatID, part string) string { return k.chat(chat, part) }

// FirstIDs returns the id keys that partition 0 of a log in the namespace can have, whatever its number of partitions.
func (k Log) FirstIDs() []string {
	var keys []string
	for _, tag := range append(firstTags(), k.prefix+k.names.Stream, k.prefix+Names{}.WithDefaults().Stream) {
		keys = append(keys, k.prefix+OwnPrefix+"{"+tag+"}:id")
	}
	return keys
}

// SameTags reports whether other has the same partitions with the same hash tags.
func (k Log) SameTags(other Log) bool { return slices.Equal(k.tags, other.tags) }

// Tag returns the hash tag of a partition.
func (k Log) Tag(p int) string { return k.tags[p] }

// Live returns the pub/sub channel of a partition, on which its events are announced; see [wireformat.Announcement]. On a Cluster it is a sharded channel.
func (k Log) Live(p int) string { return k.Key(p, "live") }

// AppendChannel appends the plain pub/sub channel of an event type.
func (k Log) AppendChannel(b []byte, typ string) []byte {
	return append(append(b, k.prefix...), k.names.channel(typ)...)
}
