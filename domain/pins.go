package domain

import (
	"fmt"
	"slices"
	"time"
)

// Pins are the pinned messages of a chat. They name the messages and never copy content.
type Pins struct {
	List []Pinned // in the order in which they were pinned; read-only
}

// Pinned is a message that is pinned to its chat.
type Pinned struct {
	Message MessageID
	Sent    Seq // of the send
	By      UserID
	At      time.Time
}

// Apply folds an event that moved the pins.
func (p *Pins) Apply(_ Seq, e Durable) {
	switch e := e.(type) {
	case MessagePin:
		rest := p.without(e.Message)
		if e.Pinned {
			rest = append(rest, Pinned{Message: e.Message, Sent: e.Sent, By: e.Actor, At: e.At})
		}
		p.List = rest
	case MessageDelete:
		p.List = p.without(e.Message)
	}
}

// without returns a copy of the list that lacks a message.
func (p *Pins) without(m MessageID) []Pinned {
	return slices.DeleteFunc(slices.Clone(p.List), func(pin Pinned) bool { return pin.Message == m })
}

// Clone implements [State].
func (p *Pins) Clone() State {
	clone := *p
	return &clone
}

// Pin pins a message to the chat, which has at most most pins; 0 is no bound. Pinned already: no event. A deleted message is [ErrMessageDeleted], one pin too many a
// [*CapError].
func (c Chat) Pin(by Member, m Message, pins *Pins, most int, at time.Time) ([]Durable, error) {
	if err := c.mayPin(by, m, at); err != nil {
		return nil, err
	}
	switch {
	case m.Deleted():
		return nil, refuse(ErrMessageDeleted, "message %q was deleted by %q", m.ID, m.DeletedBy)
	case m.Pinned():
		return nil, nil
	case most > 0 && len(pins.List) >= most:
		return nil, &CapError{Cap: CapPins, Max: most, Detail: fmt.Sprintf("chat %q has %d pins", c.ID, len(pins.List))}
	}
	return []Durable{MessagePin{Chat: c.ID, Message: m.ID, Sent: m.Seq, Actor: by.User, Pinned: true, At: at}}, nil
}

// Unpin removes the pin of a message. Not pinned: no event. A deletion has removed the pin of the message, so of a tombstone there is none.
func (c Chat) Unpin(by Member, m Message, at time.Time) ([]Durable, error) {
	if err := c.mayPin(by, m, at); err != nil || !m.Pinned() {
		return nil, err
	}
	return []Durable{MessagePin{Chat: c.ID, Message: m.ID, Sent: m.Seq, Actor: by.User, At: at}}, nil
}

// mayPin refuses a change of pins by a user that may not make it, and of an archived chat.
func (c Chat) mayPin(by Member, m Message, at time.Time) error {
	if err := firstOf(c.allow(by, ActionPin, "pin in", at), m.permit(by)); err != nil {
		return err
	}
	if c.Archived {
		return refuse(ErrArchived, "chat %q takes no pins until it is unarchived", c.ID)
	}
	return nil
}
