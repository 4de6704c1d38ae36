package app

import (
	"context"
	"errors"

	"chatcore/domain"
	"chatcore/ports"
)

// UnreadCounts keeps how many messages each member of a chat has not read, for chats of up to [MaxKeptUnread] members.
//
// It folds a chat's events into a tally, which it keeps in the process from one event to the next, and writes down the counts that an event
// has changed: whole counts as of a seq, which only later ones replace. Nothing is added to what is written. So handling an event
// again, late, or without those before it changes no count for good: what a tally has not seen it reads from the log.
type UnreadCounts struct {
	queries *Queries
	tallies *tallies
	most    int // members of a chat whose counts are kept
}

// NewUnreadCounts keeps the counts in the views of the queries.
func NewUnreadCounts(queries *Queries) *UnreadCounts {
	const members = 1 << 17 // of all tallies that are kept: about 15 MB
	return &UnreadCounts{queries: queries, tallies: newTallies(members), most: MaxKeptUnread}
}

// Handle counts an event. One that is in no log counts nothing. At the first event of a chat, with which a rebuild begins, Handle writes all counts
// of the chat as the log says, whatever is written already.
func (u *UnreadCounts) Handle(ctx context.Context, d ports.Delivery) error {
	if d.ID.Seq == 0 {
		return nil
	}
	t, written := u.tallies.take(d.ID.Chat, u.queries.entities.Epoch())
	if d.ID.Seq == 1 {
		return u.rebuild(ctx, d)
	}
	if !counted(d.Event) {
		if t != nil && t.seq+1 == d.ID.Seq {
			t.seq++
		}
		u.tallies.put(t)
		return nil
	}
	if t == nil && d.ID.Seq <= written {
		return nil
	}
	t, err := u.upTo(ctx, t, d)
	if err == nil && t != nil {
		err = u.write(ctx, d.ID.Log, t, 0)
	}
	if err != nil {
		return err // the tally is not kept: what it had to write is found again from the log
	}
	u.tallies.put(t)
	return nil
}

// rebuild loads the tally of a chat anew and writes all of it.
func (u *UnreadCounts) rebuild(ctx context.Context, d ports.Delivery) error {
	t, err := u.upTo(ctx, nil, d)
	if err == nil && t != nil {
		err = u.write(ctx, d.ID.Log, t, d.Epoch)
	}
	if err != nil {
		return err
	}
	u.tallies.put(t)
	return nil
}

// counted reports whether an event may change a count.
func counted(e domain.Durable) bool {
	switch e := e.(type) {
	case domain.MessageNew, domain.MessageDelete, domain.ReadReceipt:
		return true
	case domain.ChatUpdate:
		return e.Change == domain.Created || e.Change == domain.MemberAdded || e.Change == domain.MemberRemoved
	}
	return false
}

// upTo brings a tally, if there is one, to the delivery's seq at least. It is nil for a chat that the log does not have any more.
func (u *UnreadCounts) upTo(ctx context.Context, t *tally, d ports.Delivery) (_ *tally, err error) {
	switch {
	case t == nil, d.ID.Seq > t.seq+ports.MaxPage: // to load it costs less than to read what is between
		t, err = u.load(ctx, d)
	case d.ID.Seq == t.seq+1:
		if err = u.apply(ctx, t, d.ID.Seq, d.Event); err == nil {
			err = u.catchUp(ctx, t, d.ID.Seq)
		}
	default:
		err = u.catchUp(ctx, t, d.ID.Seq)
	}
	for err == nil && t != nil && t.shrunk { // counts are kept again, or were in between
		gone := t.gone
		if t, err = u.load(ctx, d); t != nil {
			t.dropAll(gone)
		}
	}
	return t, err
}

// catchUp folds the log's events up to a seq or to the last, and on to where a member's standing was looked up: then everything in the
// tally is as of its seq.
func (u *UnreadCounts) catchUp(ctx context.Context, t *tally, to domain.Seq) error {
	for t.seq < max(to, t.ahead) {
		left := max(to, t.ahead) - t.seq
		page, err := u.queries.log.Read(ctx, t.chat, ports.Range{From: t.seq + 1, Limit: int(min(left, ports.MaxPage))}) //nolint:gosec // at most MaxPage
		if err != nil || len(page.Records) == 0 {
			return err
		}
		for _, r := range page.Records {
			if err := u.apply(ctx, t, r.Seq, r.Event); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply folds the next event, with what has to be looked up for it.
func (u *UnreadCounts) apply(ctx context.Context, t *tally, seq domain.Seq, e domain.Durable) error {
	switch e := e.(type) {
	case domain.MessageNew:
		t.sent(seq, e.Sender)
	case domain.MessageDelete:
		if t.members == nil {
			break
		}
		slots := []slot{{entity: domain.MessageEntity(e.Message)}}
		if !u.queries.entities.cached(t.chat, slots) { // where it was sent never changes
			if _, err := u.queries.entities.load(ctx, t.chat, slots); err != nil {
				return err
			}
		}
		if m, _ := slots[0].state.(*domain.Message); m.Exists() {
			t.deleted(seq, m.Seq)
		}
	case domain.Unknown: // the counts would be wrong from here on
		return &unreadableOf(seq, e).NewerVersionError
	case domain.ReadReceipt:
		if t.read(seq, e.User, e.ReadSeq) {
			break
		}
		s, err := u.queries.standing(ctx, t.chat, e.User)
		if err != nil && !errors.Is(err, domain.ErrNotMember) { // who has left by now will be told to have
			return err
		}
		t.stands(e.User, s)
	case domain.ChatUpdate:
		switch e.Change {
		case domain.Created:
			t.joined(seq, e.Actor)
		case domain.MemberAdded:
			t.joined(seq, e.User)
		case domain.MemberRemoved:
			t.left(e.User)
		case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
		}
	}
	t.seq = seq
	return nil
}

// write puts down what has changed, in a rebuild under its lease epoch.
func (u *UnreadCounts) write(ctx context.Context, log string, t *tally, rebuild uint64) error {
	entries := t.changes()
	if len(entries) == 0 {
		return nil
	}
	for i := range entries {
		entries[i].Rebuild = rebuild
	}
	if err := u.queries.views.Unread.Put(ctx, log, t.chat, entries...); err != nil {
		return err
	}
	t.written()
	return nil
}
