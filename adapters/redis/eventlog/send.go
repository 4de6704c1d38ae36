package eventlog

import (
	"chatcore/domain"
	"chatcore/ports"
)

// A plain send is an append of one message:new with the conditions of every send, without limits. It may depend on other entities and move more. It is the
// commonest append, and send.lua does it at about half of the cost of append.lua.

// sendConditions is the number of conditions of every send: chat, sender and message.
const sendConditions = 3

// send.lua gets the numbers of further conditions and moves as letters: beforeA is 0.
const (
	beforeA  = '`'
	mostMore = 255 - beforeA
)

// isPlainSend reports whether send.lua can do an append.
func isPlainSend(a *ports.Append) bool {
	if len(a.Events) != 1 || len(a.Conditions) < sendConditions || len(a.Conditions) > sendConditions+mostMore || len(a.Takes) > 0 || a.Command != (domain.Entity{}) {
		return false
	}
	event, ok := a.Events[0].Event.(domain.MessageNew)
	if !ok || event.Chat != a.Chat {
		return false
	}
	message, moves := domain.MessageEntity(event.Message), a.Events[0].Moves
	if len(moves) == 0 || moves[0] != message {
		return false
	}
	moves = moves[1:]
	if event.InTimeline() {
		if len(moves) == 0 || moves[0] != domain.ReadEntity(event.Sender) {
			return false
		}
		moves = moves[1:]
	}
	for _, m := range moves {
		switch m.Kind { //nolint:exhaustive // of all others, send.lua does not know how they move
		case domain.KindThread, domain.KindThreads, domain.KindThreadMark, domain.KindMentions:
		default:
			return false
		}
	}
	for _, c := range a.Conditions[sendConditions:] {
		if c.UpTo != 0 {
			return false
		}
	}
	return a.Conditions[0] == standing(domain.ChatEntity(), a.Conditions[0].Version) &&
		a.Conditions[1] == standing(domain.MemberEntity(event.Sender), a.Conditions[1].Version) &&
		a.Conditions[2] == domain.Condition{Entity: message}
}

// standing returns the condition that an existing entity is at a version. It returns the zero condition for version 0.
func standing(e domain.Entity, version domain.Seq) domain.Condition {
	if version == 0 {
		return domain.Condition{}
	}
	return domain.Condition{Entity: e, Version: version}
}

// writeSend encodes the arguments of a plain send to send.lua, but the partition's place.
func (l *Log) writeSend(r *request) error {
	a, e := r.append, r.append.Events[0]
	r.text(string(a.Chat))
	r.buf = l.keys.AppendChat(r.buf, a.Chat)
	r.end()
	if a.EndsTyping != "" {
		r.buf = l.typing.AppendMark(r.buf, a.Chat, a.EndsTyping)
	}
	r.end()
	r.field(a.Conditions[1].Entity)
	r.field(e.Moves[0])
	moves := e.Moves[1:]
	if len(moves) > 0 && moves[0].Kind == domain.KindRead {
		r.field(moves[0])
		moves = moves[1:]
	} else {
		r.end()
	}
	r.number(uint64(a.Conditions[0].Version))
	r.number(uint64(a.Conditions[1].Version))
	if err := l.writePlain(r, e); err != nil {
		return err
	}
	if conditions := a.Conditions[sendConditions:]; len(conditions)+len(moves) > 0 {
		r.writeMore(conditions, moves)
	}
	return nil
}

// writeMore encodes what a send has beyond every send: conditions, and entities that it moves.
func (r *request) writeMore(conditions []domain.Condition, moves []domain.Entity) {
	r.buf = append(r.buf, '+', beforeA+byte(len(conditions)), beforeA+byte(len(moves))) //nolint:gosec // at most mostMore
	for i, c := range conditions {
		if i > 0 {
			r.buf = append(r.buf, ':')
		}
		r.buf = appendRequired(r.buf, c)
	}
	r.end()
	for _, c := range conditions {
		r.field(c.Entity)
	}
	for _, m := range moves {
		r.field(m)
	}
}
