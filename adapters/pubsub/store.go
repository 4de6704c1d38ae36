package pubsub

import (
	"context"
	"errors"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Reasons why a member ends by itself.
var (
	// ErrGroupDeleted is returned when a consumer group was deleted while it was read.
	ErrGroupDeleted = errors.New("consumer group deleted")
	// ErrFenced is returned for a change by an owner that another one has replaced. The change was not made.
	ErrFenced = errors.New("another owner came since")
	// errLostCommits is returned when Redis no longer has writes that it acknowledged.
	errLostCommits = errors.New("redis has lost acknowledged writes")
)

// store stores the state of a consumer group and reads its streams. Transient errors are [ports.ErrUnavailable].
type store interface {
	// create creates the group on a partition unless it exists, and reports whether its first checkpoints are still to be written.
	create(ctx context.Context, l Partition, fromBeginning bool) (fresh bool, err error)
	// seedCheckpoints writes the first checkpoints of some chats. It reports whether the group waits for more.
	seedCheckpoints(ctx context.Context, l Partition, heads []ports.ChatHead, last bool) (bool, error)
	// heartbeat records a member's heartbeat, which expires after ttl, and returns the members. With a ttl of 0 the member leaves. It declines the given
	// streams for coolDown.
	heartbeat(ctx context.Context, first Partition, instance string, ttl time.Duration, declined []string, coolDown time.Duration) (members, error)
	// acquire acquires partitions. lost marks those of which this member had read records that were lost. A nil tenure without an error means that
	// another member owns the partition.
	acquire(ctx context.Context, partitions []Partition, lost []bool, m memberInfo) ([]*lease, []error)
	// commit makes the changes of several partitions. It recognizes a change that was already made.
	commit(ctx context.Context, partitions []Partition, epochs []uint64, changes []*commit, lease time.Duration) []commitResult
	// release frees partitions for other instances.
	release(ctx context.Context, held []released) error
	// last returns the id of a partition's last entry, or zero if its stream is empty.
	last(ctx context.Context, l Partition) (streamID, error)
	// checkpoints returns the last finished seq of each chat, 0 if there is none.
	checkpoints(ctx context.Context, l Partition, chats []string) ([]domain.Seq, error)
	// look returns the state of a partition that others may have changed: whether all chats are to be checked, the chats left to the log, and the
	// retry marks of dead letters.
	look(ctx context.Context, l Partition) (walk bool, left, again map[string]string, err error)
	// letters returns dead letters by their ids, without those that are gone.
	letters(ctx context.Context, l Partition, ids []string) ([]storedLetter, error)
	// trimmed reports whether an entry that is gone from a partition's stream was trimmed; if not, Redis has lost it. It also returns the stream's
	// first entry.
	trimmed(ctx context.Context, l Partition, gone streamID) (bool, streamID, error)
	// trim removes the entries that every group has passed, and those beyond the bound, from a partition's stream. It returns the groups that have to
	// catch up from the log because of the bound.
	trim(ctx context.Context, l Partition, bound int) (taken int64, moved []string, err error)
	// next returns the entries after an id in a stream, in order. With wait it returns when there are any, or ctx's error when ctx ends. An empty
	// batch means that another call may find some. Without wait it asks once.
	next(ctx context.Context, stream string, after streamID, wait bool) (*batch, error)
	// drop discards the entries of a stream that are held in memory.
	drop(stream string)
	// close closes the resources that the station has opened.
	close() error
}

// memberInfo describes a member that acquires partitions.
type memberInfo struct {
	instance    string
	lease       time.Duration
	deadLetters int // its bound of dead letters on a partition
}

// lease is the state of a partition that its new owner starts with.
type lease struct {
	epoch        uint64
	position     streamID
	end          streamID // of the stream
	walk         bool
	revision     string
	hadOwner     bool               // there was an owner before
	overlap      time.Duration      // for which an earlier owner may still start handlers: its lease may have ended early
	lagging      map[string]string  // chat → chatBehind or leftParked
	failing      map[string]failure // by chat
	redeliveries map[string]string  // marks of dead letters, by id

	deadLetters int // number of dead letters
}

// released is a partition that its owner releases.
type released struct {
	partition Partition
	epoch     uint64
	overlap   time.Duration // for which an owner before it may still start handlers
}

// commit is one commit of an owner.
type commit struct {
	number   uint64
	position streamID   // zero: as before
	passed   int        // entries between the position before and this one
	walk     string     // done:total, "-" at the end, "" if unchanged
	seen     []streamID // entries that must exist; otherwise the records read no longer count
	chats    []any      // chat, seq, …
	lagging  []any      // chat, its mark or "", …
	failing  []any      // chat, seq:starts or "", …
	resolved []any      // ids of dead letters
	letters  []deadLetter
}

// commitResult is the reply to a change.
type commitResult struct {
	revision string
	lost     bool     // the stream may have lost unfinished entries
	first    streamID // the stream's first entry then; zero if it is empty
	err      error

	deadLetters int // number of dead letters now
	written     int // dead letters of the change for unreadable entries that no group had met before
}

// storedLetter is a dead letter and its id.
type storedLetter struct {
	deadLetter
	id string
}
