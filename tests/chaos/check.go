package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
)

// Logged is an event as the log holds it at the end.
type Logged struct {
	Place
	Ref string // the message or the command that it was recorded for
}

// Answer is what a writer was told.
type Answer string

// What a writer may be told of a command that appends.
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
	At     time.Time
}

// Evidence is all that is known when a run has ended.
type Evidence struct {
	LogID   string
	Log     map[domain.ChatID][]Logged // in the order of the log
	Acks    []Ack
	Records []Record
	// Lossy says that a master could be lost before its replica had what it took: an event that nobody was told to be there may then be
	// gone, with an effect or without.
	Lossy bool
	// Freezes is how often a worker was frozen. Each time it may have been just about to call a handler.
	Freezes int
}

// Rule is a promise that can be broken.
type Rule string

// The promises.
const (
	Dense        Rule = "the log's seqs are 1, 2, 3, …"
	Unique       Rule = "an event is in the log once"
	Kept         Rule = "what was acknowledged is in the log"
	Effective    Rule = "every event has its effect"
	Displaced    Rule = "an event has its effect though Redis lost another one of its seq that had one"
	Ordered      Rule = "effects come in the order of the log"
	Once         Rule = "an event has its effect once"
	Real         Rule = "an effect is that of an event in the log"
	FencedOff    Rule = "no effect under a lower epoch after one under a higher"
	OneAtATime   Rule = "the handler of an event starts when the event before has had its effect"
	NoInterleave Rule = "no handlers of two epochs take turns"
	OneOwner     Rule = "an epoch has one owner"
	StartedFirst Rule = "an effect is that of a handler that was started"
	Announced    Rule = "a delivery that was started before says so"
	Superseded   Rule = "an owner calls no handler once a later one has, but for what was on its way when it froze"
)

// Violation is a broken promise.
type Violation struct {
	Rule   Rule
	Chat   domain.ChatID
	Seq    domain.Seq
	Detail string
	Record int // the place of the record that broke it, or −1
}

func (v Violation) String() string { return fmt.Sprintf("%s: chat %s: %s", v.Rule, v.Chat, v.Detail) }

// Around are the records that led to a violation, and those of its event and its neighbours.
func (e Evidence) Around(v Violation) []Record {
	const near, most = 2, 20
	var around []Record
	for i, r := range e.Records {
		if r.Chat == v.Chat && (v.Record >= 0 && i <= v.Record || r.Seq+near >= v.Seq && r.Seq <= v.Seq+near) {
			around = append(around, r)
		}
	}
	return around[max(0, len(around)-most):]
}

// Losses are events that Redis itself lost and that were not acknowledged: no violations.
type Losses struct {
	Unconfirmed []Ack    // gone after [Unconfirmed]
	Effects     []Record // made by events that are gone
}

// Check proves that no promise was broken, or says which were.
func Check(e Evidence) ([]Violation, Losses) {
	c := checker{Evidence: e, byID: make(map[domain.EventID]Logged)}
	for _, chat := range slices.Sorted(maps.Keys(e.Log)) {
		c.log(chat, e.Log[chat])
	}
	c.acks()
	records := make(map[domain.ChatID][]numbered)
	for i, r := range e.Records {
		records[r.Chat] = append(records[r.Chat], numbered{r, i})
	}
	chats := maps.Clone(records)
	for chat := range e.Log {
		chats[chat] = records[chat]
	}
	for _, chat := range slices.Sorted(maps.Keys(chats)) {
		c.chat(chat, records[chat])
	}
	if len(c.late) > c.Freezes {
		c.found = append(c.found, c.late...)
	}
	return c.found, c.lost
}

// numbered is a record with its place among all.
type numbered struct {
	Record
	place int
}

type checker struct {
	Evidence
	byID  map[domain.EventID]Logged
	found []Violation
	late  []Violation // of [Superseded], which single ones are not
	lost  Losses
}

func (c *checker) violated(rule Rule, chat domain.ChatID, seq domain.Seq, record int, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, Chat: chat, Seq: seq, Detail: fmt.Sprintf(format, args...), Record: record})
}

