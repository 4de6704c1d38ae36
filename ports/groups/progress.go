package groups

import (
	"time"

	"chatcore/domain"
)

// Progress is what a store keeps of a chat beyond its checkpoint. The zero value is nothing.
type Progress struct {
	Failure                // of the event after the checkpoint, and why the chat is blocked
	Done    []SeqRange     // finished events beyond the checkpoint, in order, of a group that does not need the order of a chat
	Others  []EventFailure // failed events beyond the first one, in the order of their seqs, of such a group
}

// IsZero reports whether there is nothing to keep.
func (p Progress) IsZero() bool {
	return p.Failure == Failure{} && len(p.Done) == 0 && len(p.Others) == 0
}

// Unfinished returns how many events of a chat are not finished after its checkpoint, up to its head. Events of Done outside of these do not count.
func (p Progress) Unfinished(checkpoint, head domain.Seq) uint64 {
	if head <= checkpoint {
		return 0
	}
	n := head - checkpoint
	for _, r := range p.Done {
		if from, to := max(r.From, checkpoint+1), min(r.To, head); from <= to {
			n -= to - from + 1
		}
	}
	return uint64(n)
}

// SeqRange is a range of seqs, both ends included.
type SeqRange struct{ From, To domain.Seq }

// EventFailure holds the handler starts of an event that has not been finished.
type EventFailure struct {
	Seq    domain.Seq
	Starts int
	Epoch  uint64 // of the owner that reserved the last of the starts, whose end is not known; 0 if all have ended
}

// Failure is the state of the first unfinished event of a chat: its handler starts, and why it waits.
type Failure struct {
	EventFailure
	Since  time.Time // of the blockage
	Reason BlockReason
	Cause  string
}

// BlockReason is the reason why a chat makes no progress.
type BlockReason string

// Reasons why a chat makes no progress although none of its events became a dead letter.
const (
	// BlockedTransient means that the chat's handler keeps failing with transient errors.
	BlockedTransient BlockReason = "transient"
	// BlockedNewer means that a later version of the program wrote the chat's next event.
	BlockedNewer BlockReason = "newer"
	// BlockedSlow means that the chat's handler runs for long.
	BlockedSlow BlockReason = "slow"
	// BlockedPostponed means that the chat's handler keeps postponing its event.
	BlockedPostponed BlockReason = "postponed"
)
