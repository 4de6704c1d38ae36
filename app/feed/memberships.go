package feed

import (
	"errors"
	"maps"
	"math/rand/v2"
	"time"

	"chatcore/domain"
)

// comparePeriod is about how often the chats of a user are compared with what the user's feeds follow, beside the notices of the tail.
const comparePeriod = time.Minute

// user is a user with feeds of all chats. Hub.mu guards its fields.
type user struct {
	feeds    map[*Feed]struct{} // without those that are opening
	opening  int
	timer    *time.Timer // of the next comparison; nil before the first feed is open
	queued   bool        // a comparison waits
	running  bool
	again    bool // another one must follow the one that runs
	missed   bool // a comparison has left out a feed that is opening
	failures int  // comparisons that failed in a row
}

// addUser registers a feed of all chats that is about to open. The caller holds mu.
func (h *Hub) addUser(f *Feed) {
	if !f.allChats {
		return
	}
	u := h.users[f.user]
	if u == nil {
		u = &user{feeds: make(map[*Feed]struct{}, 1)}
		h.users[f.user] = u
	}
	u.opening++
}

// ready has a feed of all chats follow the user's chats from now on.
func (h *Hub) ready(f *Feed) {
	h.mu.Lock()
	_, open := h.feeds[f]
	missed := false
	if open {
		u := h.users[f.user]
		u.opening--
		u.feeds[f] = struct{}{}
		missed, u.missed = u.missed, false
		if u.timer == nil {
			u.timer = time.AfterFunc(nextComparison(), func() { h.compareUser(f.user) })
		}
	}
	h.mu.Unlock()
	if missed {
		h.compareUser(f.user)
	}
}

// removeUser removes a feed. The caller holds mu.
func (h *Hub) removeUser(f *Feed) {
	u := h.users[f.user]
	if !f.allChats || u == nil {
		return
	}
	if _, ready := u.feeds[f]; ready {
		delete(u.feeds, f)
	} else {
		u.opening--
	}
	if len(u.feeds) == 0 && u.opening == 0 {
		if u.timer != nil {
			u.timer.Stop()
		}
		delete(h.users, f.user)
	}
}

func nextComparison() time.Duration {
	return comparePeriod*3/4 + rand.N(comparePeriod/2) //nolint:gosec // spreads load
}

// hearMembership takes a user whose chats have changed; "" are all users.
func (h *Hub) hearMembership(id domain.UserID) {
	if id != "" {
		h.compareUser(id)
		return
	}
	h.mu.Lock()
	all := make([]domain.UserID, 0, len(h.users))
	for id := range h.users {
		all = append(all, id)
	}
	h.mu.Unlock()
	for _, id := range all {
		h.compareUser(id)
	}
}

// compareUser has the chats of a user compared with what the user's feeds of all chats follow.
func (h *Hub) compareUser(id domain.UserID) {
	h.mu.Lock()
	u := h.users[id]
	if u == nil || u.queued || h.closed {
		h.mu.Unlock()
		return
	}
	if u.running {
		u.again = true
		h.mu.Unlock()
		return
	}
	u.queued = true
	h.mu.Unlock()
	h.chores.run(func() { h.runComparison(id, u) })
}

func (h *Hub) runComparison(id domain.UserID, u *user) {
	h.mu.Lock()
	u.queued, u.running = false, true
	u.missed = u.missed || u.opening > 0
	feeds := make([]*Feed, 0, len(u.feeds))
	for f := range u.feeds {
		feeds = append(feeds, f)
	}
	h.mu.Unlock()

	var err error
	if len(feeds) > 0 {
		err = h.compareFeeds(id, feeds)
	}

	h.mu.Lock()
	u.running = false
	again := u.again
	u.again = false
	next := nextComparison()
	if err != nil {
		u.failures++
		next = retryReads.Pause(u.failures)
	} else {
		u.failures = 0
	}
	if u.timer != nil && h.users[id] == u {
		u.timer.Reset(next)
	}
	h.mu.Unlock()
	if err != nil && h.ctx.Err() == nil {
		h.d.Logger.WarnContext(h.ctx, "chats of a user could not be compared with the feeds", "user", id, "error", err)
	}
	if again {
		h.compareUser(id)
	}
}

// compareFeeds has the feeds of a user follow chats that the user has joined, and leave those that the user has left.
func (h *Hub) compareFeeds(id domain.UserID, feeds []*Feed) error {
	chats, err := h.d.Queries.ChatsOf(h.ctx, id)
	if err != nil {
		return err
	}
	listed := make(map[domain.ChatID]struct{}, len(chats))
	for _, c := range chats {
		listed[c] = struct{}{}
	}
	for _, f := range feeds {
		var gone, waiting []*follower
		followed := make(map[domain.ChatID]struct{}, len(chats))
		f.mu.Lock()
		for _, s := range f.followed {
			followed[s.chat.id] = struct{}{}
			if _, ok := listed[s.chat.id]; !ok {
				gone = append(gone, s)
			}
			if s.parked {
				waiting = append(waiting, s)
			}
		}
		parked := maps.Clone(f.parked)
		f.mu.Unlock()
		for _, s := range waiting {
			f.unpark(s)
		}
		var joined []*opening
		for _, o := range parked {
			joined = append(joined, &o)
			followed[o.Chat] = struct{}{}
		}
		for _, c := range chats {
			if _, ok := followed[c]; !ok {
				joined = append(joined, &opening{Position: Position{Chat: c}, joined: true})
			}
		}
		if err := errors.Join(h.join(f, joined), h.expel(f, gone)); err != nil {
			return err
		}
	}
	return nil
}

// join has a feed follow chats, as far as the user is a member of them now.
func (h *Hub) join(f *Feed, chats []*opening) error {
	if len(chats) == 0 {
		return nil
	}
	if err := h.openAll(h.ctx, f.user, chats); err != nil {
		return err
	}
	for _, o := range chats {
		switch {
		case isUnreadable(o.err):
			f.parkOpening(o)
		case o.err == nil && (o.named || o.grant.Until == 0):
			f.follow(o, false)
			continue
		case o.named: // a chat that the reader knows
			o.grant.Until = nothing
			f.follow(o, false)
			continue
		default: // the view of the user's chats is behind
			f.forgetParked(o.Chat)
		}
		o.chat.leave()
	}
	return nil
}

// expel has a feed leave chats, unless the user is a member of them now.
func (h *Hub) expel(f *Feed, followed []*follower) error {
	if len(followed) == 0 {
		return nil
	}
	ids := make([]domain.ChatID, len(followed))
	for i, s := range followed {
		ids[i] = s.chat.id
	}
	checked, err := h.d.Access.CheckAll(h.ctx, f.user, ids...)
	if err != nil {
		return err
	}
	for i, s := range followed {
		until := checked[i].Grant.Until
		switch err := checked[i].Err; {
		case errors.Is(err, domain.ErrChatNotFound):
			until = nothing
		case isUnreadable(err):
			h.noteUnreadable(s.chat.id, err)
		case err != nil:
			return err
		}
		if until > 0 {
			c := s.chat
			c.part.mu.Lock()
			if s.until = until; c.head < checked[i].Grant.Head { // the removal was not heard yet
				c.expect(checked[i].Grant.Head)
			}
			s.read()
			c.part.mu.Unlock()
		}
	}
	return nil
}
