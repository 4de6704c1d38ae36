package groups

import (
	"time"

	"chatcore/domain"
)

// Letter is a dead letter as a member writes it.
type Letter struct {
	Reason   string
	Attempts int // handler starts
	UUID     string
	Metadata string // packed as the stream has it
	Payload  []byte
	Chat     string     // "" for an entry of another program
	Seq      domain.Seq // 0 for an entry of another program
	Parked   bool       // its chat waits
	Entry    StreamID   // of an unreadable entry of another program: the first group that meets it keeps the letter, for all groups; zero otherwise
	Cut      bool       // a field of such an entry was too long and is not whole

	// Of is the id of the dead letter whose retry failed, "" for a new one. A letter that was dropped meanwhile is written again if it was retried in
	// order, and left out otherwise.
	Of      string
	InOrder bool
	Mark    RetryMark // that Of gets; the store sets its time
}

// StoredLetter is a dead letter and its id.
type StoredLetter struct {
	Letter
	ID string
}

// RetryState is the state of a dead letter's retries.
type RetryState uint8

// The states of retries.
const (
	RetryFailed     RetryState = iota // the last retry failed: the letter waits for another decision
	RetryOutOfOrder                   // the letter is to be delivered although its chat has passed the event
	RetryInOrder                      // its chat was parked for it and resumes with its event
)

// String returns "failed", "out of order" or "in order".
func (s RetryState) String() string {
	switch s {
	case RetryFailed:
		return "failed"
	case RetryOutOfOrder:
		return "out of order"
	case RetryInOrder:
		return "in order"
	}
	return "unknown"
}

// RetryMark records the retries of a dead letter. The letter itself never changes: it keeps id, first failure and first reason.
type RetryMark struct {
	State    RetryState
	Attempts int       // handler starts in all; 0: those of the letter
	At       time.Time // of the last failed retry; zero if there was none
	Parked   bool      // the letter's chat waits for a decision if none was made
	Seq      domain.Seq
	Chat     string
	Reason   string // of the last failed retry
}

// Apply adds the retries that the mark records to a dead letter.
func (m RetryMark) Apply(d *DeadLetter) {
	d.Again = m.State != RetryFailed
	if m.Attempts > 0 {
		d.Attempts, d.Parked = m.Attempts, m.Parked
	}
	if !m.At.IsZero() {
		d.FailedAt, d.Reason = m.At, m.Reason
	}
	if m.State == RetryInOrder {
		d.Parked = false
	}
}

// DeadLetter is a delivery that failed for good. It remains until a retry succeeds. A failed retry keeps ID, At and First, and attempts add up.
type DeadLetter struct {
	ID       string // within its group
	Group    string
	Reason   string        // of the last failure
	Attempts int           // handler starts, those of retries included
	At       time.Time     // when it became a dead letter
	FailedAt time.Time     // when its last retry failed; zero if none has
	First    string        // reason why it became a dead letter
	Parked   bool          // its chat waits until it is redelivered or dropped
	Again    bool          // it is about to be redelivered
	Chat     domain.ChatID // "" for an entry of another program
	Seq      domain.Seq    // 0 for an entry of another program
	Entry    string        // stream id of an unreadable entry of another program, which is one dead letter for all groups; "" for any other
	EventID  domain.EventID
	Metadata map[string]string
	Payload  []byte
}