func (c *checker) log(chat domain.ChatID, log []Logged) {
	for i, l := range log {
		if want := domain.Seq(i) + 1; l.Seq != want { //nolint:gosec // an index
			c.violated(Dense, chat, l.Seq, -1, "event %d of the log has seq %d", want, l.Seq)
		}
		if other, twice := c.byID[l.Event]; twice {
			c.violated(Unique, chat, l.Seq, -1, "event %s is %s and %s", l.Event, other.Place, l.Place)
		}
		c.byID[l.Event] = l
	}
}

// acks looks for each answer's event by its seq. Which command it was recorded for tells whether it is the one that was acknowledged.
func (c *checker) acks() {
	for _, a := range c.Acks {
		if a.Answer == Unknown {
			continue
		}
		there, found := c.at(a.Chat, a.Seq)
		switch {
		case found && there.Ref == a.Ref:
		case a.Answer == Unconfirmed && c.Lossy:
			c.lost.Unconfirmed = append(c.lost.Unconfirmed, a)
		case found:
			c.violated(Kept, a.Chat, a.Seq, -1, "seq %d was acknowledged for %q, the log has %q there", a.Seq, a.Ref, there.Ref)
		default:
			c.violated(Kept, a.Chat, a.Seq, -1, "seq %d was acknowledged for %q, the log ends at %d", a.Seq, a.Ref, len(c.Log[a.Chat]))
		}
	}
}

// at gives the event with a seq.
func (c *checker) at(chat domain.ChatID, seq domain.Seq) (Logged, bool) {
	log := c.Log[chat]
	i, found := slices.BinarySearchFunc(log, seq, func(l Logged, seq domain.Seq) int { return int(l.Seq) - int(seq) }) //nolint:gosec // small
	if !found {
		return Logged{}, false
	}
	return log[i], true
}

// inLog reports whether a delivery is that of an event in the log.
func (c *checker) inLog(d Delivery) bool {
	l, there := c.byID[d.Event]
	return there && l.Place == d.Place && d.Log == c.LogID
}

// chat goes through the records of one chat.
func (c *checker) chat(chat domain.ChatID, records []numbered) {
	made := make(map[domain.Seq]bool)
	taken := make(map[domain.Seq]bool)    // by an event that had its effect and was lost
	owners := make(map[uint64]string)     // by epoch
	starts := make(map[Delivery]numbered) // the latest of each
	early := make(map[domain.Seq]bool)    // told as such
	begun := make(map[domain.Seq]uint64)  // the epoch of the first start
	terms := make(map[uint64]time.Time)   // the first start of each epoch
	var accepted []numbered               // starts whose effects were made
	var last, highest numbered            // effects: that of the latest seq, that of the highest epoch
	for _, r := range records {
		if r.Epoch > 0 {
			if owner, owned := owners[r.Epoch]; owned && owner != r.Worker {
				c.violated(OneOwner, chat, r.Seq, r.place, "epoch %d is of %s and of %s", r.Epoch, owner, r.Worker)
			}
			owners[r.Epoch] = r.Worker
		}
		if !c.inLog(r.Delivery) {
			if c.strange(chat, r) {
				taken[r.Seq] = true
			}
			continue
		}
		switch r.Outcome {
		case Started:
			starts[r.Delivery] = r
			c.repeated(r, begun)
			c.superseded(r, terms)
			if r.Seq > 1 && !made[r.Seq-1] && !taken[r.Seq-1] && !early[r.Seq] {
				early[r.Seq] = true
				c.violated(OneAtATime, chat, r.Seq, r.place, "the handler of seq %d started at %s when seq %d had had no effect", r.Seq, r.Worker, r.Seq-1)
			}
		case Made:
			if start, started := starts[r.Delivery]; started {
				accepted = append(accepted, start)
			} else {
				c.violated(StartedFirst, chat, r.Seq, r.place, "seq %d has an effect at %s, and no handler was started", r.Seq, r.Worker)
			}
			if made[r.Seq] {
				c.violated(Once, chat, r.Seq, r.place, "seq %d has a second effect, at %s under epoch %d", r.Seq, r.Worker, r.Epoch)
			} else if r.Seq < last.Seq {
				c.violated(Ordered, chat, r.Seq, r.place, "the effect of seq %d (%s, epoch %d) comes after that of seq %d (%s, epoch %d)",
					r.Seq, r.Worker, r.Epoch, last.Seq, last.Worker, last.Epoch)
			}
			if r.Epoch < highest.Epoch {
				c.violated(FencedOff, chat, r.Seq, r.place, "seq %d has its effect under epoch %d (%s) after seq %d had its under epoch %d (%s)",
					r.Seq, r.Epoch, r.Worker, highest.Seq, highest.Epoch, highest.Worker)
			}
			made[r.Seq] = true
			if r.Seq > last.Seq {
				last = r
			}
			if r.Epoch > highest.Epoch {
				highest = r
			}
		case Already, Fenced: // told the worker that it came late
		}
	}
	c.takingTurns(chat, accepted)
	for _, l := range c.Log[chat] {
		rule := Effective
		if taken[l.Seq] {
			rule = Displaced
		}
		if !made[l.Seq] {
			c.violated(rule, chat, l.Seq, -1, "seq %d (%s, for %q) has no effect", l.Seq, l.Event, l.Ref)
		}
	}
}

