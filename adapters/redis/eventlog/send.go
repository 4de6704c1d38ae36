package eventlog

import (
	"context"
	"strconv"
	"strings"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// A plain send is an append of one message:new with the conditions of every send and nothing else. It is the commonest append, and send.lua does it at
// about half of the cost of append.lua. A batch consists of plain sends or of other appends. append.lua does the plain sends that send.lua leaves to
// it, and every batch that is sent again.

// isPlainSend reports whether send.lua can do an append.
func isPlainSend(a *ports.Append) bool {
	if len(a.Events) != 1 || len(a.Conditions) != 3 || len(a.Takes) > 0 || a.Command != (domain.Entity{}) {
		return false
	}
	event, ok := a.Events[0].Event.(domain.MessageNew)
	if !ok || event.Chat != a.Chat {
		return false
	}
	message, moves := domain.MessageEntity(event.Message), a.Events[0].Moves
	if len(moves) != 2 || moves[0] != message || moves[1] != domain.ReadEntity(event.Sender) {
		return false
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
	for _, entity := range [...]domain.Entity{a.Conditions[1].Entity, e.Moves[0], e.Moves[1]} {
		r.buf = appendField(r.buf, entity)
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
	return nil
}

func (b *batch) marshalSends(history *field, withText bool) {
	l := b.log
	b.args = append(b.args[:0], l.sendHeader[0], l.sendHeader[1], 3*len(b.partitions)+1)
	if withText {
		b.args[0], b.args[1] = "eval", sendSource
	}
	b.fence.bytes = append(append(b.fence.bytes[:0], l.fences[b.partitions[0]]...), b.token.bytes...)
	b.history.bytes = append(append(append(b.history.bytes[:0], "master_replid:"...), history.bytes...), "\r\n"...)
	for _, p := range b.partitions {
		b.args = append(b.args, l.ids[p], l.marks[p])
	}
	b.args = append(b.args, &b.fence)
	for _, p := range b.partitions {
		b.args = append(b.args, l.streams[p])
	}
	b.args = append(b.args, b.held, &b.history, l.announcing, l.bound, l.public, "")
	for i, p := range b.partitions {
		b.args = append(b.args, &b.witnesses[i], l.live[p])
	}
	b.marshalRequests()
}

// plain reports whether all requests are encoded as plain sends.
func (b *batch) plain() bool {
	for _, r := range b.requests {
		if !r.plain {
			return false
		}
	}
	return true
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

// sendLeft sends the requests that send.lua left in a batch of their own, with append.lua. The other requests have their outcomes.
func (b *batch) sendLeft(ctx context.Context) {
	var left *batch
	for _, r := range b.requests {
		if r.left {
			if left == nil {
				left = newBatch(b.log)
			}
			r.left = false
			left.add(r)
		}
	}
	if left == nil {
		return
	}
	if err := left.generalize(); err != nil {
		left.fail(err)
	} else {
		left.send(ctx)
	}
	if len(left.requests) < len(b.requests) { // the error of the batch is not that of the other requests
		for _, r := range left.requests {
			if r.err != nil {
				r.outcome, r.err = ports.Outcome{Err: r.err}, nil
			}
		}
	}
	left.free()
}
