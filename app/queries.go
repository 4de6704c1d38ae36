package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"chatcore/domain"
	"chatcore/ports"
)

// Limits of one page of a query.
const (
	MaxHistory = 100           // messages
	MaxEvents  = ports.MaxPage // events
)

// Log is the part of the event log that queries need.
type Log interface {
	ports.EventLog
	ports.ChatIndex
	ports.MessageCounter
	ports.EventSearch
	ports.Lister
	ports.BulkReader
}

// Queries read chats. Every answer about a chat is folded from the log, as of the time it is asked for or, by [Queries.At], as of a seq. Answers
// about a user come from views that the built-in subscribers keep. In a process that runs these, single messages, chat lists and contacts come from
// caches that they keep right: a moment behind the log, but never behind the process's own changes of a message.
type Queries struct {
	log      Log
	entities *Entities
	views    Views
	caches   *atomic.Pointer[Caches] // nil in it: nothing is answered from caches
	until    domain.Seq              // 0: as of now
}

// NewQueries puts the queries on the given log, and on views of it.
func NewQueries(log Log, entities *Entities, views Views) *Queries {
	return &Queries{log: log, entities: entities, views: views, caches: new(atomic.Pointer[Caches])}
}

// At returns the same queries as of a seq of the chat in question: later events do not count. They read all the events that they need, and cache
// nothing. A seq above the chat's last means now, and so does 0. Queries about a user span chats, and typing is in no log: as of a seq they return
// [ErrNoViews].
func (q *Queries) At(seq domain.Seq) *Queries {
	if seq == 0 {
		return q
	}
	return &Queries{log: q.log, entities: q.entities.at(seq), caches: new(atomic.Pointer[Caches]), until: seq}
}

// read returns a page as of the queries' seq. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) read(ctx context.Context, chat domain.ChatID, r ports.Range) (ports.Page, error) {
	r.Until = q.until
	page, err := q.log.Read(ctx, chat, r)
	if err == nil {
		err = found(chat, page.Head)
	}
	return page, err
}

// search is read of the events that a filter selects.
func (q *Queries) search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	r.Until = q.until
	page, err := q.log.Search(ctx, chat, f, r)
	if err == nil {
		err = found(chat, page.Head)
	}
	return page, err
}

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
	r, err := rangeOf(span, MaxEvents)
	if err := firstError(checkChat(chat), err); err != nil {
		return nil, err
	}
	if r.Limit == 0 {
		return nil, q.exists(ctx, chat)
	}
	page, err := q.read(ctx, chat, r)
	if r.Backward {
		slices.Reverse(page.Records)
	}
	return page.Records, err
}

// MessageView is a message in its present state, with its reactions.
type MessageView struct {
	domain.Message
	Reactions []domain.ReactionGroup // none of a tombstone
	// ReplyDeleted reports whether the message that ReplyTo names was deleted.
	ReplyDeleted bool
	// Unreadable is a [*ports.NewerVersionError] if a newer program sent or changed the message in a way that this one cannot read, and nil otherwise.
	// Then only the chat, the seq, when it was sent and, as far as they are known, the message's id and its sender are there.
	Unreadable error
}

// History returns a page of the chat's messages in their present state, oldest first; deleted ones are included as tombstones. A message that this
// program cannot read has [MessageView.Unreadable] set. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) History(ctx context.Context, chat domain.ChatID, span domain.Span) ([]MessageView, error) {
	r, err := rangeOf(span, MaxHistory)
	if err := firstError(checkChat(chat), err); err != nil {
		return nil, err
	}
	if r.Limit == 0 {
		return nil, q.exists(ctx, chat)
	}
	views, err := q.messages(ctx, chat, r)
	if errors.Is(err, ports.ErrCorrupt) { // the log may have lost events between the two reads of a page, by a failover or a restore
		views, err = q.messages(ctx, chat, r)
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

// viewsOf returns the messages that the given events sent, in one round trip unless they have many edits and reactions.
func (q *Queries) viewsOf(ctx context.Context, chat domain.ChatID, sends []ports.Record) ([]MessageView, error) {
	slots := q.messageSlots(chat, sends)
	var unread map[int]*unreadable
	if len(slots) > 0 {
		var err error
		if _, unread, err = q.refresh(ctx, chat, slots); err != nil {
			return nil, err
		}
	}
	return viewsIn(chat, sends, slots, unread)
}

// messageSlots returns slots for the messages that the given events sent, for their reactions, and for other messages that they reply to. The slots are
// filled from the cache and from the events.
func (q *Queries) messageSlots(chat domain.ChatID, sends []ports.Record) []slot {
	slots := make([]slot, 0, 2*len(sends))
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			slots = append(slots, slot{entity: domain.MessageEntity(sent.Message)}, slot{entity: domain.ReactionsEntity(sent.Message)})
		}
	}
	slots = append(slots, repliesOf(sends)...)
	q.entities.cached(chat, slots)
	q.entities.seed(chat, slots, sends)
	return slots
}

