package pubsub

import (
	"context"
	"errors"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Reasons why a subscription ends by itself.
var (
	// ErrGroupDeleted is returned when a consumer group was deleted while it was read.
	ErrGroupDeleted = errors.New("consumer group deleted")
	// ErrFenced is a change by an owner after which another came. It was not made.
	ErrFenced = errors.New("another owner came since")
	// errLostCommits is a Redis that no longer has what it acknowledged.
	errLostCommits = errors.New("redis has lost what it acknowledged")
)

// station is where the state of a consumer group is kept, and where its streams are read. Errors that may pass are [ports.ErrUnavailable].
type station interface {
	// create makes the group on a lane unless it is there, and tells whether its first checkpoints have still to be laid.
	create(ctx context.Context, l Lane, fromBeginning bool) (fresh bool, err error)
	// lay writes the first checkpoints of some chats; it reports whether the group still waits for more.
	lay(ctx context.Context, l Lane, heads []ports.ChatHead, last bool) (bool, error)
	// beat tells that an instance lives, for ttl, or with 0 that it leaves, and returns the members. The instance declines the streams for
	// coolDown.
	beat(ctx context.Context, first Lane, instance string, ttl time.Duration, declined []string, coolDown time.Duration) (members, error)
	// acquire takes lanes; lost tells of which something was lost that this instance had read. What is nil without an error is held by somebody else.
	acquire(ctx context.Context, lanes []Lane, lost []bool, m memberInfo) ([]*tenure, []error)
	// commit makes the changes of several lanes. A change that was made before is found.
	commit(ctx context.Context, lanes []Lane, epochs []uint64, changes []*change, lease time.Duration) []committed
	// release frees lanes for other instances.
	release(ctx context.Context, held []released) error
	// last returns the id of a lane's last entry, or zero if its stream is empty.
	last(ctx context.Context, l Lane) (streamID, error)
	// checkpoints gives the last finished seq of each chat, 0 if there is none.
	checkpoints(ctx context.Context, l Lane, chats []string) ([]domain.Seq, error)
	// look gives what others may have changed of a lane: whether all chats are to be looked at, chats left, letters to be given again.
	look(ctx context.Context, l Lane) (walk bool, left, again map[string]string, err error)
	// letters gives dead letters by their ids, without those that are gone.
	letters(ctx context.Context, l Lane, ids []string) ([]storedLetter, error)
	// trimmed tells whether an entry that is gone from a lane's stream was trimmed, and what the stream begins with; if not, Redis has lost it.
	trimmed(ctx context.Context, l Lane, gone streamID) (bool, streamID, error)
	// trim takes from a lane's stream what every group has passed, and gives the groups that are to catch up from the log instead.
	trim(ctx context.Context, l Lane, bound int) (taken int64, moved []string, err error)
	// next returns what comes after an id in a stream, in order. With wait it returns when there is something, or ctx's error when that ends; an
	// empty stretch means that it is worth asking again. Without wait it asks once.
	next(ctx context.Context, stream string, after streamID, wait bool) (*batch, error)
	// drop forgets what was read of a stream.
	drop(stream string)
	// close ends what it has opened.
	close() error
}

// memberInfo is what a member says of itself when it acquires.
type memberInfo struct {
	instance    string
	lease       time.Duration
	deadLetters int // that it keeps on a lane
}

// tenure is what an owner finds when it takes a lane.
type tenure struct {
	epoch    uint64
	position streamID
	end      streamID // of the stream
	walk     bool
	revision string
	before   bool               // there was an owner before
	overlap  time.Duration      // for which an earlier owner may still start handlers: its lease may have ended early
	left     map[string]string  // chat → leftBehind or leftParked
	failing  map[string]failure // by chat
	again    map[string]string  // marks of dead letters, by id

	deadLetters int // how many there are
}

// released is a lane that its owner releases.
type released struct {
	lane    Lane
	epoch   uint64
	overlap time.Duration // for which an owner before it may still start handlers
}

// change is what an owner has to take down, as one commit.
type change struct {
	number   uint64
	position streamID   // zero: as before
	passed   int        // entries between the position before and this one
	walk     string     // done:total, "-" at the end, "" for nothing to say
	seen     []streamID // entries that have to be there, or what was read no longer counts
	chats    []any      // chat, seq, …
	left     []any      // chat, what it is left as or "", …
	failing  []any      // chat, seq:starts or "", …
	settled  []any      // ids of dead letters
	letters  []letter
}

// committed is the answer to a change.
type committed struct {
	revision string
	lost     bool     // the stream may have lost what was not finished
	first    streamID // what is left of it then; zero if nothing is
	err      error

	deadLetters int // how many there are now
	written     int // dead letters of the change that are of unreadable entries which no group had met before
}

// storedLetter is a dead letter and its id.
type storedLetter struct {
	letter
	id string
}
