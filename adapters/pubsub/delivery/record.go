package delivery

import (
	"time"

	"chatcore/ports/groups"
)

// Record is one event or entry on its way to a handler. The caller fills in the exported fields; afterwards it reads them only.
type Record struct {
	groups.Entry        // ID is zero if it was read from the log
	Key          string // of its order, if the group's is [ByKey]
	Data         any    // the caller's

	queue *queue
	next  *Record // in its queue

	letter      string // id of the dead letter that it is, redelivered out of order
	ordered     string // id of the dead letter that is retried with it, in order; "" if none is
	earlier     int    // handler starts before the retry
	redelivered bool   // a handler of another owner may have been started for it
	tried       bool   // a handler of this owner failed transiently
	counted     bool   // among the events of the log in the partition's queues
	attempts    int    // handler starts that failed, in any process
	reserved    uint64 // epoch of the earlier owner that reserved the last of these starts and did not record its end; 0 if there is none
	resolved    bool   // of an entry of another program: the position may pass it; of a dead letter: its retry failed, and it remains
	inFlight    bool
	starts      int // number of its starts by this member
}

// Attempt returns the number of the present handler start, from 1. It counts from the first failure on, over all processes.
func (r *Record) Attempt() int { return r.attempts + 1 }

// Redelivered reports whether a handler may have been started for the record before.
func (r *Record) Redelivered() bool { return r.attempts > 0 || r.redelivered }

// Start returns the number of the present start by this member, from 1. A late outcome has that of an earlier start.
func (r *Record) Start() int { return r.starts }

// Partition returns the lease under which the record is delivered.
func (r *Record) Partition() *Partition { return r.queue.chat.p }

// Deadline returns when no handler is started with the record any more, unless the lease is renewed.
func (r *Record) Deadline() time.Time { return r.queue.chat.p.deadline }

// IsLate reports whether the lease of a delivered record has passed its deadline without a renewal: another member may own the partition.
func (r *Record) IsLate(now time.Time) bool { return r.queue == nil || !now.Before(r.Deadline()) }

// Letter returns the id of the dead letter that the record is, "" if it is none.
func (r *Record) Letter() string { return r.letter }

// IsRetried reports whether the record is a dead letter that is retried, in order or out of order.
func (r *Record) IsRetried() bool { return r.letter != "" || r.ordered != "" }

// FromLog reports whether the record was read from the log, not from the stream or the dead letters.
func (r *Record) FromLog() bool { return r.ID.IsZero() && r.letter == "" }
