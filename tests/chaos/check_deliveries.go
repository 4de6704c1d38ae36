package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
)

// Promises about deliveries.
const (
	Effective    Rule = "every event has its effect"
	Displaced    Rule = "an event has its effect though Redis lost another one of its seq that had one"
	Ordered      Rule = "effects come in the order of the log"
	Once         Rule = "an event has its effect once"
	Real         Rule = "an effect is that of an event in the log"
	Exact        Rule = "a delivery has the content of the log"
	FencedOff    Rule = "no effect under a lower epoch after one under a higher"
	OneAtATime   Rule = "the handler of an event starts when the event before has had its effect"
	NoInterleave Rule = "no handlers of two epochs take turns"
	OneOwner     Rule = "an epoch has one owner"
	StartedFirst Rule = "an effect is that of a handler that was started"
	Announced    Rule = "a delivery that was started before says so"
	Superseded   Rule = "an owner calls no handler once a later one has, except for deliveries under way when it froze"
	Again        Rule = "a rebuild gives every event again"
)

// lease is how long an owner has a partition after its last heartbeat: the default.
const lease = 3 * time.Second

// numbered is a record with its place among all.
type numbered struct {
	Record
	place int
}

// stream is a chat as a group was given it.
type stream struct {
	group string
	chat  domain.ChatID
}

// deliveries goes through the records, chat by chat of each group.
func (c *checker) deliveries() {
	records := make(map[stream][]numbered)
	for i, r := range c.Records {
		if !r.Outcome.ofChat() {
			c.marks = append(c.marks, numbered{r, i})
			continue
		}
		s := stream{r.Group, r.Chat}
		records[s] = append(records[s], numbered{r, i})
	}
	for _, group := range c.Groups {
		chats := make(map[domain.ChatID]struct{})
		for s := range records {
			if s.group == group {
				chats[s.chat] = struct{}{}
			}
		}
		for chat := range c.Log {
			chats[chat] = struct{}{}
		}
		for _, chat := range slices.Sorted(maps.Keys(chats)) {
			d := c.newDeliveries(stream{group, chat})
			d.check(records[d.stream])
		}
	}
	if len(c.late) > c.Freezes {
		c.found = append(c.found, c.late...)
	}
}

// deliveries are the records of a stream, one after another.
type deliveries struct {
	*checker
	stream
	outside  bool // the handlers are in programs that own no partition: an epoch has several of them, which may call a handler late
	made     map[domain.Seq]bool
	taken    map[domain.Seq]bool   // by an event that had its effect and was lost
	started  map[domain.Seq]int    // place of the latest start
	starts   map[Delivery]numbered // the latest of each
	early    map[domain.Seq]bool   // reported
	begun    map[domain.Seq]uint64 // the epoch of the first start
	accepted []numbered            // starts whose effects were made
	last     numbered              // the effect of the latest seq
	tenure
}

// tenure is the state since epochs began last.
type tenure struct {
	owners  map[uint64]string    // by epoch
	first   map[uint64]time.Time // start of each epoch
	highest numbered             // the effect of the highest epoch
}

func newTerm() tenure {
	return tenure{owners: make(map[uint64]string), first: make(map[uint64]time.Time)}
}

func (c *checker) newDeliveries(s stream) *deliveries {
	return &deliveries{
		checker: c, stream: s, outside: slices.Contains(c.Outside, s.group), tenure: newTerm(),
		made: make(map[domain.Seq]bool), taken: make(map[domain.Seq]bool), started: make(map[domain.Seq]int), starts: make(map[Delivery]numbered),
		early: make(map[domain.Seq]bool), begun: make(map[domain.Seq]uint64),
	}
}

func (d *deliveries) violated(rule Rule, seq domain.Seq, record int, format string, args ...any) {
	d.found = append(d.found, Violation{Rule: rule, Group: d.group, Chat: d.chat, Seq: seq, Detail: fmt.Sprintf(format, args...), Record: record})
}

