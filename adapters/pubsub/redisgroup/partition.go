package pubsub

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"chatcore/ports"
)

// Partition is one delivery stream with the state of its groups. One member of a group owns it at a time.
type Partition struct {
	Stream    string // key of the stream
	Base      string // prefix of the keys of its state, which are in the stream's slot
	Partition int    // of the log, from 0; below 0 for a stream that carries no chat's log, only entries of other programs
}

// NewPartition returns the partition of a stream that is no partition's.
func NewPartition(stream string) Partition {
	_, after, _ := strings.Cut(stream, "{")
	if tag, _, closed := strings.Cut(after, "}"); closed && tag != "" { // it has a hash tag
		return Partition{Stream: stream, Base: "cc:" + stream + ":", Partition: -1}
	}
	return Partition{Stream: stream, Base: "cc:{" + stream + "}:", Partition: -1}
}

func (l Partition) logged() bool { return l.Partition >= 0 }

// The keys of a partition and of a group on it. BASE is the partition's Base, cc:{p}: for a partition. A group may have any name: the name is last, and a
// chat's keys, which begin with BASE too, have one colon after it and no more.
//
//	BASEid               STRING  the log's id, which the event log keeps
//	BASEgroups           SET     names of the partition's groups
//	BASEunreadable       ZSET    entries of the stream that are dead letters of some group → ms; the newest [sharedLetters] of them
//	BASEg:state:GROUP    HASH    owner, epoch, until (ms), lease (ms), overlap (ms), bound, commit, position, passed, walk, revision, lost, state
//	BASEg:chats:GROUP    HASH    chat → seq of the last finished event: its checkpoint
//	BASEg:left:GROUP     HASH    chat → "behind" or "parked": the position has passed events of it that are not finished
//	BASEg:failing:GROUP  HASH    chat → seq:handler starts of the event after its checkpoint, and why the chat is blocked; see failure
//	BASEg:dead:GROUP     STREAM  dead letters
//	BASEg:again:GROUP    HASH    ids of dead letters that were retried → [retryMark]
//	BASEg:members:GROUP  ZSET    members of the group → ms when their heartbeats expire; on the first partition only
//	BASEg:declined:GROUP ZSET    member and stream that it offers to other members → ms when that ends; on the first partition only
type groupKeys struct {
	id, groups, unreadable, group, chats, left, failing, dead, again, members, declined string
}

func (l Partition) group(name string) groupKeys {
	g := l.Base + "g:"
	return groupKeys{
		id: l.Base + "id", groups: l.Base + "groups", unreadable: l.Base + "unreadable", group: g + "state:" + name, chats: g + "chats:" + name, left: g + "left:" + name,
		failing: g + "failing:" + name, dead: g + "dead:" + name, again: g + "again:" + name, members: g + "members:" + name,
		declined: g + "declined:" + name,
	}
}

// The marks of chats that are left to the log.
const (
	chatBehind = "behind"
	leftParked = "parked"
)

// streamID is the id of a stream entry: ms of its append by Redis's clock, and a number within that.
type streamID struct{ ms, n uint64 }

func parseStreamID(s string) (streamID, error) {
	first, second, ok := strings.Cut(s, "-")
	ms, err1 := strconv.ParseUint(first, 10, 64)
	n, err2 := strconv.ParseUint(second, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return streamID{}, fmt.Errorf("%w: %q is no stream id", ports.ErrUnavailable, s)
	}
	return streamID{ms, n}, nil
}

func (a streamID) compare(b streamID) int {
	return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.n, b.n))
}

// reference returns the id, or "" for none.
func (a streamID) reference() string {
	if a.isZero() {
		return ""
	}
	return a.String()
}

func (a streamID) isZero() bool { return a == streamID{} }

func (a streamID) String() string {
	return strconv.FormatUint(a.ms, 10) + "-" + strconv.FormatUint(a.n, 10)
}

// assigned returns the member that a partition is assigned to: the one with the highest hash of both (rendezvous hashing). A member that starts or stops
// therefore moves only its own share.
func assigned(partition Partition, instances []string) string {
	best, highest := "", uint64(0)
	for _, instance := range instances {
		h := fnv.New64a()
		_, _ = h.Write([]byte(instance))
		_, _ = h.Write([]byte{0})
		_, _ = h.Write([]byte(partition.Stream))
		if weight := mix(h.Sum64()); best == "" || weight > highest || weight == highest && instance > best {
			best, highest = instance, weight
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
