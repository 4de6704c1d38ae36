package chaos

import (
	"fmt"
	"maps"
	"slices"

	"chatcore/domain"
)

// Rule is a promise that can be broken.
type Rule string

// Promises about the log and about answers.
const (
	Dense   Rule = "the log's seqs are 1, 2, 3, …"
	Unique  Rule = "an event is in the log once"
	Kept    Rule = "acknowledged events are in the log"
	Said    Rule = "an acknowledged message has the content that was sent"
	Nothing Rule = "an attempt whose error says that nothing was appended has appended nothing"
	Lawful  Rule = "an event follows from the events before it"
	Sound   Rule = "a check of the log finds nothing after a repair, and at the end"
	Whole   Rule = "the log is corrupt or lost only while keys of it are missing"
)

// Violation is a broken promise.
type Violation struct {
	Rule   Rule
	Group  string // "" for a promise about no group
	Chat   domain.ChatID
	Seq    domain.Seq
	Detail string
	Record int // the place of the record that broke it, or −1
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: chat %s: %s", v.Rule, v.Chat, v.Detail)
}

// Losses are events that are gone and may be: no violations.
type Losses struct {
	Unconfirmed []Ack    // lost by Redis after [Unconfirmed]
	Restored    []Ack    // lost by a restore
	Effects     []Record // made by events that are gone
}

// Check proves that no promise was broken, or says which were.
func Check(e Evidence) ([]Violation, Losses) {
	c := checker{Evidence: e, byID: make(map[domain.EventID]Logged)}
	for _, chat := range slices.Sorted(maps.Keys(e.Log)) {
		c.log(chat, e.Log[chat])
	}
	c.answers()
	c.readMarks()
	for _, chat := range slices.Sorted(maps.Keys(e.Log)) {
		c.lawful(chat, e.Log[chat])
	}
	c.corrupt()
	for _, found := range e.Unmended {
		c.violated(Sound, "", 0, "%s", found)
	}
	c.deliveries()
	c.reads()
	c.heard()
	c.fed()
	c.letters()
	c.effects()
	c.presence()
	return c.found, c.lost
}

type checker struct {
	Evidence
	byID  map[domain.EventID]Logged
	found []Violation
	late  []Violation // of [Superseded], which single ones are not
	lost  Losses
	marks []numbered // in their order
}

func (c *checker) violated(rule Rule, chat domain.ChatID, seq domain.Seq, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, Chat: chat, Seq: seq, Detail: fmt.Sprintf(format, args...), Record: -1})
}

func (c *checker) log(chat domain.ChatID, log []Logged) {
	for i, l := range log {
		if want := domain.Seq(i) + 1; l.Seq != want { //nolint:gosec // an index
			c.violated(Dense, chat, l.Seq, "event %d of the log has seq %d", want, l.Seq)
		}
		if other, twice := c.byID[l.Event]; twice {
			c.violated(Unique, chat, l.Seq, "event %s is %s and %s", l.Event, other.Place, l.Place)
		}
		c.byID[l.Event] = l
	}
}

// at gives the event with a seq.
func (c *checker) at(chat domain.ChatID, seq domain.Seq) (Logged, bool) {
	return find(c.Log[chat], seq)
}

func find(log []Logged, seq domain.Seq) (Logged, bool) {
	i, found := slices.BinarySearchFunc(log, seq, func(l Logged, seq domain.Seq) int { return int(l.Seq) - int(seq) }) //nolint:gosec // small
	if !found {
		return Logged{}, false
	}
	return log[i], true
}
