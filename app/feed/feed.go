package feed

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"chatcore/domain"
)

// Feed is a feed of one reader. Next, TryNext and Positions belong to one goroutine; Close may be called by any. A feed has no goroutine of its own.
type Feed struct {
	hub         *Hub
	user        domain.UserID // "" for a service
	allChats    bool
	durableOnly bool
	maxCatchUp  domain.Seq
	wake        chan struct{} // has an element once there may be something to do

	// These belong to the reader's goroutine.
	due      []Message // control messages that come next
	staged   []*Event  // of a page, to be given
	stagedOf *follower
	reads    []pendingRead
	turn     int // live messages since the reader last looked for work
	timer    *time.Timer
	active   time.Time // when the last message was given
	failures int       // reads that failed in a row
	retry    time.Time // when to read again after a failure

	// mu guards the fields below.
	mu       sync.Mutex
	followed []*follower // the reader's goroutine may read it without mu, unless it is opening
	work     []*follower // to be advanced by the reader
	checks   []*pendingCheck
	parked   map[domain.ChatID]opening // that cannot be read, and of which the next opening must know something
	queue    queue
	full     bool  // the queue was full
	ended    error // why the feed has ended
	status   uint64
}

// Next waits for the next message. It reads from the log what the reader has missed, one page at a time.
//
// While the log cannot be read, Next waits, and returns heartbeats. It returns [ErrSlow] after the last message that was queued, [ErrEnded] after Close,
// [ports.ErrLogLost] if that is what a read of the log returns, and ctx's error if ctx ends while there is no message: the feed then goes on with the
// next call. After any other error the feed has ended.
//
// A chat that cannot be read, as Open has it, ends a feed of named chats with [ports.ErrCorrupt] or [ports.ErrNewerVersion].
func (f *Feed) Next(ctx context.Context) (Message, error) {
	for {
		if m, ok := f.TryNext(); ok {
			return m, nil
		}
		if err := f.end(); err != nil {
			return Message{}, err
		}
		now := time.Now()
		beat := f.active.Add(f.hub.c.Heartbeat)
		if !now.Before(beat) {
			f.active = now
			return Message{Kind: KindHeartbeat}, nil
		}
		if f.retry.After(now) && f.retry.Before(beat) {
			beat = f.retry
		}
		if err := f.wait(ctx, beat.Sub(now)); err != nil {
			return Message{}, err
		}
	}
}