// viewsIn returns the messages that the given events sent. The slots begin with those of [Queries.messageSlots], loaded; unread is by their place.
func viewsIn(chat domain.ChatID, sends []ports.Record, slots []slot, unread map[int]*unreadable) ([]MessageView, error) {
	views, at := make([]MessageView, len(sends)), 0
	for i, r := range sends {
		if e, ok := r.Event.(domain.Unknown); ok {
			views[i].Message = domain.Message{Chat: chat, ID: e.Message, Seq: r.Seq, SentAt: e.At}
			views[i].Unreadable = &unreadableOf(r.Seq, e).NewerVersionError
			continue
		}
		if views[i] = viewOf(slots[at], slots[at+1]); !views[i].Exists() && unread[at] == nil {
			return nil, &ports.CorruptError{Chat: chat, Seq: r.Seq, Cause: errors.New("a message was sent here, and the index does not have it")}
		}
		for _, u := range []*unreadable{unread[at], unread[at+1]} {
			if u != nil && u.newer {
				m := views[i].Message
				views[i] = MessageView{Message: domain.Message{Chat: m.Chat, ID: m.ID, Seq: m.Seq, Sender: m.Sender, SentAt: m.SentAt}, Unreadable: &u.NewerVersionError}
			}
		}
		at += 2
	}
	markReplies(views, slots[at:])
	return views, nil
}

// load returns the states of entities, from the cache on. An entity that an event in a newer version moved is [ports.ErrNewerVersion]; events of
// unknown types are additions, and are left out.
func (q *Queries) load(ctx context.Context, chat domain.ChatID, slots []slot) (domain.Seq, error) {
	head, unread, err := q.fill(ctx, chat, slots)
	for _, u := range unread {
		if u.newer && err == nil {
			err = &u.NewerVersionError
		}
	}
	return head, err
}

// fill gives the states of entities as far as they can be read.
func (q *Queries) fill(ctx context.Context, chat domain.ChatID, slots []slot) (domain.Seq, map[int]*unreadable, error) {
	q.entities.cached(chat, slots)
	return q.refresh(ctx, chat, slots)
}

// refresh brings slots up to date that were filled from a cache.
func (q *Queries) refresh(ctx context.Context, chat domain.ChatID, slots []slot) (domain.Seq, map[int]*unreadable, error) {
	head, unread, err := q.entities.fill(ctx, chat, slots)
	if err == nil {
		err = found(chat, head)
	}
	return head, unread, err
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
	slots := []slot{{entity: domain.MessageEntity(id)}, {entity: domain.ReactionsEntity(id)}}
	if _, err := q.load(ctx, chat, slots); err != nil {
		return MessageView{}, 0, err
	}
	view := viewOf(slots[0], slots[1])
	if !view.Exists() {
		return MessageView{}, 0, noMessage(chat, id)
	}
	return view, max(slots[0].version, slots[1].version), nil
}

func noMessage(chat domain.ChatID, id domain.MessageID) error {
	return &domain.Refusal{Reason: domain.ErrMessageNotFound, Detail: fmt.Sprintf("chat %q has no message %q", chat, id)}
}

func viewOf(message, reactions slot) MessageView {
	m, _ := message.state.(*domain.Message)
	r, _ := reactions.state.(*domain.Reactions)
	if m.Deleted() { // the reactions went with the deletion
		return MessageView{Message: *m}
	}
	return MessageView{Message: *m, Reactions: r.Groups()}
}

// Chat gives the chat itself. [domain.ErrChatNotFound] if there is none.
func (q *Queries) Chat(ctx context.Context, chat domain.ChatID) (domain.Chat, error) {
	if err := checkChat(chat); err != nil {
		return domain.Chat{}, err
	}
	slots := []slot{{entity: domain.ChatEntity()}}
	if _, err := q.load(ctx, chat, slots); err != nil {
		return domain.Chat{}, err
	}
	c, _ := slots[0].state.(*domain.Chat)
	return *c, nil
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
	return q.membersUpTo(ctx, chat, math.MaxInt)
}

// errTooMany is a chat of more members than were asked for.
var errTooMany = errors.New("too many members")

// membersUpTo gives a chat's members, or errTooMany if there are more than most.
func (q *Queries) membersUpTo(ctx context.Context, chat domain.ChatID, most int) ([]domain.Member, error) {
	if err := q.exists(ctx, chat); err != nil {
		return nil, err
	}
	const together = 128 // members loaded in one step
	var members []domain.Member
	var slots []slot
	load := func() error {
		if _, err := q.load(ctx, chat, slots); err != nil {
			return err
		}
		for _, s := range slots {
			if m, _ := s.state.(*domain.Member); m.Current() {
				members = append(members, *m)
			}
		}
		slots = slots[:0]
		if len(members) > most {
			return errTooMany
		}
		return nil
	}
	for user, err := range q.log.Members(ctx, chat) {
		if err != nil {
			return nil, err
		}
		if slots = append(slots, slot{entity: domain.MemberEntity(user)}); len(slots) == together {
			if err := load(); err != nil {
				return nil, err
			}
		}
	}
	if len(slots) > 0 {
		if err := load(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(members, func(a, b domain.Member) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.User, b.User))
	})
	return members, nil
}

func (q *Queries) exists(ctx context.Context, chat domain.ChatID) error {
	_, err := q.load(ctx, chat, nil)
	return err
}

func found(chat domain.ChatID, head domain.Seq) error {
	if head == 0 {
		return &domain.Refusal{Reason: domain.ErrChatNotFound, Detail: fmt.Sprintf("chat %q was never created", chat)}
	}
	return nil
}