func (d *deliveries) check(records []numbered) {
	marks := d.marks
	for _, r := range records {
		for ; len(marks) > 0 && marks[0].place < r.place; marks = marks[1:] {
			d.mark(marks[0])
		}
		d.record(r)
	}
	for _, m := range marks {
		d.mark(m)
	}
	d.takingTurns()
	rebuilt := d.rebuilt()
	for _, l := range d.Log[d.chat] {
		rule := Effective
		if d.taken[l.Seq] {
			rule = Displaced
		}
		if !d.made[l.Seq] {
			d.violated(rule, l.Seq, -1, "seq %d (%s, for %q) has no effect", l.Seq, l.Event, l.Ref)
		} else if d.started[l.Seq] < rebuilt {
			d.violated(Again, l.Seq, -1, "seq %d (%s) was not started after the rebuild at record %d", l.Seq, l.Event, rebuilt)
		}
	}
}

// mark notes that older data was restored, or that a group may have lost its state. After a rebuild events still say that they were started before.
func (d *deliveries) mark(m numbered) {
	if m.Outcome == Rebuilt {
		return
	}
	d.takingTurns()
	d.accepted, d.tenure = nil, newTerm()
	clear(d.begun)
}

// rebuilt is the place of the latest rebuild of the group, 0 if there is none that counts: older data that came back knows of none.
func (d *deliveries) rebuilt() int {
	for _, m := range slices.Backward(d.marks) {
		switch {
		case m.Outcome == Restored:
			return 0
		case m.Outcome == Rebuilt && m.Group == d.group:
			return m.place
		}
	}
	return 0
}

func (d *deliveries) record(r numbered) {
	if r.Epoch > 0 && !d.outside {
		if owner, owned := d.owners[r.Epoch]; owned && owner != r.Worker {
			d.violated(OneOwner, r.Seq, r.place, "epoch %d is of %s and of %s", r.Epoch, owner, r.Worker)
		}
		d.owners[r.Epoch] = r.Worker
	}
	if !d.inLog(r) {
		if d.strange(r) {
			d.taken[r.Seq] = true
		}
		return
	}
	switch r.Outcome {
	case Started:
		d.start(r)
	case Made:
		d.effect(r)
	default: // Already and Fenced show the worker that it was late
	}
}

// inLog reports whether a delivery is that of an event in the log.
func (d *deliveries) inLog(r numbered) bool {
	l, there := d.byID[r.Event]
	if there = there && l.Place == r.Place && r.Log == d.LogID; there && r.Outcome == Started && r.Content != "" && r.Content != digest(l.What) {
		d.violated(Exact, r.Seq, r.place, "%s was given seq %d with content %s, the log has %s", r.Worker, r.Seq, r.Content, digest(l.What))
	}
	return there
}

func (d *deliveries) start(r numbered) {
	d.starts[r.Delivery] = r
	d.started[r.Seq] = r.place
	d.repeated(r)
	d.superseded(r)
	if r.Seq > 1 && !d.made[r.Seq-1] && !d.taken[r.Seq-1] && !d.early[r.Seq] {
		d.early[r.Seq] = true
		d.violated(OneAtATime, r.Seq, r.place, "the handler of seq %d started at %s when seq %d had had no effect", r.Seq, r.Worker, r.Seq-1)
	}
}

func (d *deliveries) effect(r numbered) {
	if start, started := d.starts[r.Delivery]; started {
		d.accepted = append(d.accepted, start)
	} else {
		d.violated(StartedFirst, r.Seq, r.place, "seq %d has an effect at %s, and no handler was started", r.Seq, r.Worker)
	}
	if d.made[r.Seq] {
		d.violated(Once, r.Seq, r.place, "seq %d has a second effect, at %s under epoch %d", r.Seq, r.Worker, r.Epoch)
	} else if r.Seq < d.last.Seq {
		d.violated(Ordered, r.Seq, r.place, "the effect of seq %d (%s, epoch %d) comes after that of seq %d (%s, epoch %d)",
			r.Seq, r.Worker, r.Epoch, d.last.Seq, d.last.Worker, d.last.Epoch)
	}
	if r.Epoch < d.highest.Epoch {
		d.violated(FencedOff, r.Seq, r.place, "seq %d has its effect under epoch %d (%s) after seq %d had its under epoch %d (%s)",
			r.Seq, r.Epoch, r.Worker, d.highest.Seq, d.highest.Epoch, d.highest.Worker)
	}
	d.made[r.Seq] = true
	if r.Seq > d.last.Seq {
		d.last = r
	}
	if r.Epoch > d.highest.Epoch {
		d.highest = r
	}
}

