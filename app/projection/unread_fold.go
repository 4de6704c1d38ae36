package projection

import (
	"container/list"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// unreadFold is the unread counts of one chat, folded from its events up to a seq.
//
// Where a member's standing was looked up in the log it is as of a later seq than the rest: the events of others up to there are in it
// already, and the member's own set it anew, as of themselves. Nothing is written down before the tally has come up to there.
type unreadFold struct {
	chat    domain.ChatID
	most    int    // members that have counts
	epoch   uint64 // of the cache when it was loaded: in a later one the log may have lost events
	seq     domain.Seq
	ahead   domain.Seq                 // as of which something was looked up
	last    domain.Seq                 // of the last message, 0 if that is not known
	members map[domain.UserID]*reader  // nil if there are too many for counts to be kept
	atLeast int                        // so many members there are, if members is nil
	shrunk  bool                       // whether the number fell below the bound again; their names are unknown
	gone    map[domain.UserID]struct{} // whose counts are to be removed
	next    time.Time                  // when a large chat is written again
}

// reader is a member's standing.
type reader struct {
	standing
	dirty bool // not written down yet
}

// sent counts a message.
func (t *unreadFold) sent(seq domain.Seq, by domain.UserID) {
	t.last = seq
	for user, r := range t.members {
		switch {
		case user != by && seq > r.asOf:
			r.count++
			r.dirty = true
		case user == by && seq > r.base:
			r.reads(seq, seq)
		}
	}
}

// reads has all up to a mark be read, which is all there is. A count that was zero need not be written down again: as of no seq since it
// was another.
func (r *reader) reads(seq, mark domain.Seq) {
	r.dirty = r.dirty || r.count > 0
	r.standing = standing{base: mark, asOf: seq}
}

// deleted takes back a message, given by its seq, where it counted.
func (t *unreadFold) deleted(seq, message domain.Seq) {
	for _, r := range t.members {
		if message > r.base && seq > r.asOf && r.count > 0 {
			r.count--
			r.dirty = true
		}
	}
}

// read moves a member's mark. It reports false if how many messages are after it has to be looked up.
func (t *unreadFold) read(seq domain.Seq, user domain.UserID, mark domain.Seq) bool {
	r := t.members[user]
	switch {
	case r == nil || mark <= r.base:
		return true
	case t.last == 0 || mark < t.last:
		return false
	}
	r.reads(seq, mark)
	return true
}

// stands applies the result of a lookup.
func (t *unreadFold) stands(user domain.UserID, s standing) {
	if r := t.members[user]; r != nil {
		r.standing, r.dirty = s, true
		t.ahead = max(t.ahead, s.asOf)
	}
}

// joined adds a member, to whom earlier messages count as read. Beyond the bound, no counts are kept any more.
func (t *unreadFold) joined(seq domain.Seq, user domain.UserID) {
	if t.members == nil {
		t.atLeast++
		return
	}
	t.members[user] = &reader{standing: standing{base: seq, asOf: seq}, dirty: true}
	delete(t.gone, user)
	if t.atLeast = len(t.members); t.atLeast > t.most {
		for member := range t.members {
			t.drop(member)
		}
		t.members = nil
	}
}

func (t *unreadFold) left(user domain.UserID) {
	if t.members == nil {
		t.atLeast--
		t.shrunk = t.shrunk || t.atLeast <= t.most
	} else {
		delete(t.members, user)
	}
	t.drop(user)
}

func (t *unreadFold) drop(user domain.UserID) {
	if t.gone == nil {
		t.gone = make(map[domain.UserID]struct{})
	}
	t.gone[user] = struct{}{}
}

// dropAll removes the counts of users that are not members with a count.
func (t *unreadFold) dropAll(users map[domain.UserID]struct{}) {
	for user := range users {
		if t.members[user] == nil {
			t.drop(user)
		}
	}
}

// changes are the pending writes.
func (t *unreadFold) changes() []ports.UserEntry {
	var entries []ports.UserEntry
	for user, r := range t.members {
		if r.dirty {
			entries = append(entries, ports.UserEntry{User: user, Version: t.seq, Number: uint64(r.count)})
		}
	}
	for user := range t.gone {
		entries = append(entries, ports.UserEntry{User: user, Version: t.seq, Gone: true})
	}
	return entries
}

// clean reports whether everything is written down.
func (t *unreadFold) clean() bool {
	for _, r := range t.members {
		if r.dirty {
			return false
		}
	}
	return len(t.gone) == 0
}

func (t *unreadFold) written() {
	for _, r := range t.members {
		r.dirty = false
	}
	t.gone = nil
}

// unreadFolds keeps the tallies that were used last, for so many members of chats in all, and the seqs up to which older ones were written: a lagging
// group need not load them for events that were counted.
type unreadFolds struct {
	size int

	mu     sync.Mutex
	used   int
	all    map[domain.ChatID]*list.Element
	lru    *list.List // of *tally, those used last in front
	before map[domain.ChatID]written
}

// written is up to where a tally was that is not kept any more.
type written struct {
	seq   domain.Seq
	epoch uint64
}

func newTallies(size int) *unreadFolds {
	return &unreadFolds{size: size, all: make(map[domain.ChatID]*list.Element), lru: list.New(), before: make(map[domain.ChatID]written)}
}

func (t *unreadFold) weight() int { return 1 + len(t.members) }

// take removes and returns a chat's tally, if there is one of the epoch; the caller puts it back. All of the chat is written up to the given seq.
func (k *unreadFolds) take(chat domain.ChatID, epoch uint64) (*unreadFold, domain.Seq) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.remove(k.all[chat]); t != nil && t.epoch == epoch {
		return t, t.seq
	}
	if w := k.before[chat]; w.epoch == epoch {
		return nil, w.seq
	}
	return nil, 0
}

// put keeps a tally, unless it is nil or one that knows more is there.
func (k *unreadFolds) put(t *unreadFold) {
	if t == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if other := k.remove(k.all[t.chat]); other != nil && (other.epoch > t.epoch || other.epoch == t.epoch && other.seq > t.seq) {
		t = other
	}
	k.all[t.chat] = k.lru.PushFront(t)
	delete(k.before, t.chat)
	for k.used += t.weight(); k.used > k.size; {
		k.forget(k.remove(k.lru.Back()))
	}
}

func (k *unreadFolds) remove(e *list.Element) *unreadFold {
	if e == nil {
		return nil
	}
	t, _ := k.lru.Remove(e).(*unreadFold)
	delete(k.all, t.chat)
	k.used -= t.weight()
	return t
}

// forget leaves of a tally how far it was written down.
func (k *unreadFolds) forget(t *unreadFold) {
	if !t.clean() {
		return
	}
	for chat := range k.before { // in no particular order
		if len(k.before) < k.size {
			break
		}
		delete(k.before, chat)
	}
	k.before[t.chat] = written{t.seq, t.epoch}
}
