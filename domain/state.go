package domain

// State is the folded state of an entity, such as a [*Chat] or a [*Message].
type State interface {
	// Apply folds an event that moved the entity. Events are given in the order of their seqs.
	Apply(seq Seq, e Durable)
	// Clone gives a state that folds on by itself; this one must not be changed any more.
	Clone() State
}

var (
	_ State = (*Chat)(nil)
	_ State = (*Member)(nil)
	_ State = (*Message)(nil)
	_ State = (*Reactions)(nil)
	_ State = (*ReadMark)(nil)
	_ State = (*Thread)(nil)
	_ State = (*ThreadPosition)(nil)
	_ State = (*Mentions)(nil)
	_ State = (*Metadata)(nil)
	_ State = (*Settings)(nil)
	_ State = (*Pins)(nil)
)

// NewState is the state of an entity that nothing has moved; nil for an entity that is only a version.
func NewState(chat ChatID, e Entity) State {
	switch e.Kind {
	case KindChat:
		return &Chat{ID: chat}
	case KindMember:
		return &Member{User: UserID(e.ID)}
	case KindMessage:
		return &Message{Chat: chat, ID: MessageID(e.ID)}
	case KindReactions:
		return &Reactions{}
	case KindRead:
		return &ReadMark{}
	case KindMetadata:
		return &Metadata{}
	case KindSettings:
		return &Settings{}
	case KindPins:
		return &Pins{}
	case KindThread:
		return &Thread{}
	case KindThreadMark:
		return &ThreadPosition{}
	case KindMentions:
		return &Mentions{}
	case KindCommand, KindCustom, KindReceipt, KindRestrictions, KindThreads:
	}
	return nil
}

// Clone implements [State].
func (c *Chat) Clone() State {
	clone := *c
	return &clone
}

// Clone implements [State].
func (m *Member) Clone() State {
	clone := *m
	return &clone
}

// Clone implements [State].
func (m *Message) Clone() State {
	clone := *m
	return &clone
}

// Clone implements [State].
func (r *ReadMark) Clone() State {
	clone := *r
	return &clone
}