// strange is a record of something that is not in the log. It reports whether that was an effect and Redis may have lost the event.
func (c *checker) strange(chat domain.ChatID, r numbered) bool {
	switch {
	case r.Outcome != Made:
	case c.Lossy && r.Log == c.LogID:
		c.lost.Effects = append(c.lost.Effects, r.Record)
		return true
	default:
		c.violated(Real, chat, r.Seq, r.place, "%s of log %s had an effect at %s and is not in log %s", r.Place, r.Log, r.Worker, c.LogID)
	}
	return false
}

// repeated looks at a start of an event that may have had one before. An owner that was superseded cannot know.
func (c *checker) repeated(r numbered, begun map[domain.Seq]uint64) {
	epoch, before := begun[r.Seq]
	if !before {
		begun[r.Seq] = r.Epoch
	} else if r.Epoch >= epoch && r.Attempt == 1 && !r.Redelivered {
		c.violated(Announced, r.Chat, r.Seq, r.place, "seq %d was started before, under epoch %d, and is given to %s under epoch %d as new", r.Seq, epoch, r.Worker, r.Epoch)
	}
}

// superseded looks at a start by an owner that another one has come after.
func (c *checker) superseded(r numbered, terms map[uint64]time.Time) {
	if _, there := terms[r.Epoch]; !there {
		terms[r.Epoch] = r.At
	}
	for epoch, since := range terms {
		if epoch > r.Epoch && r.Entered.After(since) {
			c.late = append(c.late, Violation{
				Rule: Superseded, Chat: r.Chat, Seq: r.Seq, Record: r.place,
				Detail: fmt.Sprintf("%s called the handler of seq %d under epoch %d, %v after one was called under epoch %d", r.Worker, r.Seq, r.Epoch, r.Entered.Sub(since), epoch),
			})
			return
		}
	}
}

// takingTurns looks at the starts of handlers whose effects were made: once a later epoch has begun, an earlier one starts nothing more.
func (c *checker) takingTurns(chat domain.ChatID, accepted []numbered) {
	slices.SortFunc(accepted, func(a, b numbered) int { return a.place - b.place })
	for i, r := range accepted {
		if i > 0 && r.Epoch < accepted[i-1].Epoch {
			before := accepted[i-1]
			c.violated(NoInterleave, chat, r.Seq, r.place, "the handler of seq %d started under epoch %d (%s) after that of seq %d under epoch %d (%s)",
				r.Seq, r.Epoch, r.Worker, before.Seq, before.Epoch, before.Worker)
		}
	}
}
