package groups

import (
	"context"
	"errors"
	"iter"
	"time"

	"chatcore/domain"
)

var (
	// ErrGroupNotFound is returned for a consumer group that does not exist.
	ErrGroupNotFound = errors.New("no such consumer group")
	// ErrDeadLetterNotFound is returned for a dead letter that does not exist.
	ErrDeadLetterNotFound = errors.New("no such dead letter")
)

// Stores holds the consumer groups of a log: it gives each its store, and administers the groups of all processes.
type Stores interface {
	Admin
	// Store returns the store of a group, whose caller closes it. The group need not exist.
	Store(group string) Store
	// Partitions returns the partitions that each group reads, at least one.
	Partitions() []Partition
}

// Admin inspects and changes consumer groups and their dead letters, no matter which processes run them. The owner of a partition notices a change
// with its next commit, within a third of its lease. Methods that name a group return [ErrGroupNotFound] if it does not exist.
type Admin interface {
	// List returns the state of every group, sorted by name.
	List(ctx context.Context) ([]State, error)
	// Inspect returns the state of a group on some partitions. It does not count members.
	Inspect(ctx context.Context, group string, partitions []Partition) (State, error)
	// Exists reports whether a group exists: whether a process has run it since it was last deleted. It returns [ports.ErrLogLost] if neither the
	// group nor the log exists.
	Exists(ctx context.Context, group string) (bool, error)
	// Rebuild restarts a group with the first event of every chat, and deletes its dead letters.
	Rebuild(ctx context.Context, group string) error
	// Delete removes a group with its dead letters. Events that it has not finished are never delivered to it. Its members end with
	// [ErrGroupDeleted].
	Delete(ctx context.Context, group string) error
	// DeadLettersAfter yields the dead letters after the one of an id, which need not exist any more, partition by partition, each in the order in
	// which they were added; "" yields all. It yields [domain.ErrInvalid] if the id has not the form of one. Iteration stops at the first error.
	DeadLettersAfter(ctx context.Context, group, id string) iter.Seq2[DeadLetter, error]
	// DeadLetter returns one dead letter, or [ErrDeadLetterNotFound].
	DeadLetter(ctx context.Context, group, id string) (DeadLetter, error)
	// Retry redelivers a dead letter. If its chat is parked for it, the chat resumes in order, beginning with it. Otherwise the delivery is out of
	// order. It remains a dead letter until a handler succeeds.
	Retry(ctx context.Context, group, id string) error
	// Drop removes a dead letter. A chat that is parked for it resumes with the event after it.
	Drop(ctx context.Context, group, id string) error
}

// State is the state of a group.
type State struct {
	Group      string
	Members    int // processes that run it: their heartbeats have not expired
	Partitions []PartitionState
}

// MaxBlockedChats is the most chats that a [PartitionState] names.
const MaxBlockedChats = 8

// PartitionState is the state of a group on one partition.
type PartitionState struct {
	Stream    string
	Partition int           // below 0: only entries of other programs
	Owner     string        // member that owns the partition; "" if none does
	Until     time.Time     // when its lease ends unless it is renewed
	Epoch     uint64        // of the last owner
	Position  string        // stream id up to which every event is finished or waits in the log
	Passed    uint64        // entries that the position has passed since the stream exists: how many more it becomes is the group's throughput
	Lag       uint64        // entries of the stream after the position, and unfinished events of chats that catch up from the log
	Oldest    time.Time     // append of the oldest of them; zero if there is none
	Age       time.Duration // since then, by the store's clock
	Behind    int           // chats that catch up from the log
	Parked    int           // chats that wait for a decision about a dead letter
	Failing   int           // chats whose next event has failed, or waits
	Blocked   int           // chats that make no progress although none of their events became a dead letter
	Longest   []BlockedChat // the [MaxBlockedChats] of them that are blocked for the longest
	Letters   int           // dead letters
	Walked    int           // chats checked so far while all chats are checked
	Chats     int           // chats to check; 0 unless all chats are checked
	CatchesUp bool          // all chats are checked for undelivered events

	LettersFull bool // the dead letter bound of the last owner is reached: a delivery that would become one is retried, and its chat waits
}

// BlockedChat is a chat that makes no progress, with the reason.
type BlockedChat struct {
	Chat   domain.ChatID // "" for entries of other programs
	Seq    domain.Seq    // of the waiting event; 0 for entries of other programs
	Reason BlockReason
	Since  time.Time // by the clock of the process
	Error  string    // the last one, "" for [BlockedSlow]
}
