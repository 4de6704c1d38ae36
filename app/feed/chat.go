package feed

import (
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// partition holds the followed chats of one partition of the log. It hears the partition's events while it has a chat.
type partition struct {
	hub      *Hub
	index    int
	interest interest

	// mu guards the fields below, and those of the chats and followers that say so.
	mu        sync.Mutex
	chats     map[domain.ChatID]*chat
	comparing bool   // a comparison of heads is queued or runs
	again     bool   // and must run once more
	later     bool   // a timer runs that has the heads compared again
	history   string // of the log, when the partition was watched or last compared
}

// chat is a chat that feeds follow.
//
// Its generation is a number that no other chat has had. It changes when the log has lost events of the chat: pages of another generation are not used.
//
// Invariant: while a chat is doubted, last stays as it is, and followers are given nothing. An event that follows the head then may be of a log that has lost
// the head and has gone on, and would hide that.
type chat struct {
	id   domain.ChatID
	part *partition

	// part.mu guards the fields below.
	users      int // followers, and feeds that are about to follow it
	followers  []*follower
	known      bool       // whether head is known; before, it is the last seq that was heard
	head       domain.Seq // the last seq that the log is known to have
	last       domain.Seq // an event that was heard or read, the latest such; 0 if there is none
	lastID     domain.EventID
	generation uint64
	ahead      domain.Seq         // a seq that the log has and that was not heard yet, 0 if there is none
	expecting  bool               // a timer runs that has events up to ahead read
	gaps       int                // how often events were not heard
	reading    int                // reads of pages that have begun
	deleted    []domain.MessageID // messages that were deleted during these reads
	verifying  bool               // whether the log is asked for the event at last
	doubted    bool               // the log may have lost events, and has not answered yet
	unreadable bool               // the log could not answer, because the chat cannot be read
	doubts     int                // how often the chat was doubted
	heard      domain.Seq         // the seq of the latest notice
	notices    int                // how many notices came
}

// Flags of a follower.
const (
	flagJoined    uint8 = 1 << iota // chat_joined is due
	flagBeginning                   // events may be skipped
	flagCaughtUp                    // caught_up is due once the reader has every event
	flagLeft                        // chat_left was given
)

// nothing is the last readable seq of a user that may read nothing of a chat any more.
const nothing = ^domain.Seq(0)

// follower is one chat of one feed. It is live while each event of the chat is queued for the feed. Otherwise the reader takes events from pages, and
// the follower is in the feed's work or its events are staged, or it is parked.
//
// Invariant: a live follower has been given, or has queued, every event up to the chat's head.
type follower struct {
	feed *Feed
	chat *chat

	// These belong to the reader's goroutine.
	pos   domain.Seq // the last event that the reader has been given
	since domain.Seq // the event that began the membership of the feed's user, as far as that is known

	// chat.part.mu guards these.
	until  domain.Seq // the last event that the user may read, because the membership has ended; 0 if there is none
	place  int32      // in chat.followers
	epoch  uint16     // counts resyncs
	live   bool
	resync bool // the reader's position is not of the log
	check  bool // the user's membership must be read again first

	given  uint16 // the epoch of the reader's position; the reader's
	flags  uint8  // the reader's
	inWork bool   // feed.mu guards inWork
	parked bool   // the chat could not be read: the follower waits for the next comparison of the user's chats; feed.mu guards parked
}

func (s *follower) has(flag uint8) bool { return s.flags&flag != 0 }

// enter returns a chat of the partition, and adds a user. The caller has acquired the partition's interest, and calls leave in the end.
func (p *partition) enter(id domain.ChatID) *chat {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chats[id]
	if c == nil {
		c = &chat{id: id, part: p, generation: p.hub.generations.Add(1)}
		p.chats[id] = c
	}
	c.users++
	return c
}

// leave removes a user of a chat.
func (c *chat) leave() {
	p := c.part
	p.mu.Lock()
	if c.users--; c.users == 0 {
		delete(p.chats, c.id)
		p.hub.cache.forget(c.generation)
	}
	p.mu.Unlock()
	p.interest.release()
}

// attach adds a follower. head is the chat's last seq as it was read after the partition was watched.
func (c *chat) attach(s *follower, head domain.Seq, at Position, other bool) {
	c.part.mu.Lock()
	defer c.part.mu.Unlock()
	if !c.known {
		c.known, c.head = true, max(c.head, head)
		if c.doubted { // since the head was read
			c.part.continueComparison()
		}
	}
	if c.head < head {
		c.expect(head)
	}
	head = max(c.head, head)
	switch s.pos = at.Seq; {
	case (at.Head || other) && s.until > 0:
		s.pos = min(head, s.until)
	case at.Head || other:
		s.pos = head
	case at.Seq > head && s.until != nothing:
		s.resync = true
	}
	s.place = int32(len(c.followers)) //nolint:gosec // feeds fit
	c.followers = append(c.followers, s)
}

// transit is how long an event may take from the log to the hub, before the hub reads it instead: longer than the tail's sweeps of a log that announces
// nothing.
const transit = 300 * time.Millisecond

// expect has new followers wait for events that the log has and that were not heard yet: they may be deletions of messages whose events are cached. The
// caller holds part.mu.
func (c *chat) expect(head domain.Seq) {
	c.ahead = max(c.ahead, head)
	if c.expecting {
		return
	}
	c.expecting = true
	time.AfterFunc(transit, func() {
		c.part.mu.Lock()
		defer c.part.mu.Unlock()
		c.expecting = false
		if c.users > 0 && c.head < c.ahead {
			c.skipTo(c.ahead)
		}
	})
}

// arrived wakes followers that wait for events, once these were heard. The caller holds part.mu.
func (c *chat) arrived() {
	if c.ahead == 0 || c.head < c.ahead {
		return
	}
	c.ahead = 0
	for _, s := range c.followers {
		if !s.live {
			s.feed.poke()
		}
	}
}

// detach removes a follower, and the feed as a user of the chat.
func (s *follower) detach() {
	c := s.chat
	c.part.mu.Lock()
	last := len(c.followers) - 1
	c.followers[s.place] = c.followers[last]
	c.followers[s.place].place = s.place
	c.followers[last] = nil
	c.followers = c.followers[:last]
	s.live = false
	c.part.mu.Unlock()
	c.leave()
}

// Appended implements [ports.TailWatcher].
func (p *partition) Appended(_ int, notices []ports.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range notices {
		if c := p.chats[n.Chat]; c != nil {
			c.hear(n)
		}
	}
}

// The methods below are called with part.mu held.

// hear takes a notice of the chat. An event that follows the last one goes to the live followers. If events are missing, or one cannot be decoded,
// the followers read from the log instead.
func (c *chat) hear(n ports.Notice) {
	c.heard = n.Seq
	c.notices++
	switch {
	case !c.known:
		c.head = max(c.head, n.Seq)
	case c.doubted:
		if c.unreadable { // the chat may be readable again
			c.verify()
		}
	case n.Seq <= c.head:
		c.hearAgain(n)
	case n.Seq == c.head+1:
		c.hearNext(n)
	default:
		c.skipTo(n.Seq)
	}
}

// hearNext takes the notice of the event after the head. A feed may have read the event before. If it has read another one, the log has lost events.
func (c *chat) hearNext(n ports.Notice) {
	h := c.part.hub
	r, err := h.d.Tail.Decode(n)
	if err != nil || r.Seq != n.Seq || r.Event.ChatID() != c.id {
		c.skipTo(n.Seq)
		return
	}
	e := newEvent(r, len(n.JSON))
	if n.Seq <= c.last {
		known, has := c.idAt(n.Seq)
		switch {
		case !has:
			c.verify()
		case known != r.ID:
			c.lose(n.Seq)
			c.note(r)
			return
		}
		if read := h.cache.at(c.generation, n.Seq); read != nil {
			e = read
		}
	}
	c.deliver(e)
}

// idAt returns the id of the event of a seq, if it is known.
func (c *chat) idAt(seq domain.Seq) (id domain.EventID, known bool) {
	if e := c.part.hub.cache.at(c.generation, seq); e != nil {
		return e.Record.ID, true
	}
	return c.lastID, seq == c.last
}

// deliver queues the event after the head for the live followers.
func (c *chat) deliver(e *Event) {
	h := c.part.hub
	c.head = e.Record.Seq
	c.note(e.Record)
	if _, erased := e.Record.Event.(domain.MessageErased); erased {
		h.cache.forget(c.generation) // its pages may have the erased content, which services would get
	}
	h.cache.append(c.generation, e)
	if m := domain.Deletes(e.Record.Event); m != "" {
		c.redact(m)
	}
	for _, s := range c.followers {
		if s.live {
			s.feed.queueEvent(s, e)
		}
	}
	c.arrived()
}

// redact redacts the events of messages that were deleted, also those that are being read.
func (c *chat) redact(messages ...domain.MessageID) {
	if c.reading > 0 {
		c.deleted = append(c.deleted, messages...)
	}
	c.part.hub.cache.redact(c.generation, messages...)
}

// note notes the id of an event.
func (c *chat) note(r ports.Record) {
	if r.Seq > c.last {
		c.last, c.lastID = r.Seq, r.ID
	}
}

// skipTo has the followers read the events up to a seq from the log: the hub has not heard all of them.
func (c *chat) skipTo(seq domain.Seq) {
	c.head = seq
	c.gaps++
	h := c.part.hub
	h.counts.gaps.Add(1)
	h.cache.uncheck(c.generation)
	for _, s := range c.followers {
		s.read()
	}
	c.arrived()
}

// read has the reader of a follower take events from pages until it has all.
func (s *follower) read() {
	if s.live {
		s.live = false
		s.feed.addWork(s)
	}
}

// hearAgain takes a notice of a seq that the log had before. If the event is another one, the log has lost events.
func (c *chat) hearAgain(n ports.Notice) {
	h := c.part.hub
	h.counts.doubles.Add(1)
	known, has := c.idAt(n.Seq)
	if !has {
		c.verify()
		return
	}
	if r, err := h.d.Tail.Decode(n); err == nil && r.ID != known {
		c.lose(n.Seq)
		c.note(r)
	}
}

// lose has the followers continue at the head of a log that has lost events.
func (c *chat) lose(head domain.Seq) {
	h := c.part.hub
	h.counts.resyncs.Add(1)
	h.cache.forget(c.generation)
	c.generation, c.head, c.last, c.lastID, c.ahead = h.generations.Add(1), head, 0, "", 0
	c.doubted, c.unreadable = false, false
	for _, s := range c.followers {
		s.epoch++
		s.resync, s.check = true, s.feed.user != ""
		s.read()
		s.feed.poke()
	}
}