// wait waits until the feed is woken, a time has passed, or ctx ends.
func (f *Feed) wait(ctx context.Context, d time.Duration) error {
	if f.timer == nil {
		f.timer = time.NewTimer(d)
	} else {
		f.timer.Reset(d)
	}
	defer f.timer.Stop()
	select {
	case <-f.wake:
	case <-f.timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// TryNext returns the next message without waiting, and false if there is none now.
func (f *Feed) TryNext() (Message, bool) {
	m, ok := f.take()
	if ok {
		f.active = time.Now()
	}
	return m, ok
}

// turnLength is how many live messages a feed gives before it goes on with what its reader has missed of other chats.
const turnLength = pageSize

// take returns the next message. Events of a page come one after another; between pages come live messages of other chats.
func (f *Feed) take() (Message, bool) {
	if f.isClosed() {
		return Message{}, false
	}
	for {
		if len(f.due) > 0 {
			m := f.due[0]
			if f.due = f.due[1:]; len(f.due) == 0 {
				f.due = nil
			}
			return m, true
		}
		if m, ok := f.takeStaged(); ok {
			return m, true
		}
		if f.turn < turnLength {
			if m, ok := f.takeQueued(); ok {
				f.turn++
				return m, true
			}
		}
		f.turn = 0
		if m, ok := f.advanceWork(); ok {
			return m, true
		}
		if len(f.staged) == 0 && len(f.due) == 0 {
			return f.takeQueued()
		}
	}
}

// takeStaged returns the next event of the page.
func (f *Feed) takeStaged() (m Message, ok bool) {
	for len(f.staged) > 0 && !ok {
		s, e := f.stagedOf, f.staged[0]
		f.staged = f.staged[1:]
		m, ok = f.give(s, e)
		if s.has(flagLeft) {
			f.staged = nil
		}
		if len(f.staged) == 0 {
			f.staged, f.stagedOf = nil, nil
			if !s.has(flagLeft) {
				f.addWork(s)
			}
		}
	}
	return m, ok
}

// takeQueued returns the next live message.
func (f *Feed) takeQueued() (Message, bool) {
	for {
		f.mu.Lock()
		it, ok := f.queue.pop()
		f.mu.Unlock()
		switch {
		case !ok:
			return Message{}, false
		case it.sub == nil:
			return Message{Kind: KindEphemeral, Ephemeral: it.ephemeral}, true
		case it.sub.has(flagLeft):
		case it.ephemeral != nil:
			return Message{Kind: KindEphemeral, Chat: it.sub.chat.id, Ephemeral: it.ephemeral}, true
		case it.epoch == it.sub.given:
			if m, ok := f.give(it.sub, it.event); ok {
				return m, true
			}
		}
	}
}

// give returns an event as the reader gets it. It reports false for one that the reader has or may not see.
func (f *Feed) give(s *follower, e *Event) (Message, bool) {
	seq := e.Record.Seq
	if s.has(flagLeft) || seq != s.pos+1 {
		return Message{}, false
	}
	if f.user != "" {
		if e.unclear() && s.since < seq {
			f.recheck(s)
		}
		e = e.forUser()
	}
	s.pos = seq
	if user := domain.Audience(e.Record.Event); f.user != "" && user != "" && user != f.user {
		return Message{Kind: KindSkipped, Chat: e.Chat, From: seq, To: seq, Private: true}, true
	}
	if f.user != "" && seq > s.since && e.removes(f.user) {
		f.leave(s)
	}
	return Message{Kind: KindEvent, Chat: e.Chat, Event: e}, true
}

// leave ends a follower after the last event that the reader may have.
func (f *Feed) leave(s *follower) {
	f.due = append(f.due, Message{Kind: KindChatLeft, Chat: s.chat.id, To: s.pos})
	f.drop(s)
	if f.allChats { // the user may be a member again
		f.hub.compareUser(f.user)
	}
}

// drop takes a follower out of the feed.
func (f *Feed) drop(s *follower) {
	s.flags |= flagLeft
	f.mu.Lock()
	if f.ended != nil { // the follower ends with the feed
		f.mu.Unlock()
		return
	}
	if i := slices.Index(f.followed, s); i >= 0 {
		f.followed = slices.Delete(f.followed, i, i+1)
	}
	f.mu.Unlock()
	f.dropWork(s)
	s.detach()
}

// LogID is the log that the positions belong to.
func (f *Feed) LogID() string { return f.hub.d.LogID }

// Positions returns the reader's position in each chat that the feed follows, after the messages that Next and TryNext have returned. The chats that
// cannot be read now are among them.
func (f *Feed) Positions() iter.Seq2[domain.ChatID, domain.Seq] {
	return func(yield func(domain.ChatID, domain.Seq) bool) {
		f.mu.Lock()
		followed, parked := slices.Clone(f.followed), maps.Clone(f.parked)
		f.mu.Unlock()
		for id, o := range parked {
			if o.named && !yield(id, o.Seq) {
				return
			}
		}
		for _, s := range followed {
			hidden := s.has(flagJoined) || s.has(flagLeft) // the reader does not know of the chat yet, or has left it
			if !hidden && !yield(s.chat.id, s.pos) {
				return
			}
		}
		for _, m := range f.due { // the reader does not know yet that it has left the chat
			if m.Kind == KindChatLeft && !yield(m.Chat, m.To) {
				return
			}
		}
	}
}

// Close ends the feed. Next then returns [ErrEnded].
func (f *Feed) Close() { f.fail(ErrEnded) }

// isClosed reports whether the feed ends before the messages that are queued.
func (f *Feed) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended != nil
}

// end returns why the feed has ended, or nil. It is called when there is no message.
func (f *Feed) end() error {
	f.mu.Lock()
	if f.full && f.ended == nil && f.queue.len() == 0 {
		f.mu.Unlock()
		f.fail(ErrSlow)
		return ErrSlow
	}
	defer f.mu.Unlock()
	return f.ended
}

// fail ends the feed. It keeps its positions.
func (f *Feed) fail(err error) {
	f.mu.Lock()
	if f.ended != nil {
		f.mu.Unlock()
		return
	}
	f.ended = err
	followed := f.followed
	f.work, f.queue, f.checks = nil, queue{}, nil
	f.mu.Unlock()
	f.poke()
	f.hub.remove(f, followed)
}
