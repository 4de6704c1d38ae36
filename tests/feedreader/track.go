package feedreader

import (
	"fmt"
	"maps"

	"chatcore/domain"
)

// FaultKind is the kind of a [Fault].
type FaultKind string

// The kinds of faults.
const (
	Twice FaultKind = "an event comes twice"
	Back  FaultKind = "a feed goes back"
	Gap   FaultKind = "events are missing, and the feed does not say so"
	Stray FaultKind = "a message is of a chat that the feed does not follow"
	Alien FaultKind = "the feed is of another log, and does not say so"
)

// Fault is a message that breaks the order of a feed.
type Fault struct {
	Kind   FaultKind
	Place  int // of the message among those of the feed, from 0
	Chat   domain.ChatID
	Seq    domain.Seq
	Detail string
}

func (f Fault) String() string { return fmt.Sprintf("%s: chat %s: %s", f.Kind, f.Chat, f.Detail) }

// Position is the reader's place in a chat.
type Position struct {
	Seq   domain.Seq
	Known bool // otherwise the reader begins at the head
	Left  bool // the feed does not follow the chat any more
}

// Track follows the messages of one reader, over all of its connections, and finds those that break the order of each chat. It is not safe for concurrent use.
type Track struct {
	all     bool
	resumed bool
	log     string
	aliens  bool // the log is another one, and the feed has not said so yet
	place   int
	chats   map[domain.ChatID]Position
	given   map[domain.ChatID]map[domain.EventID]struct{} // since the chat was begun anew
}

// NewTrack returns the track of a reader that begins with positions. all says that the feed follows all chats of a user.
func NewTrack(all bool, positions map[domain.ChatID]Position) *Track {
	t := &Track{all: all, chats: maps.Clone(positions), given: make(map[domain.ChatID]map[domain.EventID]struct{})}
	if t.chats == nil {
		t.chats = make(map[domain.ChatID]Position)
	}
	return t
}

// Positions returns the positions after all messages. The map belongs to the track.
func (t *Track) Positions() map[domain.ChatID]Position { return t.chats }

// LogID returns the id of the log, or "" before a feed has stated one.
func (t *Track) LogID() string { return t.log }

// Take takes the next message, and returns its fault, or nil.
func (t *Track) Take(m Message) *Fault {
	f := t.take(m)
	if f != nil {
		f.Place = t.place
	}
	t.place++
	return f
}

func (t *Track) take(m Message) *Fault {
	switch m.Kind {
	case Opened:
		t.resumed = m.Resumed
		return nil
	case Started:
		t.aliens = t.log != "" && t.log != m.Log
		t.log = m.Log
		return nil
	case Ended, Status, Silence:
		return nil
	case Resync:
		return t.resync(m)
	case Joined:
		return t.join(m)
	case Event, CaughtUp, Skipped, Left, Typing:
	}
	p, known := t.chats[m.Chat]
	if unheard := !known && t.all && !t.resumed && m.Kind != Typing; p.Left || !known && !unheard {
		return fault(Stray, m, "%s at seq %d", m.Kind, m.Seq)
	}
	if m.Kind == Typing {
		return nil
	}
	if t.aliens {
		return fault(Alien, m, "%s at seq %d", m.Kind, m.Seq)
	}
	f := t.advance(m, p)
	t.chats[m.Chat] = Position{Seq: m.Seq, Known: true, Left: m.Kind == Left}
	if m.Kind != Event {
		return f
	}
	if _, again := t.given[m.Chat][m.ID]; again {
		return fault(Twice, m, "event %s at seq %d", m.ID, m.Seq)
	}
	if t.given[m.Chat] == nil {
		t.given[m.Chat] = make(map[domain.EventID]struct{})
	}
	t.given[m.Chat][m.ID] = struct{}{}
	return f
}

// advance checks a message against the position before it.
func (t *Track) advance(m Message, p Position) *Fault {
	next := m.Seq // the seq that the reader had to have before, and one
	switch m.Kind {
	case CaughtUp, Left:
		next = m.Seq + 1
	case Skipped:
		if next = m.From; m.Seq < m.From {
			return fault(Back, m, "skipped from %d to %d", m.From, m.Seq)
		}
	default:
	}
	switch {
	case !p.Known || next == p.Seq+1:
		return nil
	case next <= p.Seq:
		return fault(Back, m, "%s from seq %d after seq %d", m.Kind, next, p.Seq)
	}
	return fault(Gap, m, "%s from seq %d after seq %d", m.Kind, next, p.Seq)
}

func (t *Track) resync(m Message) *Fault {
	t.aliens = false
	if m.Chat == "" {
		clear(t.given)
		for chat, p := range t.chats {
			p.Known = p.Left
			t.chats[chat] = p
		}
		return nil
	}
	p, known := t.chats[m.Chat]
	delete(t.given, m.Chat)
	t.chats[m.Chat] = Position{Seq: m.Seq, Known: true}
	if p.Left || !known && (!t.all || t.resumed) {
		return fault(Stray, m, "resync to seq %d", m.Seq)
	}
	return nil
}

func (t *Track) join(m Message) *Fault {
	p, known := t.chats[m.Chat]
	t.chats[m.Chat] = Position{Seq: m.Seq, Known: true}
	switch {
	case !t.all:
		return fault(Stray, m, "joined at seq %d a feed of named chats", m.Seq)
	case known && !p.Left:
		return fault(Stray, m, "joined at seq %d, and followed before up to seq %d", m.Seq, p.Seq)
	case known && m.Seq < p.Seq:
		delete(t.given, m.Chat)
		return fault(Back, m, "joined at seq %d after seq %d", m.Seq, p.Seq)
	}
	return nil
}

func fault(kind FaultKind, m Message, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Chat: m.Chat, Seq: m.Seq, Detail: fmt.Sprintf(format, args...)}
}
