package app

import (
	"context"
	"fmt"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
)

// MaxReadBy is the most members of a chat of which [Queries.ReadBy] says who has read a message.
const MaxReadBy = 256

// ReadBy returns the members that have read a message, without its sender, sorted. Receipts are recorded at most once a second, so it says nothing of when. A user who
// marks messages as unread has still read them. It takes a round trip for the names of the members, one for the message and the marks, and one more for a
// message that is in a thread alone: there the marks of the thread count. It returns [domain.ErrTooManyMembers] for a chat of more than [MaxReadBy] members.
func (q *Queries) ReadBy(ctx context.Context, chat domain.ChatID, id domain.MessageID) ([]domain.UserID, error) {
	if err := firstError(checkChat(chat), checkMessage(id)); err != nil {
		return nil, err
	}
	entities := []entity.Versioned{{Entity: domain.MessageEntity(id)}}
	for user, err := range q.log.Members(ctx, chat) {
		if err != nil {
			return nil, err
		}
		entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(user)}, entity.Versioned{Entity: domain.ReadEntity(user), Latest: true})
	}
	if _, err := q.loadParts(ctx, chat, entities); err != nil {
		return nil, err
	}
	m, _ := entities[0].State.(*domain.Message)
	if !m.Exists() {
		return nil, noMessage(chat, id)
	}
	var members, readers []domain.UserID
	for i := 1; i < len(entities); i += 2 {
		member, _ := entities[i].State.(*domain.Member)
		mark, _ := entities[i+1].State.(*domain.ReadMark)
		if !member.Current() {
			continue
		}
		if members = append(members, member.User); len(members) > MaxReadBy {
			return nil, &domain.Refusal{Reason: domain.ErrTooManyMembers, Detail: fmt.Sprintf("chat %q has more than %d members", chat, MaxReadBy)}
		}
		if mark.Seq >= m.Seq && member.User != m.Sender {
			readers = append(readers, member.User)
		}
	}
	if !m.InTimeline() {
		var err error
		if readers, err = q.readInThread(ctx, chat, m, members); err != nil {
			return nil, err
		}
	}
	slices.Sort(readers)
	return readers, nil
}

// readInThread returns those of some users who have read a reply in a thread, without its sender.
func (q *Queries) readInThread(ctx context.Context, chat domain.ChatID, m *domain.Message, users []domain.UserID) (readers []domain.UserID, err error) {
	marks := make([]entity.Versioned, len(users))
	for i, user := range users {
		marks[i] = entity.Versioned{Entity: domain.ThreadMarkEntity(user, m.Thread)}
	}
	if _, err := q.loadParts(ctx, chat, marks); err != nil {
		return nil, err
	}
	for i, user := range users {
		if position, _ := marks[i].State.(*domain.ThreadPosition); position.Seq >= m.Seq && user != m.Sender {
			readers = append(readers, user)
		}
	}
	return readers, nil
}

// loadParts is load of any number of entities, some at a time.
func (q *Queries) loadParts(ctx context.Context, chat domain.ChatID, entities []entity.Versioned) (head domain.Seq, err error) {
	const together = 2*MaxReadBy + 1
	for some := range slices.Chunk(entities, together) {
		if head, err = q.load(ctx, chat, some); err != nil {
			return 0, err
		}
	}
	return head, nil
}
