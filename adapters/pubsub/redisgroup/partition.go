package redisgroup

import (
	"strings"

	"chatcore/ports/groups"
)

// Partition is a partition of a log, or a stream that carries none, with the place of its state in Redis.
type Partition struct {
	Stream string // key of the stream
	Base   string // prefix of the keys of its state, which are in the stream's slot
	Number int    // of the log's partition, from 0; below 0 for a stream that carries only entries of other programs
}

// NewPartition returns the partition of a stream that carries no log.
func NewPartition(stream string) Partition {
	_, after, _ := strings.Cut(stream, "{")
	if tag, _, closed := strings.Cut(after, "}"); closed && tag != "" { // it has a hash tag
		return Partition{Stream: stream, Base: "cc:" + stream + ":", Number: -1}
	}
	return Partition{Stream: stream, Base: "cc:{" + stream + "}:", Number: -1}
}

func (p Partition) bare() groups.Partition {
	return groups.Partition{Stream: p.Stream, Number: p.Number}
}

// The keys of a partition and of a group on it. BASE is the partition's Base, cc:{p}: for a partition. A group may have any name: the name is last, and a
// chat's keys, which begin with BASE too, have one colon after it and no more.
//
//	BASEid               STRING  the log's id, which the event log keeps
//	BASEgroups           SET     names of the partition's groups
//	BASEunreadable       ZSET    entries of the stream that are dead letters of some group → ms; the newest [sharedLetters] of them
//	BASEg:state:GROUP    HASH    owner, epoch, until (ms), lease (ms), overlap (ms), bound, commit, position, passed, walk, revision, lost, state
//	BASEg:chats:GROUP    HASH    chat → seq of the last finished event: its checkpoint
//	BASEg:left:GROUP     HASH    chat → "behind" or "parked": the position has passed events of it that are not finished
//	BASEg:failing:GROUP  HASH    chat → its progress beyond the checkpoint: seq:starts[:epoch[:ms:reason:cause]], or the text after a ~ that
//	                             appendProgress describes, which programs before it take for no progress
//	BASEg:dead:GROUP     STREAM  dead letters
//	BASEg:again:GROUP    HASH    ids of dead letters that were retried → "STATE ATTEMPTS MS PARKED SEQ CHAT REASON", or "1" alone
//	BASEg:members:GROUP  ZSET    members of the group → ms when their heartbeats expire; on the first partition only
//	BASEg:erase          STREAM  the entries that an erasure keeps, within its script only
//	BASEg:hiding         STRING  id of the stream's first entry when Redis kept bytes of erased entries before it: they are there until that entry is gone
//	BASEg:declined:GROUP ZSET    member and stream that it offers to other members → ms when that ends; on the first partition only
type groupKeys struct {
	id, groups, unreadable, group, chats, left, failing, dead, again, members, declined string
}

func (p Partition) group(name string) groupKeys {
	g := p.Base + "g:"
	return groupKeys{
		id: p.Base + "id", groups: p.Base + "groups", unreadable: p.Base + "unreadable", group: g + "state:" + name, chats: g + "chats:" + name, left: g + "left:" + name,
		failing: g + "failing:" + name, dead: g + "dead:" + name, again: g + "again:" + name, members: g + "members:" + name,
		declined: g + "declined:" + name,
	}
}

// groupPartition is a partition with the keys of one group on it.
type groupPartition struct {
	groups.Partition
	groupKeys
}

func (p Partition) of(group string) *groupPartition {
	return &groupPartition{p.bare(), p.group(group)}
}
