package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// Limits of one page of a query.
const (
	MaxHistory = 100           // messages
	MaxEvents  = ports.MaxPage // events
)

// Log is what queries need of the event log.
type Log interface {
	ports.EventLog
	ports.ChatIndex
	ports.MessageCounter
}

// Queries read chats. Every answer is folded from the log at the time it is asked for.
type Queries struct {
	log Log
}

// NewQueries puts the queries on the given log.
func NewQueries(log Log) *Queries { return &Queries{log: log} }

// Span selects a page of a chat by seq. At most one of Before and After is given; with neither it is the chat's last page.
type Span struct {
	Before domain.Seq // backwards from below this seq
	After  domain.Seq // forwards from above this seq
	First  bool       // forwards from the beginning
	Limit  int        // from 1. Defaults to 50
}

func (s Span) ranged(most int) (ports.Range, error) {
	if s.Limit == 0 {
		s.Limit = min(50, most)
	}
	if s.Limit < 1 || s.Limit > most {
		return ports.Range{}, &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %d", s.Limit), Allowed: fmt.Sprintf("1 to %d", most)}
	}
	given := 0
	for _, there := range []bool{s.Before > 0, s.After > 0, s.First} {
		if there {
			given++
		}
	}
	switch {
	case given > 1:
		return ports.Range{}, &domain.InvalidError{Field: "before and after", Problem: "are given together", Allowed: "one of them, or neither"}
	case s.After > 0:
		return ports.Range{From: s.After + 1, Limit: s.Limit}, nil
	case s.First:
		return ports.Range{From: 1, Limit: s.Limit}, nil
	case s.Before > 1:
		return ports.Range{From: s.Before - 1, Backward: true, Limit: s.Limit}, nil
	case s.Before == 1:
		return ports.Range{}, nil // nothing is before the first
	}
	return ports.Range{Backward: true, Limit: s.Limit}, nil
}

// Events gives a page of the chat's log as it is, in the order of the span's direction. [domain.ErrChatNotFound] if there is none.
func (q *Queries) Events(ctx context.Context, chat domain.ChatID, span Span) ([]ports.Record, error) {
	r, err := span.ranged(MaxEvents)
	if err := firstError(checkChat(chat), err); err != nil {
		return nil, err
	}
	if r.Limit == 0 {
		return nil, q.exists(ctx, chat)
	}
	page, err := q.log.Read(ctx, chat, r)
	if err != nil {
		return nil, err
	}
	return page.Records, found(chat, page.Head)
}

// MessageView is a message in its present state, with its reactions.
type MessageView struct {
	domain.Message
	Reactions []domain.ReactionGroup
}

// History gives a page of the chat's messages in their present state, tombstones among them, in the order of the span's
// direction. [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) History(ctx context.Context, chat domain.ChatID, span Span) ([]MessageView, error) {
	r, err := span.ranged(MaxHistory)
	if err := firstError(checkChat(chat), err); err != nil {
		return nil, err
	}
	if r.Limit == 0 {
		return nil, q.exists(ctx, chat)
	}
	ids, err := q.sentIn(ctx, chat, r)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	wants := make([]ports.Want, 0, 2*len(ids))
	for _, id := range ids {
		wants = append(wants, want(domain.MessageEntity(id), domain.ReactionsEntity(id))...)
	}
	loaded, err := q.log.Load(ctx, chat, wants...)
	if err != nil {
		return nil, err
	}
	s := &state{chat: chat, wants: wants, loaded: loaded}
	views := make([]MessageView, len(ids))
	for i, id := range ids {
		views[i] = s.view(id)
	}
	return views, nil
}

// sentIn finds the messages of a range, reading on past other events until there are as many as its limit.
func (q *Queries) sentIn(ctx context.Context, chat domain.ChatID, r ports.Range) ([]domain.MessageID, error) {
	const page = 256
	messages := r.Limit
	var ids []domain.MessageID
	for r.Limit = min(2*messages, page); ; r.Limit = page {
		p, err := q.log.Read(ctx, chat, r)
		if err != nil {
			return nil, err
		}
		if err := found(chat, p.Head); err != nil {
			return nil, err
		}
		for _, record := range p.Records {
			if sent, ok := record.Event.(domain.MessageNew); ok {
				ids = append(ids, sent.Message)
			}
			if len(ids) == messages {
				return ids, nil
			}
		}
		if len(p.Records) < r.Limit {
			return ids, nil
		}
		last := p.Records[len(p.Records)-1].Seq
		switch {
		case !r.Backward:
			r.From = last + 1
		case last == 1:
			return ids, nil
		default:
			r.From = last - 1
		}
	}
}

