package memory

import (
	"context"
	"errors"

	"chatcore/domain"
	"chatcore/ports"
)

// Erase implements [ports.Eraser]. Its outcome is always known.
func (l *Log) Erase(ctx context.Context, e ports.Erasure) (ports.Erased, error) {
	if err := l.usable(ctx); err != nil {
		return ports.Erased{}, err
	}
	if err := e.Check(); err != nil {
		return ports.Erased{}, err
	}
	encoded, err := l.encode(e.Append)
	if err != nil {
		return ports.Erased{}, err
	}
	outcomes, erased := make([]ports.Outcome, 1), []ports.Record(nil)
	encoded.erases, encoded.erased = e.Message, &erased
	l.announcing.Lock()
	defer l.announcing.Unlock()
	l.notify(l.commit(context.WithoutCancel(ctx), []command{encoded}, outcomes))
	return ports.Erased{Appended: outcomes[0].Appended, Events: erased}, outcomes[0].Err
}

// erase replaces the events of a message by their erased forms and returns them as they were. The caller holds mu.
func (l *Log) erase(c *chat, message domain.MessageID) []ports.Record {
	entity := domain.MessageEntity(message)
	var before []ports.Record
	erased := make(map[domain.EventID]struct{})
	for _, seq := range c.moves[entity] {
		r := &c.records[seq-1]
		before = append(before, *r)
		erased[r.ID] = struct{}{}
		r.Event = domain.Erased(r.Event)
	}
	delete(c.snapshots, entity)
	c.listed = ports.ChatViewEntry{}
	l.eraseFeed(erased)
	return before
}

// EraseContent implements [ports.Eraser].
func (l *Log) EraseContent(ctx context.Context, id domain.ChatID, r ports.ContentRange) (done ports.ContentErased, err error) {
	if err := l.usable(ctx); err != nil {
		return done, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chats[id]
	if c == nil {
		return done, nil
	}
	first, last := max(r.From, 1), min(r.Until, domain.Seq(len(c.records)))
	if first > last {
		return done, nil
	}
	if last-first >= ports.MaxPage {
		last = first + ports.MaxPage - 1
		done.Next = last + 1
	}
	page := c.records[first-1 : last]
	for _, r := range page {
		if e, newer := r.Event.(domain.Unknown); newer {
			return ports.ContentErased{}, &ports.NewerVersionError{Chat: id, Seq: r.Seq, Type: e.Type, Version: e.Version}
		}
	}
	erased := make(map[domain.EventID]struct{})
	for i := range page {
		event, ok := domain.ErasedWithChat(page[i].Event)
		if !ok {
			continue
		}
		var held *domain.LegalHoldError
		if errors.As(l.rules.held(id, domain.Actor(event)), &held) {
			done.Held, done.Hold = done.Held+1, held.HoldSubject
			continue
		}
		page[i].Event = event
		erased[page[i].ID] = struct{}{}
	}
	if done.Erased = len(erased); done.Erased > 0 {
		clear(c.snapshots)
		l.eraseFeed(erased)
	}
	return done, nil
}

// eraseFeed replaces events that wait for their delivery. The caller holds mu.
func (l *Log) eraseFeed(events map[domain.EventID]struct{}) {
	for i := range l.feed {
		if _, is := events[l.feed[i].ID]; is {
			l.feed[i].Event = domain.Erased(l.feed[i].Event)
		}
	}
}

// senderOf returns the sender of a message that the chat has.
func (c *chat) senderOf(message domain.MessageID) domain.UserID {
	sent, _ := c.records[c.moves[domain.MessageEntity(message)][0]-1].Event.(domain.MessageNew)
	return sent.Sender
}

// erasedAt returns the seq of the last event that erased an entity or deleted the chat, 0 if there is none. An event after it may have neither moved.
func (c *chat) erasedAt(e domain.Entity) (at domain.Seq) {
	for _, moved := range []domain.Entity{e, domain.ChatEntity()} {
		last := c.version(moved)
		if last == 0 {
			continue
		}
		switch c.records[last-1].Event.(type) {
		case domain.MessageErased, domain.ChatDeleted:
			at = max(at, last)
		}
	}
	return at
}
