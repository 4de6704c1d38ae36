package memory

import (
	"context"

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
	for i := range l.feed {
		if _, is := erased[l.feed[i].ID]; is {
			l.feed[i].Event = domain.Erased(l.feed[i].Event)
		}
	}
	return before
}

// senderOf returns the sender of a message that the chat has.
func (c *chat) senderOf(message domain.MessageID) domain.UserID {
	sent, _ := c.records[c.moves[domain.MessageEntity(message)][0]-1].Event.(domain.MessageNew)
	return sent.Sender
}

// erasedAt returns the seq of the event that erased an entity, 0 if there is none.
func (c *chat) erasedAt(e domain.Entity) domain.Seq {
	version := c.version(e)
	if version == 0 || e.Kind != domain.KindMessage {
		return 0
	}
	if _, erased := c.records[version-1].Event.(domain.MessageErased); erased {
		return version
	}
	return 0
}
