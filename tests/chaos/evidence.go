package chaos

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"chatcore/domain"
)

// Logged is an event as the log holds it.
type Logged struct {
	Place
	Ref     string         // the message or the command that it was recorded for
	Attempt string         // correlation id of the attempt that recorded it
	What    domain.Durable // nil in tests that do not use it
}

// digest identifies an event's content.
func digest(e domain.Event) string {
	if e == nil {
		return ""
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%T%+v", e, e)
	return fmt.Sprintf("%016x", h.Sum64())
}

// text returns the content of a message after an event; "" if the event has none.
func text(e domain.Durable) string {
	switch e := e.(type) {
	case domain.MessageNew:
		return string(e.Content)
	case domain.MessageEdit:
		return string(e.Content)
	}
	return ""
}

// Answer is the answer to a writer.
type Answer string

// The answers to a command that appends.
const (
	Acknowledged Answer = "acknowledged"
	Unconfirmed  Answer = "unconfirmed" // it is there, but no replica has said so
	Unknown      Answer = "unknown"     // until the end; Seq is 0
)

// Ack is the answer to one command.
type Ack struct {
	Answer Answer
	Chat   domain.ChatID
	Seq    domain.Seq // of its last event
	Ref    string     // its message id or command id
	Text   string     // of the message that it sends; "" for other commands
	Asked  time.Time  // when the attempt that got the answer began
	At     time.Time  // of the answer
}

// NotDone is an attempt of a command whose error says that nothing was appended.
type NotDone struct {
	Chat    domain.ChatID
	Ref     string
	Attempt string // its correlation id
	Err     string
}

// Window is a time in which something was so.
type Window struct{ From, To time.Time }

// Ending is a time in which something else than an owner or the end of its lease ended leases: a clock that jumped, a rebuild of the group, a repair.
type Ending struct {
	Window
	Group string // "" for all groups
}

// overlaps reports whether anything of a time lies in the window.
func (w Window) overlaps(from, to time.Time) bool { return !from.After(w.To) && !to.Before(w.From) }

// overlap reports whether a time overlaps any of the windows.
func overlap(windows []Window, from, to time.Time) bool {
	return slices.ContainsFunc(windows, func(w Window) bool { return w.overlaps(from, to) })
}

// Restore is a restore in place. Events appended after the dump are a declared loss.
type Restore struct {
	Dumped  time.Time                  // before the dump began
	Begun   time.Time                  // before the older data was put in place
	Done    time.Time                  // when the older data was there
	Noticed time.Time                  // when every process had noticed
	Evicted bool                       // keys were evicted between Begun and Done
	Log     map[domain.ChatID][]Logged // the log as it was dumped
}

// has reports whether an event was in the dump.
func (r Restore) has(p Place) bool {
	log := r.Log[p.Chat]
	return p.Seq >= 1 && p.Seq <= domain.Seq(len(log)) && log[p.Seq-1].Place == p
}

// Evidence is all that is known when a run has ended.
type Evidence struct {
	LogID    string
	Log      map[domain.ChatID][]Logged // in the order of the log
	Groups   []string                   // each has an effect for every event
	Outside  []string                   // those of them whose handlers are in programs that own no partition
	Acks     []Ack
	NotDone  []NotDone
	Marks    []MarkAnswer
	Records  []Record
	Restores []Restore // one for each record that is Restored
	// Lossy is set if a master could be lost before its replica had its writes: an unacknowledged event may then be gone, with an effect or without.
	Lossy bool
	// Freezes is how often a worker was frozen. Each time it may have been just about to call a handler.
	Freezes  int
	Endings  []Ending // of leases, before their time
	Restarts []Window // a server was started again, which may have lost its last writes as far as clients can know
	Denied   []Window // the user of the cores lacked a right
	Stale    []Window // a server that was no longer master may have answered reads
	Damaged  []Window // keys were missing, or an append was half done

	Reads    []Read
	Heard    []Heard
	Feeds    []Feed
	Letters  []Letter
	Poison   func(group string, chat domain.ChatID, seq domain.Seq) Toxin // nil: no event is poisoned
	Attempts int                                                          // after which an event is a dead letter
	Effects  map[domain.ChatID]map[string]string                          // of Core.Once: event, as [Place.field] → count; nil: not checked
	Presence *Presence                                                    // nil: not checked
	Unmended []string                                                     // contradictions that the check of the log found when nothing was to be found
	Corrupt  []Failure                                                    // calls that found the log corrupt
}

// Failure is a call that failed.
type Failure struct {
	Asked, At time.Time
	Err       string
	Lost      bool // it says that the log is another one; otherwise that it is corrupt
}

// evicted reports whether keys were missing, for being evicted, at some moment of a time.
func (e *Evidence) evicted(from, to time.Time) bool {
	return slices.ContainsFunc(e.Restores, func(r Restore) bool { return r.Evicted && Window{r.Begun, r.Noticed}.overlaps(from, to) })
}

// mayBeGone reports whether an event that was there at a time may be missing from the log at the end.
func (e *Evidence) mayBeGone(p Place, from, to time.Time) bool {
	return e.Lossy || slices.ContainsFunc(e.Restores, func(r Restore) bool {
		return Window{r.Dumped, r.Done}.overlaps(from, to) && !r.has(p)
	})
}

// Around are the records that led to a violation, and those of its event and its neighbours.
func (e Evidence) Around(v Violation) []Record {
	const near, most = 2, 20
	var around []Record
	for i, r := range e.Records {
		if r.Chat == v.Chat && r.Group == v.Group && (v.Record >= 0 && i <= v.Record || r.Seq+near >= v.Seq && r.Seq <= v.Seq+near) {
			around = append(around, r)
		}
	}
	return around[max(0, len(around)-most):]
}