// Message gives one message in its present state. [domain.ErrMessageNotFound] if the chat has none of that id.
func (q *Queries) Message(ctx context.Context, chat domain.ChatID, id domain.MessageID) (MessageView, error) {
	if err := firstError(checkChat(chat), checkMessage(id)); err != nil {
		return MessageView{}, err
	}
	wants := want(domain.MessageEntity(id), domain.ReactionsEntity(id))
	loaded, err := q.log.Load(ctx, chat, wants...)
	if err != nil {
		return MessageView{}, err
	}
	view := (&state{chat: chat, wants: wants, loaded: loaded}).view(id)
	if err := found(chat, loaded.Head); err != nil {
		return MessageView{}, err
	}
	if !view.Exists() {
		return MessageView{}, &domain.Refusal{Reason: domain.ErrMessageNotFound, Detail: fmt.Sprintf("chat %q has no message %q", chat, id)}
	}
	return view, nil
}

func (s *state) view(id domain.MessageID) MessageView {
	return MessageView{Message: s.message(id), Reactions: s.reactions(id).Groups()}
}

// Chat gives the chat itself. [domain.ErrChatNotFound] if there is none.
func (q *Queries) Chat(ctx context.Context, chat domain.ChatID) (domain.Chat, error) {
	if err := checkChat(chat); err != nil {
		return domain.Chat{}, err
	}
	wants := want(domain.ChatEntity())
	loaded, err := q.log.Load(ctx, chat, wants...)
	if err != nil {
		return domain.Chat{}, err
	}
	return (&state{chat: chat, wants: wants, loaded: loaded}).theChat(), found(chat, loaded.Head)
}

// Chats names every chat, in no particular order.
func (q *Queries) Chats(ctx context.Context) ([]domain.ChatID, error) {
	seen := make(map[domain.ChatID]struct{})
	var chats []domain.ChatID
	for chat, err := range q.log.Chats(ctx) {
		if err != nil {
			return nil, err
		}
		if _, twice := seen[chat]; !twice {
			seen[chat] = struct{}{}
			chats = append(chats, chat)
		}
	}
	return chats, nil
}

// Members gives the chat's current members, in the order in which they joined. [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Members(ctx context.Context, chat domain.ChatID) ([]domain.Member, error) {
	if err := firstError(checkChat(chat)); err != nil {
		return nil, err
	}
	if err := q.exists(ctx, chat); err != nil {
		return nil, err
	}
	const together = 128 // members loaded in one step
	var members []domain.Member
	var users []domain.UserID
	load := func() error {
		wants := make([]ports.Want, len(users))
		for i, user := range users {
			wants[i] = ports.Want{Entity: domain.MemberEntity(user)}
		}
		loaded, err := q.log.Load(ctx, chat, wants...)
		if err != nil {
			return err
		}
		s := &state{chat: chat, wants: wants, loaded: loaded}
		for _, user := range users {
			if m := s.member(user); m.Current() {
				members = append(members, m)
			}
		}
		users = users[:0]
		return nil
	}
	for user, err := range q.log.Members(ctx, chat) {
		if err != nil {
			return nil, err
		}
		if users = append(users, user); len(users) == together {
			if err := load(); err != nil {
				return nil, err
			}
		}
	}
	if len(users) > 0 {
		if err := load(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(members, func(a, b domain.Member) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.User, b.User))
	})
	return members, nil
}

// Unread is how many messages of others a member has not read: those after the member's read mark, or after the member joined,
// without tombstones. It takes the same effort however long the chat is. [domain.ErrNotMember] for anyone else.
func (q *Queries) Unread(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Ordinal, error) {
	if err := checkChat(chat, user); err != nil {
		return 0, err
	}
	wants := append(want(domain.MemberEntity(user)), ports.Want{Entity: domain.ReadEntity(user), Latest: true})
	loaded, err := q.log.Load(ctx, chat, wants...)
	if err != nil {
		return 0, err
	}
	if err := found(chat, loaded.Head); err != nil {
		return 0, err
	}
	s := &state{chat: chat, wants: wants, loaded: loaded}
	member := s.member(user)
	if !member.Current() {
		return 0, &domain.Refusal{Reason: domain.ErrNotMember, Detail: fmt.Sprintf("user %q is not a member of chat %q", user, chat)}
	}
	count, err := q.log.Count(ctx, chat, max(member.Since, s.readMark(user).Seq))
	if err != nil {
		return 0, err
	}
	return domain.Unread(count.Head, count.At, count.Deleted), nil
}

func (q *Queries) exists(ctx context.Context, chat domain.ChatID) error {
	loaded, err := q.log.Load(ctx, chat)
	if err != nil {
		return err
	}
	return found(chat, loaded.Head)
}

func found(chat domain.ChatID, head domain.Seq) error {
	if head == 0 {
		return &domain.Refusal{Reason: domain.ErrChatNotFound, Detail: fmt.Sprintf("chat %q was never created", chat)}
	}
	return nil
}
