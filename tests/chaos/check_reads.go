package chaos

import (
	"slices"
	"time"

	"chatcore/domain"
)

// Promises about reads.
const (
	ReadReal Rule = "a read returns data that the log has or had"
	ReadLate Rule = "a read returns at least the events acknowledged, and those read by the same reader, before its call"
)

// Read is the end of a chat as a query gave it.
type Read struct {
	Reader    string
	Chat      domain.ChatID
	Asked, At time.Time
	Events    []Seen        // of the log, the newest first
	Messages  []SeenMessage // in their present state, the newest first
}

// Seen is an event that a read gave.
type Seen struct {
	Place
	Content string
}

// SeenMessage is a message that a read gave.
type SeenMessage struct {
	ID   domain.MessageID
	Seq  domain.Seq
	Text string // "" if it is deleted
}

// reads holds reads against the log. A state that the log has had is a beginning of it: an event that was read is in the log, at its place.
func (c *checker) reads() {
	known := c.knowledge()
	type readerOf struct {
		reader string
		chat   domain.ChatID
	}
	seen := make(map[readerOf]Read) // the read before
	for _, r := range c.Reads {
		c.pageOfEvents(r)
		c.pageOfMessages(r, known)
		if len(r.Events) == 0 {
			continue
		}
		if a, behind := known.behind(r); behind && !c.stale(r) {
			c.violated(ReadLate, r.Chat, a.Seq, "%s read up to seq %d at %s, and seq %d was acknowledged at %s",
				r.Reader, r.Events[0].Seq, r.At.Format("15:04:05.000"), a.Seq, a.At.Format("15:04:05.000"))
		}
		key := readerOf{r.Reader, r.Chat}
		if before, was := seen[key]; was && r.Events[0].Seq < before.Events[0].Seq && !c.mayBeGone(before.Events[0].Place, before.Asked, before.At) && !c.stale(r) {
			c.violated(ReadLate, r.Chat, r.Events[0].Seq, "%s read up to seq %d at %s, and to seq %d before", r.Reader, r.Events[0].Seq, r.At.Format("15:04:05.000"), before.Events[0].Seq)
		}
		seen[key] = r
	}
}

// knowledge holds the facts that readers may rely on: events that were acknowledged and are in the log, and the log by messages.
type knowledge struct {
	acked    map[domain.ChatID][]Ack // by time, each the highest so far
	at       map[Place]time.Time     // of the first acknowledgment
	messages map[messageOf][]Logged
}

type messageOf struct {
	chat    domain.ChatID
	message domain.MessageID
}

func (c *checker) knowledge() knowledge {
	k := knowledge{make(map[domain.ChatID][]Ack), make(map[Place]time.Time), make(map[messageOf][]Logged)}
	for chat, log := range c.Log {
		for _, l := range log {
			if message := about(l.What); message != "" {
				key := messageOf{chat, message}
				k.messages[key] = append(k.messages[key], l)
			}
		}
	}
	for _, a := range slices.SortedStableFunc(slices.Values(c.Acks), func(a, b Ack) int { return a.At.Compare(b.At) }) {
		l, there := c.at(a.Chat, a.Seq)
		if a.Answer != Acknowledged || !there || l.Ref != a.Ref {
			continue
		}
		if _, twice := k.at[l.Place]; !twice {
			k.at[l.Place] = a.At
		}
		if acked := k.acked[a.Chat]; len(acked) == 0 || acked[len(acked)-1].Seq < a.Seq {
			k.acked[a.Chat] = append(acked, a)
		}
	}
	return k
}

// behind returns an event that was acknowledged before a read was asked for and that the read did not reach.
func (k knowledge) behind(r Read) (Ack, bool) {
	acked := k.acked[r.Chat]
	n, _ := slices.BinarySearchFunc(acked, r.Asked, func(a Ack, asked time.Time) int { return a.At.Compare(asked) })
	if n == 0 || acked[n-1].Seq <= r.Events[0].Seq {
		return Ack{}, false
	}
	return acked[n-1], true
}

// stale reports whether a server may have answered that is no longer master, or from which keys were evicted: a chat whose head is gone looks as if it had
// never been.
func (c *checker) stale(r Read) bool {
	return overlap(c.Stale, r.Asked, r.At) || c.evicted(r.Asked, r.At)
}

// pageOfEvents looks for each event that was read in the log.
func (c *checker) pageOfEvents(r Read) {
	for i, s := range r.Events {
		if i > 0 && s.Seq != r.Events[i-1].Seq-1 {
			c.violated(ReadReal, r.Chat, s.Seq, "%s read seq %d behind seq %d", r.Reader, s.Seq, r.Events[i-1].Seq)
		}
		l, there := c.byID[s.Event]
		switch {
		case there && l.Place == s.Place && digest(l.What) == s.Content:
		case there && l.Place == s.Place:
			c.violated(ReadReal, r.Chat, s.Seq, "%s read seq %d with content %s, the log has %s", r.Reader, s.Seq, s.Content, digest(l.What))
		case !c.mayBeGone(s.Place, r.Asked, r.At):
			c.violated(ReadReal, r.Chat, s.Seq, "%s read %s at %s, which the log does not have", r.Reader, s.Place, r.At.Format("15:04:05.000"))
		}
	}
}

// pageOfMessages compares the contents of messages with those since the latest acknowledged event about them.
func (c *checker) pageOfMessages(r Read, known knowledge) {
	for _, m := range r.Messages {
		log := known.messages[messageOf{r.Chat, m.ID}]
		least := domain.Seq(0)
		for _, l := range log {
			if at, acked := known.at[l.Place]; acked && at.Before(r.Asked) {
				least = max(least, l.Seq)
			}
		}
		if latest, said := m.latest(log); !said && !c.lostMeanwhile(r) {
			c.violated(ReadReal, r.Chat, m.Seq, "%s read message %q as %q at %s, which it never said", r.Reader, m.ID, m.Text, r.At.Format("15:04:05.000"))
		} else if said && latest < least && !c.stale(r) {
			c.violated(ReadLate, r.Chat, m.Seq, "%s read message %q at %s as %q, and seq %d, which changed it, was acknowledged before", r.Reader, m.ID, r.At.Format("15:04:05.000"), m.Text, least)
		}
	}
}

// latest returns the last seq, among the events about a message, up to which it had the content that was read. An event that changes nothing of its
// text belongs to the text before.
func (m SeenMessage) latest(log []Logged) (latest domain.Seq, said bool) {
	says := false
	for _, l := range log {
		switch e := l.What.(type) {
		case domain.MessageNew:
			says = text(e) == m.Text && m.Seq == l.Seq
		case domain.MessageEdit:
			says = text(e) == m.Text
		case domain.MessageDelete:
			says = m.Text == ""
		}
		if says {
			latest, said = l.Seq, true
		}
	}
	return latest, said
}

// lostMeanwhile reports whether the data that was read may have been lost since. Folded states may live in a process until it has noticed a restore.
func (c *checker) lostMeanwhile(r Read) bool {
	for _, x := range c.Restores {
		if (Window{x.Dumped, x.Noticed}).overlaps(r.Asked, r.At) {
			return true
		}
	}
	return c.Lossy
}

// about is the message that an event is about, "" if it is about none.
func about(e domain.Durable) domain.MessageID {
	switch e := e.(type) {
	case domain.MessageNew:
		return e.Message
	case domain.MessageEdit:
		return e.Message
	case domain.MessageDelete:
		return e.Message
	case domain.MessageReaction:
		return e.Message
	}
	return ""
}
