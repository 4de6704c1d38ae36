package redis

import (
	"strconv"
	"sync"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// request is one append on its way: its arguments to the script, written once by its caller, and its outcome.
type request struct {
	append    ports.Append
	partition int
	buf       []byte // the arguments, one after the other
	ends      []int  // of each argument in buf
	x, u, m   fieldSet
	outcome   ports.Outcome
	err       error // of the whole batch that it went with

	wake   chan signal // has room for one
	queued bool        // waits in a lane; guarded by the lane
	next   *request    // behind it in its chat's queue
}

type signal uint8

const (
	lead signal = iota + 1 // take a batch and send it
	done                   // the outcome is there
)

//nolint:gochecknoglobals // a pool has no state of its own
var requests = sync.Pool{New: func() any { return &request{wake: make(chan signal, 1)} }}

// newRequest encodes an append. What cannot be encoded gives an error and leaves nothing behind.
func (l *Log) newRequest(a ports.Append) (*request, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	r, _ := requests.Get().(*request)
	r.append, r.partition = a, l.keys.partition(a.Chat)
	r.buf, r.ends, r.outcome, r.err, r.queued, r.next = r.buf[:0], r.ends[:0], ports.Outcome{}, nil, false, nil
	if err := l.write(r); err != nil {
		r.free()
		return nil, err
	}
	return r, nil
}

// free gives the request back. Nobody may know of it any more.
func (r *request) free() {
	const large = 1 << 16
	if cap(r.buf) > large {
		r.buf = nil
	}
	r.append = ports.Append{}
	requests.Put(r)
}

// end closes the argument that was written last.
func (r *request) end() { r.ends = append(r.ends, len(r.buf)) }

func (r *request) text(s string) {
	r.buf = append(r.buf, s...)
	r.end()
}

func (r *request) number(n uint64) {
	r.buf = strconv.AppendUint(r.buf, n, 10)
	r.end()
}

// write encodes everything but the partition's place, which only the batch knows.
func (l *Log) write(r *request) error {
	a := r.append
	r.text(string(a.Chat))
	start := len(r.buf)
	if r.buf = appendEscaped(r.buf, string(a.Chat)); string(r.buf[start:]) == string(a.Chat) {
		r.buf = r.buf[:start]
	}
	r.end()
	if err := l.writeTypingEnd(r); err != nil {
		return err
	}
	r.x.collect(a, false, inX)
	r.u.collect(a, false, inU)
	r.m.collect(a, true, inM)
	r.writeFields(r.x, false)
	r.writeFields(r.u, false)
	r.writeFields(r.m, true)
	r.number(uint64(len(a.Events)))
	for _, e := range a.Events {
		if err := l.writeEvent(r, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) writeTypingEnd(r *request) error {
	end := r.append.EndsTyping
	if end == nil {
		r.end()
		r.end()
		return nil
	}
	r.buf = l.keys.appendTyping(r.buf, end.Stop.Chat, end.Stop.User)
	r.end()
	var err error
	r.buf, err = l.codec.AppendLive(r.buf, end.ID, end.Stop, r.append.Events[0].Meta)
	r.end()
	return err
}

func (l *Log) writeEvent(r *request, e ports.NewEvent) error {
	r.text(string(e.ID))
	if l.announce {
		r.buf = l.keys.appendChannel(r.buf, wireformat.Type(e.Event))
	}
	r.end()
	r.buf = wireformat.AppendMetadata(r.buf, e.Event, e.Meta)
	r.end()
	buf, tail, err := l.codec.AppendDurable(r.buf, e.ID, e.Event, e.Meta)
	if err != nil {
		return err
	}
	r.buf = buf
	r.ends = append(r.ends, tail, len(buf))
	switch event := e.Event.(type) {
	case domain.MessageNew:
		r.text("+")
	case domain.MessageDelete:
		r.number(uint64(r.m.place(domain.MessageEntity(event.Message))))
	default:
		r.end()
	}
	r.number(uint64(len(e.Moves)))
	for _, m := range e.Moves {
		r.text(kindCode(m.Kind))
		r.number(uint64(r.fields(m.Kind).place(m)))
	}
	return nil
}

// fieldSet are the fields of one hash that a command looks at.
type fieldSet struct {
	fields []hashField
}

// hashField is a field and what it must hold.
type hashField struct {
	entity               domain.Entity // a message's stands for its reactions too
	versioned, reactions bool          // whether there is a condition
	version, reacted     domain.Seq
}

func inX(k domain.EntityKind) bool { return !inU(k) && !inM(k) }
func inU(k domain.EntityKind) bool { return k == domain.KindMember }
func inM(k domain.EntityKind) bool { return k == domain.KindMessage || k == domain.KindReactions }

// collect finds the fields of the hash that conditions, moves and deletions name.
func (f *fieldSet) collect(a ports.Append, deletions bool, in func(domain.EntityKind) bool) {
	f.fields = f.fields[:0]
	for _, c := range a.Conditions {
		if !in(c.Entity.Kind) {
			continue
		}
		field := f.add(c.Entity)
		if c.Entity.Kind == domain.KindReactions {
			if field.reactions && field.reacted != c.Version { // two that contradict each other: one will not hold
				field = f.addField(c.Entity)
			}
			field.reactions, field.reacted = true, c.Version
			continue
		}
		if field.versioned && field.version != c.Version {
			field = f.addField(c.Entity)
		}
		field.versioned, field.version = true, c.Version
	}
	for _, e := range a.Events {
		for _, m := range e.Moves {
			if in(m.Kind) {
				f.add(m)
			}
		}
		if deleted, ok := e.Event.(domain.MessageDelete); ok && deletions {
			f.add(domain.MessageEntity(deleted.Message))
		}
	}
}

func (f *fieldSet) add(e domain.Entity) *hashField {
	if i := f.place(e); i > 0 {
		return &f.fields[i-1]
	}
	return f.addField(e)
}

func (f *fieldSet) addField(e domain.Entity) *hashField {
	if e.Kind == domain.KindReactions {
		e.Kind = domain.KindMessage
	}
	f.fields = append(f.fields, hashField{entity: e})
	return &f.fields[len(f.fields)-1]
}

// place is that of an entity's field, from 1; 0 if it is not there.
func (f *fieldSet) place(e domain.Entity) int {
	if e.Kind == domain.KindReactions {
		e.Kind = domain.KindMessage
	}
	for i := range f.fields {
		if f.fields[i].entity == e {
			return i + 1
		}
	}
	return 0
}

func (r *request) fields(k domain.EntityKind) *fieldSet {
	switch {
	case inU(k):
		return &r.u
	case inM(k):
		return &r.m
	}
	return &r.x
}

func (r *request) writeFields(f fieldSet, messages bool) {
	r.number(uint64(len(f.fields)))
	for _, field := range f.fields {
		if inX(field.entity.Kind) {
			r.buf = append(r.buf, kindCode(field.entity.Kind)...)
		}
		r.text(field.entity.ID)
	}
	for _, field := range f.fields {
		if field.versioned {
			r.buf = strconv.AppendUint(r.buf, uint64(field.version), 10)
		}
		r.end()
	}
	if !messages {
		return
	}
	for _, field := range f.fields {
		if field.reactions {
			r.buf = strconv.AppendUint(r.buf, uint64(field.reacted), 10)
		}
		r.end()
	}
}

// conflict names the condition that does not hold: the script tells a hash and the place of a field.
func (r *request) conflict(hash string, place int) ports.Condition {
	f := &r.x
	switch hash {
	case "u":
		f = &r.u
	case "m", "r":
		f = &r.m
	}
	field := f.fields[place-1]
	if hash == "r" {
		return ports.Condition{Entity: domain.Entity{Kind: domain.KindReactions, ID: field.entity.ID}, Version: field.reacted}
	}
	return ports.Condition{Entity: field.entity, Version: field.version}
}

// kindCode is how the scripts and the links of an entry call a kind of entity.
func kindCode(k domain.EntityKind) string {
	switch k {
	case domain.KindChat:
		return "c"
	case domain.KindMember:
		return "u"
	case domain.KindMessage:
		return "m"
	case domain.KindReactions:
		return "x"
	case domain.KindRead:
		return "r"
	case domain.KindCommand:
		return "k"
	case domain.KindOwn:
		return "o"
	}
	return "?"
}
