package pull

import (
	"hash/maphash"
	"strconv"
	"time"
)

// Kind is the kind of a settlement.
type Kind uint8

// The kinds.
const (
	Ack      Kind = iota // the event is handled
	Retry                // the attempt failed
	Dead                 // the attempt failed, and no retry mends the event
	Postpone             // the consumer cannot handle the event now: no attempt
	Extend               // the lease begins anew
)

// String returns the name of a kind.
func (k Kind) String() string {
	names := [...]string{"ack", "retry", "dead", "postpone", "extend"}
	if int(k) < len(names) {
		return names[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Settlement says what became of a delivery.
type Settlement struct {
	Token  string        `json:"t"`
	Kind   Kind          `json:"k,omitempty"`
	After  time.Duration `json:"a,omitempty"` // of Retry and Postpone: the pause; of Extend: the lease. 0: as the group, a second, and the first lease have it
	Reason string        `json:"r,omitempty"` // of Retry, Dead and Postpone; may be empty
}

// Status says whether a settlement took effect.
type Status uint8

// The statuses.
const (
	Done       Status = 1 + iota // it did
	Stale                        // it did not: the delivery is not the consumer's any more
	Unanswered                   // it may have: the process of the delivery has not answered
	unknown                      // no process has made the token for the group
)

// String returns the name of a status.
func (s Status) String() string {
	names := [...]string{Done: "done", Stale: "stale", Unanswered: "unanswered", unknown: "unknown"}
	if int(s) < len(names) && names[s] != "" {
		return names[s]
	}
	return "Status(" + strconv.Itoa(int(s)) + ")"
}

// defaultPostpone is the pause of a postponed delivery whose consumer names none.
const defaultPostpone = time.Second

// outcome is a settlement in short, to compare it with another one of the same delivery.
type outcome struct {
	kind   Kind
	after  time.Duration
	reason uint64 // hash of the reason
}

// short returns a settlement in short.
func (b *Broker) short(s *Settlement) outcome {
	o := outcome{kind: s.Kind, after: s.After}
	if s.Reason != "" {
		o.reason = maphash.String(b.seed, s.Reason)
	}
	return o
}
