package eventlog

import (
	"context"
	"strconv"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// Plain appends have scripts of their own: send.lua and erase_message.lua. A batch that is sent has requests of one form. append.lua does the requests that another script
// leaves to it, and every batch that is sent again.

// form is the script for which a request is encoded.
type form uint8

const (
	general      form = iota // append.lua, which does every append
	plainSend                // send.lua
	plainErasure             // erase_message.lua
	forms
)

// String returns the name of the script.
func (f form) String() string {
	switch f {
	case general:
		return "append.lua"
	case plainSend:
		return "send.lua"
	case plainErasure:
		return "erase_message.lua"
	case forms:
	}
	return "form(" + strconv.Itoa(int(f)) + ")"
}

// writePlain encodes an event of a plain append.
func (l *Log) writePlain(r *request, e ports.NewEvent) error {
	r.text(string(e.ID))
	if err := l.writeRecord(r, e); err != nil {
		return err
	}
	if l.levelOf(r.partition) >= compactLevel {
		if compact, ok := l.codec.AppendCompact(r.buf, e.ID, e.Event, e.Meta); ok {
			r.buf = append(r.buf, compact[len(r.buf)+1:]...) // without the letter of the type
		}
	}
	r.end()
	return nil
}

// appendRequired appends the version of a condition: "!" for any.
func appendRequired(buf []byte, c domain.Condition) []byte {
	if c.Exists {
		return append(buf, '!')
	}
	return strconv.AppendUint(buf, uint64(c.Version), 10)
}

// marshalPlain writes the arguments of a batch to a script of plain appends: source between plain.lua and plain_end.lua. public are the channels of the events of each.
func (b *batch) marshalPlain(history *field, withText bool, header []any, source string, public []any) {
	l := b.log
	b.args = append(b.args[:0], header[0], header[1], 3*len(b.partitions)+1)
	if withText {
		b.args[0], b.args[1] = "eval", plainSource+source+plainEndSource
	}
	b.fence.bytes = append(append(b.fence.bytes[:0], l.fences[b.partitions[0]]...), b.token.bytes...)
	for _, p := range b.partitions {
		b.args = append(b.args, l.ids[p], l.marks[p])
	}
	b.args = append(b.args, &b.fence)
	for _, p := range b.partitions {
		b.args = append(b.args, l.streams[p])
	}
	b.args = append(b.args, b.held, history, l.announcing, l.bound, public[0])
	for i, p := range b.partitions {
		b.args = append(b.args, &b.witnesses[i], l.live[p])
	}
	b.args = append(b.args, public[1:]...)
	b.marshalRequests()
}

// fewPlain is the least number of plain appends of a form that pay for a script call of their own beside other appends.
const fewPlain = 2

// send sends the batch and sets the outcome of every request, or one error for all of them. Plain appends go first, with their scripts. Other appends, and those
// that these scripts left, follow with append.lua. Requests of one chat may change their order by that, unless all have one form.
func (b *batch) send(ctx context.Context) {
	var counts [forms]int
	for _, r := range b.requests {
		counts[r.form]++
	}
	for _, r := range b.requests {
		n := counts[r.form]
		r.left = r.form == general || n < fewPlain && n < len(b.requests)
	}
	b.sendPart(ctx, func(r *request) bool { return r.form == plainSend && !r.left })
	b.sendPart(ctx, func(r *request) bool { return r.form == plainErasure && !r.left })
	b.sendPart(ctx, func(r *request) bool { return r.left })
}

// sendPart sends some of the requests.
func (b *batch) sendPart(ctx context.Context, some func(*request) bool) {
	n := 0
	for _, r := range b.requests {
		if some(r) {
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
			if some(r) {
				part.add(r)
			}
		}
	}
	if err := part.prepare(); err != nil {
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
func (b *batch) prepare() error {
	left := b.requests[0].left
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
		if r.form == general {
			continue
		}
		r.form, r.buf, r.ends = general, r.buf[:0], r.ends[:0]
		if err := b.log.write(r); err != nil {
			return err
		}
	}
	return nil
}

// readPlain sets the outcome of a plain append from its line of the reply, or notes that it is left to append.lua.
func (r *request) readPlain(line string) {
	head, ended := strings.CutSuffix(line, "!")
	seq, rest, ok := strings.Cut(head, ":")
	if !ok {
		r.left = true
		return
	}
	ordinal, _, _ := strings.Cut(rest, ":")
	last, _ := strconv.ParseUint(seq, 10, 64)
	n, _ := strconv.ParseUint(ordinal, 10, 64)
	r.outcome = ports.Outcome{Appended: ports.Appended{
		First: domain.Seq(last) - domain.Seq(len(r.append.Events)-1), Last: domain.Seq(last), Ordinal: domain.Ordinal(n), EndedTyping: ended,
	}}
}
