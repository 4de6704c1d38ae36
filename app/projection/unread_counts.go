package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Of chats of more than eachPace members, counts are written down at intervals of largeEvery only: 20,000 members take Redis about 50 ms.
const (
	eachPace   = 256
	largeEvery = time.Minute
)

// UnreadCounts stores the number of unread messages of each member of a chat, for chats of up to [MaxKeptUnread] members. Those of more than 256
// members are written once a minute at most, the others with every batch.
//
// It counts in the log, for all chats of a batch in one step, whose counts the events may have changed: of all members after a message, of one user
// after a receipt or a join. It writes whole counts as of a seq, which only later ones replace. No write adds to a stored count. So handling an event
// again, late, or without those before it corrupts no count.
type UnreadCounts struct {
	models  *Models
	written *writtenCounts
	most    int // members of a chat whose counts are kept
	small   int // members of a chat whose counts are written with every batch
	every   time.Duration
	now     func() time.Time
}

// NewUnreadCounts keeps the counts in the views of the models.
func NewUnreadCounts(models *Models) *UnreadCounts {
	const chats = 1 << 16 // about 8 MB
	return &UnreadCounts{models: models, written: newWrittenCounts(chats), most: MaxKeptUnread, small: eachPace, every: largeEvery, now: time.Now}
}

// Handle writes the counts that one event has changed, for chats of any size. An event that is in no log changes none. At the first event of a chat,
// with which a rebuild begins, all counts of the chat are written, over any stored ones.
func (u *UnreadCounts) Handle(ctx context.Context, d ports.Delivery) error {
	batch := &ports.ChatBatch{Deliveries: []ports.Delivery{d}, Done: 1}
	u.handle(ctx, []*ports.ChatBatch{batch}, false)
	return batch.Err
}

// HandleBatch writes the counts that the deliveries which the batches say are done have changed, in one step. It takes back Done, and sets Err, where it
// could not; and it sets Later for a large chat that was written less than a minute ago.
func (u *UnreadCounts) HandleBatch(ctx context.Context, batches []*ports.ChatBatch) {
	u.handle(ctx, batches, true)
}

func (u *UnreadCounts) handle(ctx context.Context, batches []*ports.ChatBatch, defers bool) {
	epoch, now := u.models.entities.Epoch(), u.now()
	var changed []*recount
	for _, b := range batches {
		if b.Done == 0 || b.Deliveries[0].ID.Seq == 0 {
			continue
		}
		before := u.written.of(b.Deliveries[0].ID.Chat, epoch)
		r := newRecount(b, before)
		switch left := before.members - r.leaves; {
		case r.follows(before) && left > u.most: // the chat was and is too large
			before.seq, before.members = max(before.seq, r.last), left
			u.written.put(r.chat, before)
		case !r.all && len(r.changed) == 0:
		case defers && r.all && r.rebuild == 0 && left > u.small && now.Before(before.next):
			b.Done, b.Err, b.Later = 0, nil, before.next.Sub(now)
		default:
			changed = append(changed, r)
		}
	}
	if len(changed) > 0 {
		u.write(ctx, u.count(ctx, changed), writtenChat{epoch: epoch, next: now.Add(u.every)})
	}
}

// count counts in all chats in one step. If that fails, and the log is available, each chat is counted by itself. It returns those that were counted.
func (u *UnreadCounts) count(ctx context.Context, changed []*recount) (counted []*recount) {
	requests := make([]ports.CountRequest, len(changed))
	for i, r := range changed {
		requests[i] = r.request()
	}
	counts, err := u.models.log.CountMembers(ctx, requests...)
	if err != nil && len(changed) > 1 && !errors.Is(err, ports.ErrUnavailable) {
		for i := range changed {
			counted = append(counted, u.count(ctx, changed[i:i+1])...)
		}
		return counted
	}
	for i, r := range changed {
		if err == nil && counts[i].Head == 0 { // the log does not have the chat any more
			continue
		}
		failed := err
		if err == nil {
			failed = u.take(ctx, r, counts[i])
		}
		if failed != nil {
			r.fail(failed)
			continue
		}
		counted = append(counted, r)
	}
	return counted
}

