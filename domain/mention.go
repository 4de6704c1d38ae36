package domain

import "slices"

// Broadcast is a mention of a group of members.
type Broadcast uint8

// The broadcasts.
const (
	NoBroadcast   Broadcast = iota
	BroadcastAll            // all members
	BroadcastHere           // the members that are online when the message is delivered; it is not kept as a mention
)

// MaxMentionEvents is how many of the newest events that changed mentions [Mentions] is folded from.
const MaxMentionEvents = 512

// Mentions is the messages of the main timeline, or of the threads of a chat, that mention someone: as far as the newest [MaxMentionEvents] events that changed mentions
// show. It is folded from these alone, however many there were before.
type Mentions struct {
	floor  Seq // of the oldest event, if there were older ones: messages before are not known
	events []Seq
	list   []Mention // in the order of their seqs
}

// Mention is a message that mentions someone.
type Mention struct {
	Seq     Seq // of the message
	Message MessageID
	Sender  UserID
	Users   []UserID
	All     bool      // whether it mentions all members
	Thread  MessageID // the root of the thread that it is in
}

// Names reports whether the message mentions a user, who is not its sender.
func (m Mention) Names(user UserID) bool {
	return m.Sender != user && (m.All || slices.Contains(m.Users, user))
}

// StartAt says that earlier events than that of a seq are left out. It is called before Apply.
func (m *Mentions) StartAt(seq Seq) { m.floor = seq }

// Floor returns the seq below which messages are not known, 0 if all are.
func (m *Mentions) Floor() Seq { return m.floor }

// Apply folds an event that moved the mentions.
func (m *Mentions) Apply(seq Seq, e Durable) {
	m.events = append(m.events, seq)
	if len(m.events) > MaxMentionEvents {
		m.events = slices.Delete(m.events, 0, len(m.events)-MaxMentionEvents)
		m.floor = m.events[0]
		known, _ := m.place(m.floor)
		m.list = slices.Delete(m.list, 0, known)
	}
	switch e := e.(type) {
	case MessageNew:
		m.list = append(m.list, Mention{
			Seq: seq, Message: e.Message, Sender: e.Sender, Users: e.Mentions, All: e.Broadcast == BroadcastAll, Thread: e.Thread,
		})
	case MessageEdit:
		m.edit(e)
	case MessageDelete:
		m.remove(e.Sent)
	}
}

func (m *Mentions) remove(sent Seq) {
	if i, there := m.place(sent); there {
		m.list = slices.Delete(m.list, i, i+1)
	}
}

// edit changes the mentions of a message. One that is not listed had none, or is not known.
func (m *Mentions) edit(e MessageEdit) {
	switch {
	case e.Sent < m.floor:
		return
	case e.Erased: // with its mentions. The message is deleted, by an event that need not have moved these
		m.remove(e.Sent)
		return
	}
	i, there := m.place(e.Sent)
	if !there {
		m.list = slices.Insert(m.list, i, Mention{Seq: e.Sent, Message: e.Message, Sender: e.Editor, Thread: e.Thread}) // the author alone edits
	}
	m.list[i].Users = changed(m.list[i].Users, e.Mentions)
	m.list[i].All = m.list[i].All && !e.BroadcastRemoved
}

// place returns where the message of a seq is in the list, or belongs, and reports whether it is there.
func (m *Mentions) place(seq Seq) (int, bool) {
	return slices.BinarySearchFunc(m.list, seq, func(k Mention, seq Seq) int { return int(k.Seq) - int(seq) }) //nolint:gosec // seqs are far below the largest int
}

// Of returns the messages above a seq that mention a user, in their order. atLeast reports whether there may be more: the seq is below the messages that are known.
func (m *Mentions) Of(user UserID, after Seq) (found []Mention, atLeast bool) {
	first, _ := m.place(after + 1)
	for _, mention := range m.list[first:] {
		if mention.Names(user) {
			found = append(found, mention)
		}
	}
	return found, after+1 < m.floor
}

// Len returns how many messages are known.
func (m *Mentions) Len() int { return len(m.list) }

// Clone implements [State].
func (m *Mentions) Clone() State {
	return &Mentions{floor: m.floor, events: slices.Clone(m.events), list: slices.Clone(m.list)}
}
