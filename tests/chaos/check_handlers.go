package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"chatcore/domain"
)

// Promises about dead letters and about Core.Once.
const (
	Deserved Rule = "only an event whose handler fails for good becomes a dead letter"
	Patient  Rule = "an event is a dead letter after the policy's attempts, not before"
	MadeOnce Rule = "Once makes an effect once"
	MadeAll  Rule = "Once has made the effect of every event"
	MadeReal Rule = "Once makes no effect of an event that is not in the log"
)

// Toxin says why an event's handler fails, until it is pardoned.
type Toxin int

// Why a handler fails.
const (
	Harmless Toxin = iota
	Lasting        // with an ordinary error, at each attempt
	Deadly         // with one that is marked as permanent
)

// String returns the name of the toxin.
func (x Toxin) String() string {
	switch x {
	case Harmless:
		return "harmless"
	case Lasting:
		return "lasting"
	case Deadly:
		return "deadly"
	}
	return "Toxin(" + strconv.Itoa(int(x)) + ")"
}

// Letter is a dead letter.
type Letter struct {
	Group    string
	Chat     domain.ChatID
	Seq      domain.Seq
	Attempts int
	Reason   string
}

func (c *checker) letters() {
	for _, l := range c.Letters {
		toxin := Harmless
		if c.Poison != nil {
			toxin = c.Poison(l.Group, l.Chat, l.Seq)
		}
		switch {
		case toxin == Harmless:
			c.violated(Deserved, l.Chat, l.Seq, "seq %d is a dead letter of %s after %d attempts: %s", l.Seq, l.Group, l.Attempts, l.Reason)
		case toxin == Lasting && l.Attempts < c.Attempts:
			c.violated(Patient, l.Chat, l.Seq, "seq %d is a dead letter of %s after %d attempts instead of %d", l.Seq, l.Group, l.Attempts, c.Attempts)
		}
	}
}

// field names the effect of an event.
func (p Place) field() string { return fmt.Sprintf("%d %s", p.Seq, p.Event) }

// effects counts the effects of Core.Once. If Redis loses acknowledged writes, an effect may be lost with them.
func (c *checker) effects() {
	if c.Effects == nil {
		return
	}
	logged := make(map[domain.ChatID]map[string]bool)
	for chat, log := range c.Log {
		logged[chat] = make(map[string]bool)
		for _, l := range log {
			logged[chat][l.field()] = true
			if _, made := c.Effects[chat][l.field()]; !made && !c.Lossy {
				c.violated(MadeAll, chat, l.Seq, "%s has none", l.Place)
			}
		}
	}
	for _, chat := range slices.Sorted(maps.Keys(c.Effects)) {
		for _, field := range slices.Sorted(maps.Keys(c.Effects[chat])) {
			if times := c.Effects[chat][field]; times != "1" {
				c.violated(MadeOnce, chat, 0, "the effect of %s was made %s times", field, times)
			}
			if !logged[chat][field] && !c.Lossy {
				c.violated(MadeReal, chat, 0, "the effect of %s was made", field)
			}
		}
	}
}
