package delivery

import (
	"strconv"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// EventKind is the kind of an [Event].
type EventKind uint8

// The kinds of events, with the fields that they use beside Partition.
const (
	DeadLettered     EventKind = iota // a delivery became a dead letter: Chat, Record, Attempts, Parked, Cause; Shared if all groups share the letter
	DeadLetterHeld                    // it did not, because the group's bound is reached: Chat, Seq, Count (dead letters), Cause
	TransientFailure                  // a handler failed transiently
	ChatBlocked                       // a chat makes no progress: Chat, Seq, Reason, Since, Cause
	BlockedCount                      // the number of blocked chats has changed: Reason, Count (the change); without Partition
	PartitionOffered                  // to other members, because of an event that this program cannot read: Chat, Seq, Cause
	EventsBackfilled                  // from the log: Count
	PhantomEntries                    // the stream had entries without an event of the log: Count
	UnstreamedEvents                  // the log had events without an entry of the stream: Chats, Count
	WalkEnded                         // every chat was checked
	StreamLost                        // the stream has lost undelivered entries
	HoleFound                         // a part of the log cannot be read: Chat ("" for the list of chats), Err
	HoleClosed                        // it can: Chat
	LeaseEnded                        // its holes and blocked chats are no longer this member's
)

// String returns the kind's name in the source.
func (k EventKind) String() string {
	names := [...]string{
		"DeadLettered", "DeadLetterHeld", "TransientFailure", "ChatBlocked", "BlockedCount", "PartitionOffered", "EventsBackfilled", "PhantomEntries",
		"UnstreamedEvents", "WalkEnded", "StreamLost", "HoleFound", "HoleClosed", "LeaseEnded",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "EventKind(" + strconv.Itoa(int(k)) + ")"
}

// Event is something to log or to count.
type Event struct {
	Kind      EventKind
	Partition *Partition
	Record    *Record
	Chat      string
	Seq       domain.Seq
	Chats     int
	Count     int
	Attempts  int
	Parked    bool
	Shared    bool
	Reason    groups.BlockReason
	Since     time.Time
	Cause     string
	Err       error
}

func (m *Member) event(e Event) { m.events = append(m.events, e) }

// TakeEvents returns what there is to log and to count since the last call. The slice is valid until the next call of any method.
func (m *Member) TakeEvents() []Event {
	events := m.events
	m.events = m.events[:0]
	return events
}

// Signals says which loops of a caller have something to do. It has each once.
type Signals struct {
	Commit     bool         // [Member.Commits] has changes
	Assign     bool         // the assignment of partitions is to be checked
	Reclaim    bool         // a lease lapses, or is lost: records that no handler has received are to be completed as [NotBegun]
	Partitions []*Partition // that may have room or a step of the log; see [Partition.TakeWakes]
}

// TakeSignals returns the signals since the last call. The slice is valid until the next call of any method.
func (m *Member) TakeSignals() Signals {
	s := m.signals
	m.signals = Signals{Partitions: s.Partitions[:0]}
	return s
}
