package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Of chats of more members than eachPace, counts are written down at intervals of largeEvery only: 20,000 members take Redis about 50 ms.
const (
	eachPace   = 256
	largeEvery = time.Minute
)

// UnreadCounts stores the number of unread messages of each member of a chat, for chats of up to [MaxKeptUnread] members. Those of more than 256
// members are written once a minute at most, the others with every batch.
//
// It folds a chat's events into a tally, which it keeps in the process from one batch to the next, and writes the counts that the batch has changed:
// whole counts as of a seq, which only later ones replace. No write adds to a stored count. So handling an event again, late, or without those before
// it corrupts no count: a tally reads missing events from the log.
type UnreadCounts struct {
	models  *Models
	tallies *unreadFolds
	most    int // members of a chat whose counts are kept
	small   int // members of a chat whose counts are written with every batch
	every   time.Duration
	now     func() time.Time
}

// NewUnreadCounts keeps the counts in the views of the models.
func NewUnreadCounts(models *Models) *UnreadCounts {
	const members = 1 << 17 // of all tallies that are kept: about 15 MB
	return &UnreadCounts{models: models, tallies: newTallies(members), most: MaxKeptUnread, small: eachPace, every: largeEvery, now: time.Now}
}

// Handle counts one event and writes the changed counts, for chats of any size. An event that is in no log is not counted. At the first event of a
// chat, with which a rebuild begins, all counts of the chat are written from the log, over any stored ones.
func (u *UnreadCounts) Handle(ctx context.Context, d ports.Delivery) error {
	batch := &ports.ChatBatch{Deliveries: []ports.Delivery{d}, Done: 1}
	u.handle(ctx, []*ports.ChatBatch{batch}, false)
	return batch.Err
}

// HandleBatch counts, of each chat, the deliveries that the batch says are done, and writes everything that they changed in one step. It takes back
// Done, and sets Err, where it could not; and it sets Later for a large chat that was written less than a minute ago.
func (u *UnreadCounts) HandleBatch(ctx context.Context, batches []*ports.ChatBatch) {
	u.handle(ctx, batches, true)
}

// foldedBatch is a tally with counts to write down.
type foldedBatch struct {
	*unreadFold
	batch   *ports.ChatBatch
	log     string
	rebuild uint64 // lease epoch of a rebuild, or 0
}

func (u *UnreadCounts) handle(ctx context.Context, batches []*ports.ChatBatch, defers bool) {
	var folded []foldedBatch
	for _, b := range batches {
		if b.Done == 0 || b.Deliveries[0].ID.Seq == 0 {
			continue
		}
		f := u.fold(ctx, b)
		switch now := u.now(); {
		case f.unreadFold == nil:
		case f.clean():
			u.tallies.put(f.unreadFold)
		case defers && f.rebuild == 0 && len(f.members) > u.small && now.Before(f.next):
			u.tallies.put(f.unreadFold)
			b.Done, b.Err, b.Later = 0, nil, f.next.Sub(now)
		default:
			f.next = now.Add(u.every)
			folded = append(folded, f)
		}
	}
	u.write(ctx, folded)
}

// fold brings a chat's tally to the last delivery that is done. There is none if nothing is to be written or kept.
func (u *UnreadCounts) fold(ctx context.Context, b *ports.ChatBatch) (f foldedBatch) {
	first := b.Deliveries[0].ID
	f = foldedBatch{batch: b, log: first.Log}
	t, written := u.tallies.take(first.Chat, u.models.entities.Epoch())
	for i, d := range b.Deliveries[:b.Done] {
		var err error
		switch {
		case d.ID.Seq == 1:
			f.rebuild = d.Epoch
			t, err = u.upTo(ctx, nil, d)
		case !counted(d.Event):
			if t != nil && t.seq+1 == d.ID.Seq {
				t.seq++
			}
		case t != nil || d.ID.Seq > written:
			t, err = u.upTo(ctx, t, d)
		}
		if err == nil {
			continue
		}
		b.Err, b.Later = err, 0
		if b.Done = i; i == 0 || t == nil || t.seq < t.ahead { // the tally is not kept: what it had to write is found again from the log
			b.Done = 0
			return foldedBatch{}
		}
		break
	}
	f.unreadFold = t
	return f
}

// write stores the changed counts of all chats in one step. If that fails, and Redis is available, each chat is written by itself.
func (u *UnreadCounts) write(ctx context.Context, folded []foldedBatch) {
	epoch := u.models.entities.Epoch()
	folded = slices.DeleteFunc(folded, func(f foldedBatch) bool {
		if f.epoch == epoch {
			return false
		}
		f.batch.Done, f.batch.Err = 0, fmt.Errorf("%w: the log may have lost counted events of chat %q", ports.ErrConflict, f.chat)
		return true
	})
	if len(folded) == 0 {
		return
	}
	puts := make([]ports.ChatEntries, len(folded))
	for i, f := range folded {
		puts[i] = ports.ChatEntries{Chat: f.chat, Entries: f.changes()}
		for k := range puts[i].Entries {
			puts[i].Entries[k].Rebuild = f.rebuild
		}
	}
	err := u.models.views.Unread.Put(ctx, folded[0].log, puts...)
	alone := err != nil && len(folded) > 1 && !errors.Is(err, ports.ErrUnavailable)
	for i, f := range folded {
		if alone {
			err = u.models.views.Unread.Put(ctx, f.log, puts[i])
		}
		if err != nil { // the tally is not kept: what it had to write is found again from the log
			f.batch.Done, f.batch.Err = 0, err
			continue
		}
		f.written()
		u.tallies.put(f.unreadFold)
	}
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
func (u *UnreadCounts) upTo(ctx context.Context, t *unreadFold, d ports.Delivery) (_ *unreadFold, err error) {
	switch {
	case t == nil, d.ID.Seq > t.seq+ports.MaxPage: // to load it costs less than to read the events between
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
func (u *UnreadCounts) catchUp(ctx context.Context, t *unreadFold, to domain.Seq) error {
	for t.seq < max(to, t.ahead) {
		left := max(to, t.ahead) - t.seq
		page, err := u.models.log.Read(ctx, t.chat, ports.Range{From: t.seq + 1, Limit: int(min(left, ports.MaxPage))}) //nolint:gosec // at most MaxPage
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

// apply folds the next event, after the lookups that it needs.
func (u *UnreadCounts) apply(ctx context.Context, t *unreadFold, seq domain.Seq, e domain.Durable) error {
	switch e := e.(type) {
	case domain.MessageNew:
		t.sent(seq, e.Sender)
	case domain.MessageDelete:
		if t.members == nil {
			break
		}
		entities := []entity.Versioned{{Entity: domain.MessageEntity(e.Message)}}
		if !u.models.entities.Cached(t.chat, entities) { // where it was sent never changes
			if _, err := u.models.entities.Load(ctx, t.chat, entities); err != nil {
				return err
			}
		}
		if m, _ := entities[0].State.(*domain.Message); m.Exists() {
			t.deleted(seq, m.Seq)
		}
	case domain.Unknown: // the counts would be wrong from here on
		return &entity.UnreadableOf(seq, e).NewerVersionError
	case domain.ReadReceipt:
		if t.read(seq, e.User, e.ReadSeq) {
			break
		}
		s, err := u.models.standing(ctx, t.chat, e.User)
		if err != nil && !errors.Is(err, domain.ErrNotMember) { // a later event will remove a user that has left by now
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
