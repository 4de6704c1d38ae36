package ports

import (
	"context"
	"fmt"
	"slices"

	"chatcore/domain"
)

// RetentionRules keeps the retention policies and the legal holds of a log, outside of the chats. Each partition of the log has the rules of its chats, and a copy
// of those of the log and of users. The [Eraser] of the log checks the holds of the chat's partition in the step that erases.
//
// A change of the log's or a user's rules changes one partition after the other. After [ErrUnavailable], and after [ErrOutcomeUnknown], some may have changed:
// giving it again completes it. Errors are these, [ErrLogLost], and the error of an ended context.
type RetentionRules interface {
	// AddHold adds a hold. A hold that the subject has already, with the same reason and actor, is a success and keeps its time. It returns
	// [domain.ErrHoldExists] for another one under the id, and a [*domain.InvalidError] for one that cannot be set or is one too many for its subject.
	AddHold(ctx context.Context, h domain.Hold) error
	// RemoveHold removes a hold. It returns [domain.ErrHoldNotFound] if no partition has it.
	RemoveHold(ctx context.Context, subject domain.HoldSubject, id domain.HoldID) error
	HoldChecker

	// Rules returns the rules of a partition.
	Rules(ctx context.Context, partition int) (PartitionRules, error)
	// Policies returns the policies of the log and of a chat: the zero policy where there is none.
	Policies(ctx context.Context, chat domain.ChatID) (log, own domain.RetentionPolicy, err error)
	// SetPolicy changes the policy of a chat, or of the log if chat is "". change gets the present policies of the log and of the chat, the zero policy where
	// there is none, and returns the next one: the zero policy removes it. It may be called again if the policy changes meanwhile. An error of change is
	// returned, and nothing is changed.
	SetPolicy(ctx context.Context, chat domain.ChatID, change func(log, present domain.RetentionPolicy) (domain.RetentionPolicy, error)) error

	// Expiries returns how far a place is in chats of a partition, in their order: the zero value for a chat in which it has not begun.
	Expiries(ctx context.Context, partition int, place ExpiryPlace, chats []domain.ChatID) ([]Expiry, error)
	// SaveExpiry replaces that of a chat. It may be lost: the place then begins with the first message of the chat again.
	SaveExpiry(ctx context.Context, partition int, place ExpiryPlace, chat domain.ChatID, e Expiry) error
}

// HoldChecker is an event log that knows legal holds.
type HoldChecker interface {
	// Held reports for each subject whether it has a hold in the partition of a chat. Every partition has the holds of the log and of users. A hold may be set
	// right after the call: only [Eraser].Erase decides.
	Held(ctx context.Context, chat domain.ChatID, subjects ...domain.HoldSubject) ([]bool, error)
}

// PartitionRules are the rules of a partition. Holds are in no order.
type PartitionRules struct {
	Log   domain.RetentionPolicy                   // the zero policy if there is none
	Chats map[domain.ChatID]domain.RetentionPolicy // policies of chats
	Holds []domain.Hold
}

// ExpiryPlace is a place from which retention removes content.
type ExpiryPlace uint8

// The places.
const (
	ExpiryOfLog ExpiryPlace = iota
	ExpiryOfVault
	ExpiryOfThreads // of the log: messages that are in threads alone
)

// String returns "log", "vault" or "threads".
func (p ExpiryPlace) String() string {
	switch p {
	case ExpiryOfLog:
		return "log"
	case ExpiryOfVault:
		return "vault"
	case ExpiryOfThreads:
		return "threads"
	}
	return fmt.Sprintf("ExpiryPlace(%d)", uint8(p))
}

// Expiry is how far retention is in a chat.
type Expiry struct {
	Next    domain.Seq     // of the first message that the log still has; in a vault the first seq of the first segment that may have content of erased events
	At      int64          // the time of that message, 0 if retention passed it over; of a vault when that segment was rewritten last. Unix milliseconds
	Ordinal domain.Ordinal // of that message
	Until   domain.Seq     // from Next on, every message before it was erased or passed over; 0 in a vault and in threads
}

// WithHold returns the holds of a subject with another one. Its errors are those of [RetentionRules].AddHold.
func WithHold(holds []domain.Hold, h domain.Hold) ([]domain.Hold, error) {
	for _, present := range holds {
		if present.ID != h.ID {
			continue
		}
		if present.Reason != h.Reason || present.By != h.By {
			return holds, fmt.Errorf("%w: %s has a hold %q with another reason or actor", domain.ErrHoldExists, h.HoldSubject, h.ID)
		}
		return holds, nil
	}
	if len(holds) >= domain.MaxHolds {
		return holds, &domain.InvalidError{Field: "hold", Problem: fmt.Sprintf("is one more than the %d of %s", len(holds), h.HoldSubject), Allowed: fmt.Sprintf("%d", domain.MaxHolds)}
	}
	return append(slices.Clone(holds), h), nil
}
