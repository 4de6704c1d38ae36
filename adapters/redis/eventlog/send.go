package eventlog

import (
	"context"
	"strconv"
	"strings"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// A plain send is an append of one message:new with the conditions of every send, without limits. It may depend on other entities and move more. It is the
// commonest append, and send.lua does it at about half of the cost of append.lua. A batch consists of plain sends or of other appends. append.lua does the plain sends that send.lua leaves to
// it, and every batch that is sent again.

// sendConditions is the number of conditions of every send: chat, sender and message.
const sendConditions = 3

// isPlainSend reports whether send.lua can do an append.
func isPlainSend(a *ports.Append) bool {
	if len(a.Events) != 1 || len(a.Conditions) < sendConditions || len(a.Takes) > 0 || a.Command != (domain.Entity{}) {
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
	r.text(string(e.ID))
	r.buf = wireformat.AppendMetadata(r.buf, e.Event, e.Meta)
	r.end()
	buf, tail, err := l.codec.AppendDurable(r.buf, e.ID, e.Event, e.Meta)
	if err != nil {
		return err
	}
	r.buf = buf
	r.ends = append(r.ends, tail, len(buf))
	if l.levelOf(r.partition) >= compactLevel {
		if compact, ok := l.codec.AppendCompact(r.buf, e.ID, e.Event, e.Meta); ok {
			r.buf = append(r.buf, compact[len(r.buf)+1:]...) // without the letter of the type
		}
	}
	r.end()
	if conditions := a.Conditions[sendConditions:]; len(conditions)+len(moves) > 0 {
		r.writeMore(conditions, moves)
	}
	return nil
}

// writeMore encodes what a send has beyond every send: conditions, and entities that it moves.
func (r *request) writeMore(conditions []domain.Condition, moves []domain.Entity) {
	r.end()
	r.number(uint64(len(conditions)))
	r.number(uint64(len(moves)))
	for _, c := range conditions {
		r.field(c.Entity)
	}
	for _, m := range moves {
		r.field(m)
	}
	for _, c := range conditions {
		if c.Exists {
			r.text("!")
		} else {
			r.number(uint64(c.Version))
		}
	}
}

func (b *batch) marshalSends(history *field, withText bool) {
	l := b.log
	b.args = append(b.args[:0], l.sendHeader[0], l.sendHeader[1], 3*len(b.partitions)+1)
	if withText {
		b.args[0], b.args[1] = "eval", sendSource
	}
	b.fence.bytes = append(append(b.fence.bytes[:0], l.fences[b.partitions[0]]...), b.token.bytes...)
	for _, p := range b.partitions {
		b.args = append(b.args, l.ids[p], l.marks[p])
	}
	b.args = append(b.args, &b.fence)
	for _, p := range b.partitions {
		b.args = append(b.args, l.streams[p])
	}
	b.args = append(b.args, b.held, history, l.announcing, l.bound, l.public)
	for i, p := range b.partitions {
		b.args = append(b.args, &b.witnesses[i], l.live[p])
	}
	b.marshalRequests()
}

// fewSends is the least number of plain sends that pay for a script call of their own beside other appends.
const fewSends = 2

// send sends the batch and sets the outcome of every request, or one error for all of them. Plain sends go first, with send.lua. Other appends, and the
// sends that send.lua left, follow with append.lua. Requests of one chat may change their order by that, unless all are plain or none is.
func (b *batch) send(ctx context.Context) {
	plain := 0
	for _, r := range b.requests {
		if r.plain {
			plain++
		}
	}
	alone := plain < fewSends && plain < len(b.requests)
	for _, r := range b.requests {
		r.left = alone || !r.plain
	}
	b.sendPart(ctx, false)
	b.sendPart(ctx, true)
}

// sendPart sends the requests that are left to append.lua, or the others.
func (b *batch) sendPart(ctx context.Context, left bool) {
	n := 0
	for _, r := range b.requests {
		if r.left == left {
			n++
		}
	}
	part := b
	switch {
	case n == 0:
		return
	case n < len(b.requests):
		part = newBatch(b.log)
		for _, r := range b.requests {
			if r.left == left {
				part.add(r)
			}
		}
	}
	if err := part.prepare(left); err != nil {
		part.fail(err)
	} else {
		part.run(ctx)
	}
	if part == b {
		return
	}
	for _, r := range part.requests {
		if r.err != nil { // is not the error of the whole batch
			r.outcome, r.err = ports.Outcome{Err: r.err}, nil
		}
	}
	part.free()
}

// prepare encodes the requests for append.lua if they are left to it.
func (b *batch) prepare(left bool) error {
	for _, r := range b.requests {
		r.left = false
	}
	if left {
		return b.generalize()
	}
	return nil
}

// generalize encodes the requests for append.lua.
func (b *batch) generalize() error {
	for _, r := range b.requests {
		if !r.plain {
			continue
		}
		r.plain, r.buf, r.ends = false, r.buf[:0], r.ends[:0]
		if err := b.log.write(r); err != nil {
			return err
		}
	}
	return nil
}

// readSend sets the outcome of a plain send from its line of the reply, or notes that it is left to append.lua.
func (r *request) readSend(line string) {
	head, ended := strings.CutSuffix(line, "!")
	seq, rest, ok := strings.Cut(head, ":")
	if !ok {
		r.left = true
		return
	}
	ordinal, _, _ := strings.Cut(rest, ":")
	n, _ := strconv.ParseUint(seq, 10, 64)
	o, _ := strconv.ParseUint(ordinal, 10, 64)
	r.outcome = ports.Outcome{Appended: ports.Appended{First: domain.Seq(n), Last: domain.Seq(n), Ordinal: domain.Ordinal(o), EndedTyping: ended}}
}
