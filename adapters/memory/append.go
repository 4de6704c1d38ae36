package memory

import (
	"context"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Append implements [ports.EventLog]. Its outcome is always known.
func (l *Log) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	outcomes, err := l.AppendBatch(ctx, []ports.Append{a})
	if err != nil {
		return ports.Appended{}, err
	}
	return outcomes[0].Appended, outcomes[0].Err
}

// AppendBatch implements [ports.BatchAppender]. It returns the error of ctx, which is checked once, before anything is appended, or
// [ports.ErrClosed].
func (l *Log) AppendBatch(ctx context.Context, batch []ports.Append) ([]ports.Outcome, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	outcomes := make([]ports.Outcome, len(batch))
	commands := make([]command, len(batch))
	for i, a := range batch {
		commands[i], outcomes[i].Err = l.encode(a)
	}
	l.announcing.Lock()
	defer l.announcing.Unlock()
	l.notify(l.commit(context.WithoutCancel(ctx), commands, outcomes))
	return outcomes, nil
}

// command is an append with its events as JSON.
type command struct {
	ports.Append
	erases domain.MessageID // "" for an append that is no erasure
	erased *[]ports.Record  // receives the erased events as they were
	events []wireformat.Encoded
}

type notification struct {
	typ string // "" for an event that is not announced
	ports.Notice
}

// notify announces events, and calls the observers. The caller holds announcing.
func (l *Log) notify(notifications []notification) {
	if l.announce != nil {
		for _, n := range notifications {
			if n.typ != "" {
				l.announce(n.typ, n.JSON)
			}
		}
	}
	if len(l.observers) == 0 || len(notifications) == 0 {
		return
	}
	notices := make([]ports.Notice, len(notifications))
	for i, n := range notifications {
		notices[i] = n.Notice
	}
	for _, fn := range l.observers {
		fn(notices)
	}
}

func (l *Log) encode(a ports.Append) (command, error) {
	c := command{Append: a}
	if err := a.Check(); err != nil {
		return c, err
	}
	for _, e := range a.Events {
		encoded, err := l.codec.Encode(e.ID, e.Event, e.Meta)
		if err != nil {
			return c, err
		}
		c.events = append(c.events, encoded)
	}
	return c, nil
}

// commit appends the commands that have no error yet, as far as their conditions hold, and returns the notifications to publish.
func (l *Log) commit(ctx context.Context, commands []command, outcomes []ports.Outcome) []notification {
	l.mu.Lock()
	defer l.mu.Unlock()
	var notifications []notification
	before := len(l.feed)
	for i, c := range commands {
		if outcomes[i].Err != nil {
			continue
		}
		if outcomes[i].Err = l.chats[c.Chat].conflict(c); outcomes[i].Err != nil {
			continue
		}
		if c.erases != "" {
			if outcomes[i].Err = l.rules.held(c.Chat, l.chats[c.Chat].senderOf(c.erases)); outcomes[i].Err != nil {
				continue
			}
		}
		if outcomes[i].Err = l.take(ctx, c.Takes); outcomes[i].Err != nil {
			continue
		}
		var made []notification
		outcomes[i].Appended, made = l.apply(c)
		notifications = append(notifications, made...)
	}
	if len(l.feed) > before {
		close(l.grown)
		l.grown = make(chan struct{})
	}
	return notifications
}

// take takes from the limits of a command, from all or from none.
func (l *Log) take(ctx context.Context, takes []ports.Take) error {
	if len(takes) == 0 {
		return nil
	}
	decisions, err := l.limiter.AllowAll(ctx, takes...)
	if last := len(decisions) - 1; err == nil && !decisions[last].Allowed {
		return &ports.TakeError{Place: last, Decision: decisions[last]}
	}
	return err
}

func (l *Log) apply(c command) (ports.Appended, []notification) {
	if l.chats[c.Chat] == nil {
		l.chats[c.Chat] = newChat()
	}
	chat := l.chats[c.Chat]
	if c.erases != "" {
		*c.erased = l.erase(chat, c.erases)
	}
	var appended ports.Appended
	if len(c.Events) > 0 {
		appended.First = chat.head() + 1
	}
	var notifications []notification
	for i, e := range c.Events {
		r := chat.add(e)
		l.feed = append(l.feed, r)
		appended.Last, appended.Ordinal = r.Seq, r.Ordinal
		typ := ""
		if domain.Audience(e.Event) == "" {
			typ = wireformat.Type(e.Event)
		}
		notifications = append(notifications, notification{
			typ: typ, Notice: ports.Notice{Chat: c.Chat, Seq: r.Seq, JSON: c.events[i].Splice(r.Seq, r.Ordinal)},
		})
	}
	if c.Command != (domain.Entity{}) {
		chat.commands[c.Command] = recordedCommand{ports.CommandRecord{Fingerprint: c.Fingerprint, Events: len(c.Events)}, chat.head()}
	}
	appended.Due = chat.due(c.Events)
	appended.EndedTyping = c.EndsTyping != "" && l.typing.end(c.Chat, c.EndsTyping)
	return appended, notifications
}

// manyEvents is how many events make a snapshot of an entity pay.
const manyEvents = 256

// due is an entity of which the events just added made the number of events a multiple of so many.
func (c *chat) due(events []ports.NewEvent) domain.Entity {
	for _, e := range events {
		for _, m := range e.Moves {
			if n := len(c.moves[m]); n > 0 && n%manyEvents == 0 && m.Kind != domain.KindRead && m.Kind != domain.KindReceipt && m.Kind != domain.KindRestrictions {
				return m
			}
		}
	}
	return domain.Entity{}
}
