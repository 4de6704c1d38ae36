package groups

import (
	"context"
	"errors"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Reasons why a member stops to own a partition.
var (
	// ErrGroupDeleted is returned when a consumer group was deleted while it was read.
	ErrGroupDeleted = errors.New("consumer group deleted")
	// ErrFenced is returned for a change by an owner that another one has replaced. The change was not made.
	ErrFenced = errors.New("another owner came since")
	// ErrLostWrites is returned when the store no longer has writes that it acknowledged, or entries that a member has read. The change was not made.
	ErrLostWrites = errors.New("the store has lost acknowledged writes")
)

// Store keeps the state of one consumer group, and reads the streams of its partitions. Its methods return [ports.ErrUnavailable] for what may pass,
// and [ports.ErrLogLost] or [ports.ErrNewerLog] if the log is not the expected one. All methods are safe for concurrent use.
type Store interface {
	// Create creates the group on a partition unless it exists there. It reports whether the group's first checkpoints are still to be written with
	// Seed; until then no member can acquire the partition. Every event that is appended after Create has returned reaches the group.
	Create(ctx context.Context, p Partition, at Start) (fresh bool, err error)
	// Seed writes the first checkpoints of some chats of a partition; a chat without one begins with its first event. With last, members can acquire the
	// partition from then on. It reports whether the group still waits for checkpoints: another process may have written the last ones.
	Seed(ctx context.Context, p Partition, checkpoints []Checkpoint, last bool) (more bool, err error)

	// Heartbeat records that a member lives, for ttl, and returns the members. With a ttl of 0 the member leaves. It offers the declined partitions
	// to other members for coolDown. It returns [ErrGroupDeleted] if the group does not exist.
	Heartbeat(ctx context.Context, member string, ttl time.Duration, declined []Partition, coolDown time.Duration) (Members, error)
	// Acquire acquires partitions for a member, each by itself. lost marks those of which the member had read records that were lost: every chat of
	// these is checked. A nil lease without an error means that another member owns the partition.
	Acquire(ctx context.Context, partitions []Partition, lost []bool, by Applicant) ([]*Lease, []error)
	// Commit makes each of the changes atomically, each by itself, and renews its lease. A change that was already made, whose answer was lost, is
	// recognized by its number and not made again.
	Commit(ctx context.Context, changes []OwnedCommit, lease time.Duration) []CommitResult
	// Release frees partitions for other members. A partition that the member does not own any more is left as it is.
	Release(ctx context.Context, held []Release) error

	// Checkpoints returns the last finished seq of each chat, 0 if there is none.
	Checkpoints(ctx context.Context, p Partition, chats []string) ([]domain.Seq, error)
	// Changes returns what others may have changed of a partition.
	Changes(ctx context.Context, p Partition) (Changes, error)
	// Letters returns dead letters by their ids, without those that are gone.
	Letters(ctx context.Context, p Partition, ids []string) ([]StoredLetter, error)
	// CompareHeads compares the heads of about count chats of a partition with the group's checkpoints; see [ports.Backlog].
	CompareHeads(ctx context.Context, p Partition, cursor uint64, count int) (ports.HeadPage, error)

	// Next returns the entries of a stream after an id, in order. With wait it returns when there are any, or ctx's error when ctx ends. An empty
	// batch means that another call may find some. Without wait it asks once.
	Next(ctx context.Context, p Partition, after StreamID, wait bool) (*Batch, error)
	// Last returns the id of a stream's last entry, or zero if the stream is empty.
	Last(ctx context.Context, p Partition) (StreamID, error)
	// Trimmed reports whether an entry that is gone from a stream was trimmed; if not, the store has lost it. It also returns the stream's first entry,
	// or zero if the stream is empty.
	Trimmed(ctx context.Context, p Partition, gone StreamID) (bool, StreamID, error)
	// Trim removes the entries that every group has passed, and those beyond the bound, from a stream. It returns the groups that have to catch up
	// from the log because of the bound.
	Trim(ctx context.Context, p Partition, bound int) (overrun []string, err error)
	// Forget discards the entries of a stream that are held in memory: the store may have lost them.
	Forget(p Partition)
	// Close ends the reads, and frees what the store has opened.
	Close() error
}

// Start is where a new group starts. The zero value is the next event.
type Start struct {
	Beginning bool      // with the first event
	At        time.Time // with the entries that were appended at this time or later, by the store's clock; the checkpoints that Seed writes say where each chat starts
}

// Checkpoint is the last finished seq of a chat.
type Checkpoint struct {
	Chat string
	Seq  domain.Seq
}

// Members are the members of a group at a moment.
type Members struct {
	Living   []string
	Declined map[string][]string // stream → members that offer it to others for a while
}

// Applicant describes a member that acquires partitions.
type Applicant struct {
	Member          string
	Lease           time.Duration
	DeadLetterBound int // the most dead letters of the group on a partition
}

// Lease is the state of a partition that its new owner starts with.
type Lease struct {
	Epoch       uint64
	Position    StreamID
	End         StreamID // last entry of the stream
	Walk        bool     // every chat is to be checked for undelivered events
	Revision    string   // of the changes that others make: another one means new [Changes]
	HadOwner    bool     // there was an owner before
	Overlap     time.Duration
	Left        map[string]ChatState // chats that are left to the log
	Failing     map[string]Progress  // by chat
	Retries     map[string]RetryMark // of dead letters, by id
	DeadLetters int                  // number of dead letters
}

// ChatState is the state of a chat that is left to the log: the position has passed events of it that are not finished.
type ChatState uint8

// The states of chats.
const (
	Streamed ChatState = iota // it is not left to the log
	Behind                    // it catches up from the log
	Parked                    // it waits for a decision about a dead letter
)

// String returns "streamed", "behind" or "parked".
func (s ChatState) String() string {
	switch s {
	case Streamed:
		return "streamed"
	case Behind:
		return "behind"
	case Parked:
		return "parked"
	}
	return "unknown"
}

// Release is a partition that its owner releases.
type Release struct {
	Partition Partition
	Epoch     uint64
	Overlap   time.Duration // for which an owner before it may still start handlers
}

// OwnedCommit is a commit of a partition's owner.
type OwnedCommit struct {
	Partition Partition
	Epoch     uint64
	*Commit
}

// Commit holds the changes of one commit. A chat is in each list once at most.
type Commit struct {
	Number      uint64     // of the owner's commits, from 1
	Position    StreamID   // zero: as before
	Passed      int        // entries between the position before and this one
	Walk        Walk       // progress of the check of every chat
	Seen        []StreamID // entries that must exist; otherwise the records that were read no longer count
	Checkpoints []Checkpoint
	Left        []LeftChat
	Failing     []FailingChat
	Resolved    []string // ids of dead letters that are removed
	Letters     []Letter
}

// Walk is the progress of a check of every chat of a partition. The zero value leaves the stored progress as it is.
type Walk struct {
	Changed bool
	Active  bool
	Checked int // chats
	Total   int // chats, approximately
}

// LeftChat is the new state of a chat.
type LeftChat struct {
	Chat  string
	State ChatState // Streamed removes it
}

// FailingChat is the new progress of a chat beyond its checkpoint.
type FailingChat struct {
	Chat     string // "" for entries of other programs
	Progress Progress
}

// CommitResult is the answer to a change.
type CommitResult struct {
	Revision    string
	Lost        bool     // the stream may have lost unfinished entries
	First       StreamID // the stream's first entry then; zero if it is empty
	DeadLetters int      // number of dead letters now
	Written     int      // dead letters of the change for unreadable entries that no group had met before
	Err         error
}

// Changes is the state of a partition that others may have changed.
type Changes struct {
	Walk    bool                 // every chat is to be checked
	Left    map[string]ChatState // chats that are left to the log
	Retries map[string]RetryMark // of dead letters, by id
}
