package feed

import (
	"errors"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/internal/flight"
	"chatcore/ports"
)

type pageFlight = flight.Flight[[]*Feed, pageResult]

// pendingRead is a read of a page that a follower waits for.
type pendingRead struct {
	sub  *follower
	read *pageFlight
}

// readAhead is how many chats of one feed are read at once.
const readAhead = 4

// advanceWork advances the followers that are not live, until there is a message, or a page is staged, or all wait for reads.
func (f *Feed) advanceWork() (Message, bool) {
	for i := 0; i < readAhead; {
		f.mu.Lock()
		if f.full || i >= len(f.work) {
			f.mu.Unlock()
			break
		}
		s := f.work[i]
		f.mu.Unlock()
		m, waits := f.advance(s)
		switch {
		case m.Kind != 0:
			return m, true
		case len(f.staged) > 0, len(f.due) > 0:
			return Message{}, false
		case waits:
			i++
		}
	}
	return Message{}, false
}

// advance takes a follower to its next step: a control message, a page of events, or live. It reports whether the follower waits for a read.
func (f *Feed) advance(s *follower) (m Message, waits bool) {
	page, waits := f.landed(s)
	if waits || f.checked(s) {
		return Message{}, f.isWork(s) // a chat that cannot be read is not in the work any more
	}
	p := s.chat.part
	p.mu.Lock()
	m, waits, left := f.advanceLocked(s, page)
	p.mu.Unlock()
	if left {
		f.leave(s)
	}
	return m, waits
}

// advanceLocked is advance with the lock of the partition held. It reports whether the reader has every event that it may have.
func (f *Feed) advanceLocked(s *follower, page []*Event) (m Message, waits, left bool) {
	c := s.chat
	switch {
	case c.doubted && !c.unreadable:
		return Message{}, true, false
	case c.ahead > 0 && s.has(flagBeginning):
		return Message{}, true, false
	case s.resync && s.has(flagJoined): // the reader does not know of the chat yet
		s.resync = false
		s.given, s.pos = s.epoch, max(s.since, 1)-1
		return Message{}, false, false
	case s.resync:
		s.resync = false
		s.given, s.pos, s.flags = s.epoch, c.head, s.flags&^flagBeginning|flagCaughtUp
		return Message{Kind: KindResync, Chat: c.id, To: s.pos}, false, false
	case s.has(flagJoined):
		s.flags &^= flagJoined
		return Message{Kind: KindChatJoined, Chat: c.id, To: s.pos}, false, false
	case s.until == nothing:
		return Message{}, false, true
	}
	end := c.head
	if s.until > 0 {
		end = min(end, s.until)
	}
	if s.has(flagBeginning) {
		s.flags &^= flagBeginning
		if end > s.pos && end-s.pos > f.maxCatchUp {
			m = Message{Kind: KindSkipped, Chat: c.id, From: s.pos + 1, To: end - f.maxCatchUp}
			s.pos = m.To
			return m, false, false
		}
	}
	if s.until > 0 && s.pos >= s.until {
		return Message{}, false, true
	}
	if s.pos >= c.head {
		s.live = true
		f.dropWork(s)
		if s.has(flagCaughtUp) {
			s.flags &^= flagCaughtUp
			m = Message{Kind: KindCaughtUp, Chat: c.id, To: s.pos}
		}
		return m, false, false
	}
	if events := c.after(s.pos, page, f.user != ""); len(events) > 0 {
		if s.until > 0 && events[len(events)-1].Record.Seq > s.until {
			events = events[:s.until-s.pos]
		}
		f.staged, f.stagedOf = events, s
		f.dropWork(s)
		return Message{}, false, false
	}
	if time.Now().Before(f.retry) {
		return Message{}, true, false
	}
	key := readKey{page: keyOf(c.generation, s.pos+1), user: f.user != ""}
	f.reads = append(f.reads, pendingRead{s, c.part.hub.startRead(f, c, key)})
	return Message{}, true, false
}

// after returns the events after a seq, of a page that was read or is cached. The caller holds part.mu.
func (c *chat) after(seq domain.Seq, page []*Event, user bool) []*Event {
	if len(page) > 0 {
		if first, last := page[0].Record.Seq, page[len(page)-1].Record.Seq; first <= seq+1 && seq < last {
			return page[seq+1-first:]
		}
	}
	events := c.part.hub.cache.after(c.generation, seq, user)
	if len(events) > 0 {
		c.part.hub.counts.pagesShared.Add(1)
	}
	return events
}

