package delivery

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// fact is the truth about an event of the log, or about an entry of another program.
type fact struct {
	uuid      string
	chat      string // "" for an entry of another program
	seq       domain.Seq
	key       string
	broken    bool // an entry of another program that cannot be read
	streamed  bool // it had an entry when it was appended, which no fault has removed
	lost      bool // a failover or an overrun has removed it before it was finished
	phantom   bool // an entry without an event
	begun     int  // handler starts
	attempts  int  // failed ones
	handled   bool // a handler has succeeded
	lettered  bool // a dead letter was stored
	letters   int  // dead letters of it that exist
	announced bool // a member has decided to make it a dead letter
	skipped   bool // an operator has dropped its dead letter, and so the event
}

func (f *fact) finished() bool { return f.handled || f.lettered || f.skipped }

// worldEntry is an entry of a simulated stream.
type worldEntry struct {
	id   groups.StreamID
	seq  domain.Seq
	half bool
	fact *fact
}

// worldChat is the log of one chat.
type worldChat struct {
	id      string
	events  []*fact
	hole    bool       // its events cannot be read
	checked domain.Seq // checkpoint whose events are known to be finished
}

// worldPartition is a partition of the simulated log, and what the group's store has of it.
type worldPartition struct {
	groups.Partition
	w        *world
	chats    []*worldChat
	listHole bool // the list of chats cannot be read

	entries []worldEntry
	last    groups.StreamID
	added   int

	store      groupStore
	saved      *savedPartition // an earlier state, to which a failover returns
	failedOver bool
}

type savedPartition struct {
	entries []worldEntry
	added   int
	lengths map[string]int
	store   groupStore
}

func (s *worldPartition) chat(id string) *worldChat {
	for _, c := range s.chats {
		if c.id == id {
			return c
		}
	}
	c := &worldChat{id: id}
	s.chats = append(s.chats, c)
	return c
}

func (c *worldChat) head() domain.Seq { return domain.Seq(len(c.events)) } //nolint:gosec // a count

func (w *world) newFact(chat string, seq domain.Seq) *fact {
	w.made++
	f := &fact{uuid: fmt.Sprint("e", w.made), chat: chat, seq: seq, key: w.keyOf(chat, seq)}
	w.facts[f.uuid] = f
	return f
}

// keyOf returns the key of an event, which depends on nothing else.
func (w *world) keyOf(chat string, seq domain.Seq) string {
	return [...]string{"", "x", "y"}[(uint64(seq)*7+uint64(len(chat))+uint64(seq)/3)%3]
}

// append adds an event to a chat, with its entry unless unstreamed.
func (s *worldPartition) append(chat string, streamed, twice bool) {
	c := s.chat(chat)
	f := s.w.newFact(chat, c.head()+1)
	c.events = append(c.events, f)
	if f.streamed = streamed; streamed {
		s.add(worldEntry{seq: f.seq, fact: f})
	}
	if twice {
		s.add(worldEntry{seq: f.seq, fact: f})
	}
}

func (s *worldPartition) add(e worldEntry) {
	ms := uint64(s.w.storeNow().UnixMilli()) //nolint:gosec // after 1970
	if ms > s.last.Milliseconds {
		s.last = groups.StreamID{Milliseconds: ms}
	} else {
		s.last.Number++
	}
	e.id = s.last
	s.w.note("%s has %s/%d at %v", s.Stream, e.fact.chat, e.seq, e.id)
	s.entries = append(s.entries, e)
	s.added++
}

func (s *worldPartition) first() groups.StreamID {
	if len(s.entries) == 0 {
		return groups.StreamID{}
	}
	return s.entries[0].id
}

func (s *worldPartition) lastEntry() groups.StreamID {
	if len(s.entries) == 0 {
		return groups.StreamID{}
	}
	return s.entries[len(s.entries)-1].id
}

// after returns the index of the first entry after an id.
func (s *worldPartition) after(id groups.StreamID) int {
	i, found := slices.BinarySearchFunc(s.entries, id, func(e worldEntry, id groups.StreamID) int { return e.id.Compare(id) })
	if found {
		i++
	}
	return i
}

func (s *worldPartition) exists(id groups.StreamID) bool {
	i := s.after(id)
	return i > 0 && s.entries[i-1].id == id
}

// read returns at most count entries after an id, and whether the entry of the id is gone.
func (s *worldPartition) read(after groups.StreamID, count int) (entries []worldEntry, gap bool) {
	i := s.after(after)
	return slices.Clone(s.entries[i:min(i+count, len(s.entries))]), !after.IsZero() && !s.exists(after)
}

// trim removes the first n entries.
func (s *worldPartition) trim(n int) {
	s.w.note("%s is trimmed by %d, position %v", s.Stream, n, s.store.position)
	s.entries = slices.Delete(s.entries, 0, n)
}

// page returns at most count events of a chat from a seq on.
func (s *worldPartition) page(r ports.EventRange, count int) (events []*fact, head domain.Seq, err error) {
	c := s.chat(string(r.Chat))
	if c.hole {
		return nil, 0, &ports.CorruptError{}
	}
	if r.From > c.head() {
		return nil, c.head(), nil
	}
	from := int(r.From) - 1 //nolint:gosec // small
	return c.events[from:min(from+max(1, min(count, r.Limit)), len(c.events))], c.head(), nil
}

// heads returns some heads from a cursor on.
func (s *worldPartition) heads(cursor uint64, count int) (heads []ports.ChatHead, next uint64) {
	to := min(int(cursor)+count, len(s.chats)) //nolint:gosec // small
	for _, c := range s.chats[cursor:to] {
		h := ports.ChatHead{Chat: domain.ChatID(c.id), Head: c.head()}
		if c.hole {
			h.Head, h.Err = 0, &ports.CorruptError{}
		}
		heads = append(heads, h)
	}
	if next = uint64(to); to == len(s.chats) { //nolint:gosec // small
		next = 0
	}
	return heads, next
}

// save keeps the present state for a later failover.
func (s *worldPartition) save() {
	k := &savedPartition{entries: slices.Clone(s.entries), added: s.added, lengths: make(map[string]int), store: s.store.clone()}
	for _, c := range s.chats {
		k.lengths[c.id] = len(c.events)
	}
	s.saved = k
}

// failover returns to the state that was saved: what was written since is lost. Its clock is ahead of every lost entry.
func (s *worldPartition) failover() {
	k := s.saved
	s.failedOver = true
	s.w.note("%s fails over", s.Stream)
	for _, e := range s.entries {
		if e.seq == 0 && !slices.ContainsFunc(k.entries, func(o worldEntry) bool { return o.fact == e.fact }) {
			e.fact.lost = true
		}
	}
	for _, c := range s.chats {
		for _, f := range c.events[k.lengths[c.id]:] {
			f.lost = true
		}
		c.events = slices.Clone(c.events[:k.lengths[c.id]])
		c.checked = 0
	}
	s.entries, s.added, s.store = slices.Clone(k.entries), k.added, k.store.clone()
	for _, n := range s.w.nodes { // an event whose end is lost may be delivered again: by a chat that was evicted from memory, even under the same lease
		for _, l := range n.leases {
			if l != nil && l.s == s {
				maps.DeleteFunc(l.ended, func(f *fact, _ bool) bool { return !s.store.knowsEndOf(f) })
			}
		}
	}
	s.last.Milliseconds++
	s.last.Number = 0
	s.w.skew += time.Millisecond
	s.w.failovers++
	s.w.leaps++
	s.w.abnormal++
}
