package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Limits of one page of a query.
const (
	MaxHistory = 100           // messages
	MaxEvents  = ports.MaxPage // events
)

func rangeOf(s domain.Span, most int) (ports.Range, error) {
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
	case s.After == math.MaxUint64:
		return ports.Range{}, nil // nothing is after the last there can be
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

// Events returns a page of the chat's events, oldest first. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Events(ctx context.Context, chat domain.ChatID, span domain.Span) ([]ports.Record, error) {
	return q.eventsFor(ctx, chat, span, "")
}

// eventsFor is Events without those that a user must not see; "" sees all.
func (q *Queries) eventsFor(ctx context.Context, chat domain.ChatID, span domain.Span, user domain.UserID) ([]ports.Record, error) {
	r, err := rangeOf(span, MaxEvents)
	if err := firstError(checkChat(chat), err); err != nil {
		return nil, err
	}
	if r.Limit == 0 {
		return nil, q.exists(ctx, chat)
	}
	records, err := q.selected(ctx, chat, r, r.Limit, func(record ports.Record) bool { return visibleTo(user, record) })
	if r.Backward {
		slices.Reverse(records)
	}
	return records, err
}

// selected returns as many events of a range as its limit says that fn selects, in the order of the range. It reads so many events at a time.
func (q *Queries) selected(ctx context.Context, chat domain.ChatID, r ports.Range, atATime int, fn func(ports.Record) bool) (records []ports.Record, err error) {
	for limit := r.Limit; ; {
		r.Limit = max(limit-len(records), atATime)
		page, err := q.read(ctx, chat, r)
		if err != nil {
			return nil, err
		}
		for _, record := range page.Records {
			if r.From = record.Seq + 1; r.Backward {
				r.From = record.Seq - 1
			}
			if fn(record) {
				if records = append(records, record); len(records) == limit {
					return records, nil
				}
			}
		}
		if len(page.Records) < r.Limit || r.From == 0 {
			return records, nil
		}
	}
}

// visibleTo reports whether a user may see an event of a chat whose events the user may see; "" sees all.
func visibleTo(user domain.UserID, r ports.Record) bool {
	only := domain.Audience(r.Event)
	return user == "" || only == "" || only == user
}

// MessageView is a message in its present state, with its reactions.
type MessageView struct {
	domain.Message
	Reactions []domain.ReactionGroup // none of a tombstone
	// ReplyDeleted reports whether the message that ReplyTo names was deleted.
	ReplyDeleted bool
	// Summary is that of the thread of the message, zero if it has none. [Queries.History], [Queries.Thread] and [Queries.Threads] set it.
	Summary ThreadSummary
	// Unreadable is a [*ports.NewerVersionError] if a newer program sent or changed the message in a way that this one cannot read, and nil otherwise.
	// Then only the chat, the seq, when it was sent and, as far as they are known, the message's id and its sender are there.
	Unreadable error
	// Change is an event in the place of a message, of a history with changes, and nil otherwise. Of the message only Chat, Seq, Sender, who is the actor, and SentAt are
	// there.
	Change *ports.Record
}

// History returns a page of the chat's messages in their present state, oldest first; deleted ones are included as tombstones. A message that this
// program cannot read has [MessageView.Unreadable] set. With [domain.Span.Changes] the page has changes of the chat too. It returns [domain.ErrChatNotFound] if there is
// no such chat.
func (q *Queries) History(ctx context.Context, chat domain.ChatID, span domain.Span) ([]MessageView, error) {
	r, err := rangeOf(span, MaxHistory)
	if err := firstError(checkChat(chat), err); err != nil {
		return nil, err
	}
	if r.Limit == 0 {
		return nil, q.exists(ctx, chat)
	}
	read := q.messages
	if span.Changes {
		read = q.timeline
	}
	views, err := read(ctx, chat, r)
	if errors.Is(err, ports.ErrCorrupt) { // the log may have lost events between the two reads of a page, by a failover or a restore
		views, err = read(ctx, chat, r)
	}
	if r.Backward {
		slices.Reverse(views)
	}
	return views, err
}

