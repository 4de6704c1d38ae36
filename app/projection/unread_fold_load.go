package projection

import (
	"context"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// together is how many members are loaded in one step.
const together = 128

// load makes a tally from the present log, with all counts as pending writes, and obsolete ones as pending removals. It returns nil for a chat that
// the log no longer has.
func (u *UnreadCounts) load(ctx context.Context, d ports.Delivery) (*unreadFold, error) {
	t := &unreadFold{chat: d.ID.Chat, most: u.most, epoch: u.models.entities.Epoch()}
	head, err := u.models.entities.Load(ctx, t.chat, nil)
	if err != nil || head == 0 {
		return nil, err
	}
	r, err := u.rosterUntil(ctx, d, head)
	if err != nil {
		return nil, err
	}
	t.seq, t.atLeast = head, r.size
	if r.whole && r.size <= u.most {
		if err := u.count(ctx, t, r.members); err != nil {
			return nil, err
		}
	}
	t.dropAll(r.kept)
	return t, nil
}

// roster holds the members of a chat, and the users that may have a stored count.
type roster struct {
	most    int
	size    int                          // so many members, at least
	whole   bool                         // whether these are all of them
	members map[domain.UserID]domain.Seq // with the seq of the join
	kept    map[domain.UserID]struct{}   // members while the chat was small
}

// rosterUntil returns the roster as of a seq. Stored counts may be those of the members as of the events handled before the delivery, or as of any
// seq since, because a tally is loaded as of the log's end. So it begins there.
func (u *UnreadCounts) rosterUntil(ctx context.Context, d ports.Delivery, head domain.Seq) (*roster, error) {
	r := &roster{most: u.most, kept: make(map[domain.UserID]struct{})}
	at := d.ID.Seq - 1
	if err := u.scan(ctx, d.ID.Chat, at, r); err != nil {
		return nil, err
	}
	take := func(seq domain.Seq, e domain.Durable) error {
		switch e := e.(type) {
		case domain.ChatUpdate:
			if r.apply(seq, e) {
				return u.scan(ctx, d.ID.Chat, seq, r)
			}
		case domain.Unknown:
			return &entity.UnreadableOf(seq, e).NewerVersionError
		}
		return nil
	}
	if d.ID.Seq == head {
		return r, take(head, d.Event)
	}
	for at < head {
		page, err := u.models.log.Read(ctx, d.ID.Chat, ports.Range{From: at + 1, Limit: int(min(head-at, ports.MaxPage))}) //nolint:gosec // at most MaxPage
		if err != nil || len(page.Records) == 0 {
			return r, err
		}
		for _, record := range page.Records {
			if err := take(record.Seq, record.Event); err != nil {
				return nil, err
			}
			at = record.Seq
		}
	}
	return r, nil
}

// apply takes a change of the chat. It reports whether so few members are left that they have to be known by name, and are not.
func (r *roster) apply(seq domain.Seq, e domain.ChatUpdate) bool {
	user := e.User
	switch e.Change {
	case domain.Created, domain.MemberAdded:
		if e.Change == domain.Created {
			user = e.Actor
		}
		r.size++
		r.members[user] = seq
	case domain.MemberRemoved:
		r.size--
		delete(r.members, user)
	case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
		return false
	}
	if r.whole {
		r.size = len(r.members)
	}
	if r.whole && r.size == r.most {
		r.keep()
	} else if r.whole && r.size < r.most {
		r.kept[user] = struct{}{}
	}
	return !r.whole && r.size <= r.most
}

// keep notes that the counts of all members may be there.
func (r *roster) keep() {
	for user := range r.members {
		r.kept[user] = struct{}{}
	}
}

// scan finds the members as of a seq: all, or more than twice the bound.
func (u *UnreadCounts) scan(ctx context.Context, chat domain.ChatID, seq domain.Seq, r *roster) error {
	r.members, r.size, r.whole = make(map[domain.UserID]domain.Seq), 0, true
	if seq == 0 {
		return nil
	}
	loader := u.models.entities.At(seq)
	var entities []entity.Versioned
	load := func() error {
		if _, err := loader.Load(ctx, chat, entities); err != nil {
			return err
		}
		for _, s := range entities {
			if m, _ := s.State.(*domain.Member); m.Current() {
				r.members[m.User] = m.Since
			}
		}
		entities = entities[:0]
		return nil
	}
	for user, err := range u.models.log.Members(ctx, chat) {
		if err != nil {
			return err
		}
		if entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(user)}); len(entities) < together {
			continue
		}
		if err := load(); err != nil {
			return err
		}
		if len(r.members) > 2*r.most {
			r.whole = false
			break
		}
	}
	if err := load(); err != nil {
		return err
	}
	if r.size = len(r.members); r.whole && r.size <= r.most {
		r.keep()
	}
	return nil
}

// count fills in where the members stand. Messages are counted as of a later seq than marks are read, perhaps; the events between are
// folded, so that at the end each count is of one moment.
func (u *UnreadCounts) count(ctx context.Context, t *unreadFold, since map[domain.UserID]domain.Seq) error {
	loader := u.models.entities.At(t.seq)
	t.members = make(map[domain.UserID]*reader, len(since))
	users, bases := make([]domain.UserID, 0, len(since)), make([]domain.Seq, 0, len(since))
	entities := make([]entity.Versioned, 0, together)
	load := func() error {
		if _, err := loader.Load(ctx, t.chat, entities); err != nil {
			return err
		}
		for _, s := range entities {
			user := domain.UserID(s.Entity.ID)
			mark, _ := s.State.(*domain.ReadMark)
			users, bases = append(users, user), append(bases, max(since[user], mark.Seq))
		}
		entities = entities[:0]
		return nil
	}
	for user := range since {
		if entities = append(entities, entity.Versioned{Entity: domain.ReadEntity(user), Latest: true}); len(entities) == together {
			if err := load(); err != nil {
				return err
			}
		}
	}
	if err := load(); err != nil {
		return err
	}
	counts, err := u.models.log.Count(ctx, t.chat, bases...)
	if err != nil {
		return err
	}
	for i, c := range counts {
		t.members[users[i]] = &reader{
			standing: standing{base: bases[i], count: domain.Unread(c.Head, c.At, c.Deleted), asOf: c.Last}, dirty: true,
		}
		t.ahead = c.Last
	}
	return u.catchUp(ctx, t, t.seq)
}