// take sets the entries of a chat from its counts. It counts again where members have joined or left meanwhile, and it is not certain whether counts
// are kept.
func (u *UnreadCounts) take(ctx context.Context, r *recount, counts ports.MemberCounts) error {
	const attempts = 8
	for range attempts {
		r.begin(counts, u.most)
		var err error
		if r.crowded && r.later || r.all && counts.Members > ports.MaxCountMembers {
			err = u.scan(ctx, r)
		} else {
			err = u.add(ctx, r, counts)
		}
		if err != nil || r.settle(counts.Members, u.most) {
			return err
		}
		again, err := u.models.log.CountMembers(ctx, r.request())
		if err != nil {
			return err
		}
		counts = again[0]
	}
	return fmt.Errorf("%w: the members of chat %q changed %d times while messages were counted", ports.ErrConflict, r.chat, attempts)
}

// scan counts the members of a chat of many, some hundreds at a time, each as of one moment. It ends early once there are so many that no counts are
// kept, and that the next ones to leave do not change that.
func (u *UnreadCounts) scan(ctx context.Context, r *recount) error {
	r.all = true
	count := func(users []domain.UserID) error {
		if len(users) == 0 {
			return nil
		}
		counts, err := u.models.log.CountMembers(ctx, ports.CountRequest{Chat: r.chat, Users: users, After: r.after()})
		if err != nil {
			return err
		}
		r.users = append(r.users, users...)
		return u.add(ctx, r, counts[0])
	}
	var users []domain.UserID
	for user, err := range u.models.log.Members(ctx, r.chat) {
		if err != nil {
			return err
		}
		if users = append(users, user); len(users) < ports.MaxCountMembers {
			continue
		}
		if err := count(users); err != nil || r.members > r.room(u.most)+u.most {
			return err
		}
		users = users[:0]
	}
	return count(users)
}

// add adds the entries of some users. It loads the counts that the log does not know.
func (u *UnreadCounts) add(ctx context.Context, r *recount, counts ports.MemberCounts) error {
	for _, c := range counts.Users {
		version := counts.Head
		if c.Outcome == ports.UnreadUnknown {
			s, err := u.models.standing(ctx, r.chat, c.User)
			gone := errors.Is(err, domain.ErrNotMember)
			if err != nil && !gone {
				return err
			}
			version, c.Messages, c.Outcome = s.asOf, s.count, ports.UnreadCounted
			if gone {
				c.Outcome = ports.UnreadNotMember
			}
		}
		r.add(version, c)
	}
	return nil
}

// write stores the counts of all chats in one step. If that fails, and Redis is available, each chat is written by itself. It keeps what it has written
// of whole chats, with the epoch and the next time that state has.
func (u *UnreadCounts) write(ctx context.Context, counted []*recount, state writtenChat) {
	if u.models.entities.Epoch() != state.epoch {
		for _, r := range counted {
			r.fail(fmt.Errorf("%w: the log may have lost counted events of chat %q", ports.ErrConflict, r.chat))
		}
		return
	}
	var puts []ports.ChatEntries
	for _, r := range counted {
		if len(r.entries) > 0 {
			puts = append(puts, ports.ChatEntries{Chat: r.chat, Entries: r.entries})
		}
	}
	var err error
	if len(puts) > 0 {
		err = u.models.views.Unread.Put(ctx, counted[0].log, puts...)
	}
	if err != nil && len(counted) > 1 && !errors.Is(err, ports.ErrUnavailable) {
		for i := range counted {
			u.write(ctx, counted[i:i+1], state)
		}
		return
	}
	for _, r := range counted {
		if err != nil {
			r.fail(err)
		} else if r.all && r.later {
			state.seq, state.members, state.crowded = r.head, r.members, r.crowded
			u.written.put(r.chat, state)
		}
	}
}