// messages returns the messages of a range, in its order, in two reads: which messages there are, and their states.
func (q *Queries) messages(ctx context.Context, chat domain.ChatID, r ports.Range) ([]MessageView, error) {
	page, err := q.search(ctx, chat, ports.Filter{Messages: true}, r)
	if err != nil || len(page.Records) == 0 {
		return nil, err
	}
	return q.viewsOf(ctx, chat, page.Records)
}

// threadsOf returns entities for the threads of the messages that the given events sent.
func threadsOf(sends []ports.Record) (entities []entity.Versioned) {
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok && sent.Thread == "" {
			entities = append(entities, entity.Versioned{Entity: domain.ThreadEntity(sent.Message)})
		}
	}
	return entities
}

// summarize sets the summaries of messages whose threads are among some entities.
func summarize(views []MessageView, entities []entity.Versioned) {
	summaries := make(map[domain.MessageID]ThreadSummary)
	for _, s := range entities {
		if thread, ok := s.State.(*domain.Thread); ok && thread.Newest > 0 {
			summaries[domain.MessageID(s.Entity.ID)] = summaryOf(thread)
		}
	}
	for i, v := range views {
		views[i].Summary = summaries[v.ID]
	}
}

// viewsOf returns the messages that the given events sent, in one round trip unless they have many edits and reactions.
func (q *Queries) viewsOf(ctx context.Context, chat domain.ChatID, sends []ports.Record) ([]MessageView, error) {
	entities := q.messageEntities(chat, sends)
	threads := threadsOf(sends)
	q.entities.Cached(chat, threads)
	entities = append(entities, threads...)
	var unread map[int]*entity.Unreadable
	if len(entities) > 0 {
		var err error
		if _, unread, err = q.refresh(ctx, chat, entities); err != nil {
			return nil, err
		}
	}
	views, err := viewsIn(chat, sends, entities, unread)
	summarize(views, entities)
	return views, err
}

// messageEntities returns entities for the messages that the given events sent, for their reactions, and for other messages that they reply to. They are
// filled from the cache and from the events.
func (q *Queries) messageEntities(chat domain.ChatID, sends []ports.Record) []entity.Versioned {
	entities := make([]entity.Versioned, 0, 2*len(sends))
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			entities = append(entities, entity.Versioned{Entity: domain.MessageEntity(sent.Message)}, entity.Versioned{Entity: domain.ReactionsEntity(sent.Message)})
		}
	}
	entities = append(entities, repliesOf(sends)...)
	q.entities.Cached(chat, entities)
	q.entities.Seed(chat, entities, sends)
	return entities
}

// viewsIn returns the messages that the given events sent. The entities begin with those of [Queries.messageEntities], loaded; unread is by their place.
func viewsIn(chat domain.ChatID, sends []ports.Record, entities []entity.Versioned, unread map[int]*entity.Unreadable) ([]MessageView, error) {
	views, at := make([]MessageView, len(sends)), 0
	for i, r := range sends {
		if e, ok := r.Event.(domain.Unknown); ok {
			views[i].Message = domain.Message{Chat: chat, ID: e.Message, Seq: r.Seq, SentAt: e.At}
			views[i].Unreadable = &entity.UnreadableOf(r.Seq, e).NewerVersionError
			continue
		}
		if views[i] = viewOf(entities[at], entities[at+1]); !views[i].Exists() && unread[at] == nil {
			return nil, &ports.CorruptError{Chat: chat, Seq: r.Seq, Cause: errors.New("a message was sent here, and the index does not have it")}
		}
		views[i] = unlessNewer(views[i], unread[at], unread[at+1])
		at += 2
	}
	markReplies(views, entities[at:])
	return views, nil
}