// strange is a record of something that is not in the log. It reports whether that was an effect and Redis may have lost the event.
func (d *deliveries) strange(r numbered) bool {
	switch {
	case r.Outcome != Made:
	case d.Lossy && r.Log == d.LogID:
		d.lost.Effects = append(d.lost.Effects, r.Record)
		return true
	case r.Log == d.LogID && d.restoredAfter(r):
		d.lost.Effects = append(d.lost.Effects, r.Record)
	default:
		d.violated(Real, r.Seq, r.place, "%s of log %s had an effect at %s and is not in log %s", r.Place, r.Log, r.Worker, d.LogID)
	}
	return false
}

// restoredAfter reports whether a restore lost the event of a record.
func (d *deliveries) restoredAfter(r numbered) bool {
	i := 0
	for _, m := range d.marks {
		if m.Outcome != Restored {
			continue
		}
		if m.place > r.place && i < len(d.Restores) && !d.Restores[i].has(r.Place) {
			return true
		}
		i++
	}
	return false
}

// repeated checks a start of an event that may have had one before. A superseded owner cannot know.
func (d *deliveries) repeated(r numbered) {
	epoch, before := d.begun[r.Seq]
	if d.outside {
		return
	}
	if !before {
		d.begun[r.Seq] = r.Epoch
		return
	}
	if r.Epoch >= epoch && r.Attempt == 1 && !r.Redelivered {
		d.violated(Announced, r.Seq, r.place, "seq %d was started before, under epoch %d, and is given to %s under epoch %d as new", r.Seq, epoch, r.Worker, r.Epoch)
	}
}

// superseded checks a start by an owner that has a successor.
func (d *deliveries) superseded(r numbered) {
	if _, there := d.first[r.Epoch]; !there {
		d.first[r.Epoch] = r.At
	}
	if d.outside || d.endedEarly(r) {
		return
	}
	for epoch, since := range d.first {
		if epoch > r.Epoch && r.Entered.After(since) {
			d.late = append(d.late, Violation{
				Rule: Superseded, Group: d.group, Chat: r.Chat, Seq: r.Seq, Record: r.place,
				Detail: fmt.Sprintf("%s called the handler of seq %d under epoch %d, %v after one was called under epoch %d", r.Worker, r.Seq, r.Epoch, r.Entered.Sub(since), epoch),
			})
			return
		}
	}
}

// endedEarly reports whether the lease of a start may have ended before its owner could know. The owner learns of it with its next commit, and stops at the
// latest when the lease ends by its own clock.
func (d *deliveries) endedEarly(r numbered) bool {
	return slices.ContainsFunc(d.Endings, func(e Ending) bool {
		return (e.Group == "" || e.Group == d.group) && e.overlaps(r.Entered.Add(-lease), r.Entered)
	})
}

// takingTurns checks the starts of handlers whose effects were made: once a later epoch has begun, an earlier one starts nothing more.
func (d *deliveries) takingTurns() {
	slices.SortFunc(d.accepted, func(a, b numbered) int { return a.place - b.place })
	for i, r := range d.accepted {
		if i > 0 && r.Epoch < d.accepted[i-1].Epoch {
			before := d.accepted[i-1]
			d.violated(NoInterleave, r.Seq, r.place, "the handler of seq %d started under epoch %d (%s) after that of seq %d under epoch %d (%s)",
				r.Seq, r.Epoch, r.Worker, before.Seq, before.Epoch, before.Worker)
		}
	}
}