// retryReads are the pauses between reads while the log cannot be read.
var retryReads = backoff.Policy{First: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: true} //nolint:gochecknoglobals // a constant

// landed returns the page that was read for a follower. It reports whether the follower still waits for a read.
func (f *Feed) landed(s *follower) (events []*Event, waits bool) {
	for i, r := range f.reads {
		if r.sub != s {
			continue
		}
		select {
		case <-r.read.Done():
		default:
			return nil, true
		}
		if f.reads = append(f.reads[:i], f.reads[i+1:]...); len(f.reads) == 0 {
			f.reads = nil
		}
		result, ok := r.read.Result()
		if !ok {
			result.err = errStale
		}
		return result.events, f.failed(s, result.err)
	}
	return nil, false
}

// failed takes the error of a read for a follower. It reports whether the feed has ended, or goes on without the follower.
func (f *Feed) failed(s *follower, err error) bool {
	switch {
	case err == nil || errors.Is(err, errStale):
		f.failures, f.retry = 0, time.Time{}
		return false
	case f.allChats && isUnreadable(err):
		f.failures, f.retry = 0, time.Time{}
		f.park(s, err)
		return true
	case isUnreadable(err), errors.Is(err, ports.ErrLogLost):
		f.fail(err)
		return true
	case errors.Is(err, ports.ErrClosed):
		f.fail(ErrEnded)
		return true
	}
	f.failures++
	f.retry = time.Now().Add(retryReads.Pause(f.failures))
	return false
}

// pendingCheck is a check of the user's membership that a follower waits for.
type pendingCheck struct {
	sub *follower
	// feed.mu guards the fields below.
	done  bool
	grant app.Grant
	err   error
}

// recheck has the user's membership read before the reader gets any later event of the chat.
func (f *Feed) recheck(s *follower) {
	p := s.chat.part
	p.mu.Lock()
	s.epoch++
	s.given, s.check, s.live = s.epoch, true, false
	p.mu.Unlock()
	if f.stagedOf == s {
		f.staged, f.stagedOf = nil, nil
	}
	f.addWork(s)
}

// checked applies the result of a check of the user's membership. It starts the check if it is due, and reports whether the follower waits for one.
func (f *Feed) checked(s *follower) (waits bool) {
	f.mu.Lock()
	for i, check := range f.checks {
		if check.sub != s {
			continue
		}
		if !check.done {
			f.mu.Unlock()
			return true
		}
		if f.checks = append(f.checks[:i], f.checks[i+1:]...); len(f.checks) == 0 {
			f.checks = nil
		}
		f.mu.Unlock()
		return f.applyCheck(s, check)
	}
	f.mu.Unlock()
	p := s.chat.part
	p.mu.Lock()
	due := s.check
	begins := due && !time.Now().Before(f.retry)
	if begins {
		s.check = false
	}
	p.mu.Unlock()
	if begins {
		f.startCheck(s)
	}
	return due
}

func (f *Feed) applyCheck(s *follower, check *pendingCheck) (waits bool) {
	p := s.chat.part
	if err := check.err; err != nil && !errors.Is(err, domain.ErrChatNotFound) {
		p.mu.Lock()
		s.check = true
		p.mu.Unlock()
		f.failed(s, err)
		return true
	}
	f.failed(s, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.permit(check.grant)
	if check.err != nil {
		s.until = nothing
	}
	return false
}

// permit applies what the user may read. The reader's goroutine calls it with part.mu held, or before the follower is attached.
func (s *follower) permit(g app.Grant) {
	s.since, s.until = max(g.Member.Since, g.Until), g.Until
}

// startCheck starts a check of the user's membership.
func (f *Feed) startCheck(s *follower) {
	check := &pendingCheck{sub: s}
	f.mu.Lock()
	f.checks = append(f.checks, check)
	f.mu.Unlock()
	h := f.hub
	h.chores.run(func() {
		grant, err := h.d.Access.Check(h.ctx, s.chat.id, f.user)
		f.mu.Lock()
		check.done, check.grant, check.err = true, grant, err
		f.mu.Unlock()
		f.poke()
	})
}
