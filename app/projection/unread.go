package projection

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// MaxKeptUnread is the most members of a chat whose unread counts are stored for other programs. Queries count when they are called, for chats of any
// size.
const MaxKeptUnread = 20_000

// standing is how a member stands in a chat as of a seq.
type standing struct {
	base  domain.Seq     // messages after it count: that of the join or of the read mark, whichever is later, or that from which the user marked them as unread
	count domain.Ordinal // of unread messages
	asOf  domain.Seq
}

// standing gives a member's own. For anyone else it gives as of which seq that is so, with [domain.ErrNotMember].
func (m *Models) standing(ctx context.Context, chat domain.ChatID, user domain.UserID) (standing, error) {
	const attempts = 8 // of a user that reads and writes all the while
	for range attempts {
		base, head, err := m.base(ctx, chat, user)
		if err != nil {
			return standing{asOf: head}, err
		}
		counts, err := m.log.Count(ctx, chat, base)
		if err != nil {
			return standing{}, err
		}
		c := counts[0]
		if c.Last != head { // events have come in between: did one of them move this user's mark, or membership?
			then, _, err := m.At(c.Last).base(ctx, chat, user)
			if errors.Is(err, domain.ErrNotMember) || err == nil && then != base {
				continue
			}
			if err != nil {
				return standing{}, err
			}
		}
		return standing{base: base, count: domain.Unread(c.Head, c.At, c.Deleted), asOf: c.Last}, nil
	}
	return standing{}, fmt.Errorf("%w: the mark of user %q in chat %q moved %d times while messages were counted", ports.ErrConflict, user, chat, attempts)
}

// base is after which seq messages count as unread for a member, and as of which seq that is so.
func (m *Models) base(ctx context.Context, chat domain.ChatID, user domain.UserID) (base, asOf domain.Seq, err error) {
	entities := []entity.Versioned{{Entity: domain.MemberEntity(user)}, {Entity: domain.ReadEntity(user), Latest: true}, {Entity: domain.SettingsEntity(user)}}
	head, unread, err := m.entities.FillFound(ctx, chat, entities)
	for _, u := range unread { // a count that leaves it out may be wrong
		return 0, 0, &u.NewerVersionError
	}
	if err != nil {
		return 0, 0, err
	}
	member, _ := entities[0].State.(*domain.Member)
	mark, _ := entities[1].State.(*domain.ReadMark)
	if !member.Current() {
		return 0, head, domain.NotMember(chat, user)
	}
	settings, _ := entities[2].State.(*domain.Settings)
	return settings.UnreadAfter(*member, *mark, entities[1].Version), head, nil
}

// Unread returns how many messages of others a member has not read: those after the member's read mark, or after the member joined, without
// tombstones. It takes the same effort however long the chat is. It returns [domain.ErrNotMember] for anyone else.
func (m *Models) Unread(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Ordinal, error) {
	if m.until == 0 {
		if counter, ok := m.log.(ports.UnreadCounter); ok {
			counts, err := counter.CountUnread(ctx, user, chat)
			if err != nil || counts[0].Outcome == ports.UnreadCounted {
				return firstCount(counts), err
			}
		}
		s, err := m.standing(ctx, chat, user)
		return s.count, err
	}
	base, _, err := m.base(ctx, chat, user)
	if err != nil {
		return 0, err
	}
	count, err := m.countUntil(ctx, chat, base)
	return domain.Unread(count.Head, count.At, count.Deleted), err
}

func firstCount(counts []ports.UnreadCount) domain.Ordinal {
	if len(counts) == 0 {
		return 0
	}
	return counts[0].Messages
}

// UnreadIn returns the numbers of a user's unread messages in some chats, exact as of now: one round trip for each 128 chats. Those that the user is not in any more are left out.
func (m *Models) UnreadIn(ctx context.Context, user domain.UserID, chats []domain.ChatID) (map[domain.ChatID]domain.Ordinal, error) {
	found := make(map[domain.ChatID]domain.Ordinal, len(chats))
	counter, ok := m.log.(ports.UnreadCounter)
	if !ok {
		return found, m.loadUnread(ctx, user, chats, found)
	}
	counts, err := counter.CountUnread(ctx, user, chats...)
	if err != nil {
		return nil, err
	}
	var unknown []domain.ChatID
	for i, c := range counts {
		switch c.Outcome {
		case ports.UnreadCounted:
			found[chats[i]] = c.Messages
		case ports.UnreadUnknown:
			unknown = append(unknown, chats[i])
		case ports.UnreadNotMember:
		}
	}
	return found, m.loadUnread(ctx, user, unknown, found)
}

// chatsTogether is how many chats are counted side by side.
const chatsTogether = 8

// loadUnread counts in some chats by loading the entities that the counts need, several chats at a time.
func (m *Models) loadUnread(ctx context.Context, user domain.UserID, chats []domain.ChatID, into map[domain.ChatID]domain.Ordinal) error {
	counts, left := make([]domain.Ordinal, len(chats)), make([]bool, len(chats))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(chatsTogether)
	for i, chat := range chats {
		group.Go(func() error {
			s, err := m.standing(ctx, chat, user)
			left[i] = errors.Is(err, domain.ErrNotMember) || errors.Is(err, domain.ErrChatNotFound)
			if left[i] { // or lost, and the view of chats does not know yet
				return nil
			}
			counts[i] = s.count
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, chat := range chats {
		if !left[i] {
			into[chat] = counts[i]
		}
	}
	return nil
}

// KeptUnread returns a user's unread counts as they are stored for other programs, up to a second behind the log; see [MaxKeptUnread].
func (m *Models) KeptUnread(ctx context.Context, user domain.UserID) (map[domain.ChatID]domain.Ordinal, error) {
	if m.views.Unread == nil {
		return nil, m.NoView("WithUserViews")
	}
	numbers, err := m.views.Unread.Of(ctx, m.views.Log, user)
	if err != nil {
		return nil, err
	}
	counts := make(map[domain.ChatID]domain.Ordinal, len(numbers))
	for chat, n := range numbers {
		counts[chat] = domain.Ordinal(n)
	}
	return counts, nil
}