// unlessNewer returns a view, or what is known of its message if a newer program changed the message or its reactions.
func unlessNewer(view MessageView, unread ...*entity.Unreadable) MessageView {
	for _, u := range unread {
		if u != nil && u.Newer {
			m := view.Message
			view = MessageView{Message: domain.Message{Chat: m.Chat, ID: m.ID, Seq: m.Seq, Sender: m.Sender, SentAt: m.SentAt}, Unreadable: &u.NewerVersionError}
		}
	}
	return view
}

// Message gives one message in its present state. [domain.ErrMessageNotFound] if the chat has none of that id.
func (q *Queries) Message(ctx context.Context, chat domain.ChatID, id domain.MessageID) (MessageView, error) {
	if err := firstError(checkChat(chat), checkMessage(id)); err != nil {
		return MessageView{}, err
	}
	view, err := q.single(ctx, chat, id)
	if err != nil || view.ReplyTo == "" {
		return view, err
	}
	replied, err := q.single(ctx, chat, view.ReplyTo)
	if errors.Is(err, domain.ErrMessageNotFound) || errors.Is(err, ports.ErrNewerVersion) {
		return view, nil
	}
	view.ReplyDeleted = replied.Deleted()
	return view, err
}

// single gives a message from the caches or, without them, from the log.
func (q *Queries) single(ctx context.Context, chat domain.ChatID, id domain.MessageID) (MessageView, error) {
	if c := q.caches.Load(); c != nil {
		return q.cachedMessage(ctx, c, chat, id)
	}
	view, _, err := q.message(ctx, chat, id)
	return view, err
}

// message gives a message from the log, with the seq of the last event that changed it or its reactions.
func (q *Queries) message(ctx context.Context, chat domain.ChatID, id domain.MessageID) (MessageView, domain.Seq, error) {
	entities := []entity.Versioned{{Entity: domain.MessageEntity(id)}, {Entity: domain.ReactionsEntity(id)}}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return MessageView{}, 0, err
	}
	view := viewOf(entities[0], entities[1])
	if !view.Exists() {
		return MessageView{}, 0, noMessage(chat, id)
	}
	return view, max(entities[0].Version, entities[1].Version), nil
}

func noMessage(chat domain.ChatID, id domain.MessageID) error {
	return &domain.Refusal{Reason: domain.ErrMessageNotFound, Detail: fmt.Sprintf("chat %q has no message %q", chat, id)}
}

func viewOf(message, reactions entity.Versioned) MessageView {
	m, _ := message.State.(*domain.Message)
	r, _ := reactions.State.(*domain.Reactions)
	if m.Deleted() { // the reactions went with the deletion
		return MessageView{Message: *m}
	}
	return MessageView{Message: *m, Reactions: r.Groups()}
}

// repliesOf returns entities for the messages that the given sends reply to and that are not among them. The last event of a message shows whether it
// was deleted: only an erasure follows a deletion.
func repliesOf(sends []ports.Record) (entities []entity.Versioned) {
	seen := make(map[domain.MessageID]struct{})
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			seen[sent.Message] = struct{}{}
		}
	}
	for _, r := range sends {
		sent, _ := r.Event.(domain.MessageNew)
		if _, there := seen[sent.ReplyTo]; sent.ReplyTo != "" && !there {
			seen[sent.ReplyTo] = struct{}{}
			entities = append(entities, entity.Versioned{Entity: domain.MessageEntity(sent.ReplyTo), Latest: true})
		}
	}
	return entities
}

// markReplies sets ReplyDeleted of views that reply to one another, or to the messages of the given entities.
func markReplies(views []MessageView, entities []entity.Versioned) {
	deleted := make(map[domain.MessageID]struct{})
	for _, v := range views {
		if v.Deleted() {
			deleted[v.ID] = struct{}{}
		}
	}
	for _, s := range entities {
		if m, _ := s.State.(*domain.Message); m != nil && m.Deleted() {
			deleted[domain.MessageID(s.Entity.ID)] = struct{}{}
		}
	}
	for i, v := range views {
		if v.ReplyTo != "" {
			_, views[i].ReplyDeleted = deleted[v.ReplyTo]
		}
	}
}
