package eventlog

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// request is an append in flight: its arguments to the script, encoded once by its caller, and its outcome.
type request struct {
	append    ports.Append
	partition int
	form      form
	buf       []byte   // the arguments, concatenated
	ends      []int    // end of each argument in buf
	entities  []entity // that the command names, in the general form
	outcome   ports.Outcome
	err       error // of the whole batch
	left      bool  // to append.lua
	erasing   erasing

	wake   chan signal // has a buffer of one
	queued bool        // in the queue of a partition; partition.mu guards it
	next   *request    // the next request of the chat in the queue
}

type signal uint8

const (
	lead signal = iota + 1 // send a batch
	done                   // the outcome is set
)

// String returns "lead" or "done".
func (s signal) String() string {
	switch s {
	case lead:
		return "lead"
	case done:
		return "done"
	}
	return "signal(" + strconv.Itoa(int(s)) + ")"
}

//nolint:gochecknoglobals // a pool has no state of its own
var requests = sync.Pool{New: func() any { return &request{wake: make(chan signal, 1)} }}

// newRequest encodes an append in a form. It returns an error if the append is invalid or cannot be encoded.
func (l *Log) newRequest(a ports.Append, form form, erasing erasing) (*request, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if len(a.Takes) > 0 && l.keys.Cluster() {
		return nil, &domain.InvalidError{Field: "takes", Problem: fmt.Sprintf("has %d limits", len(a.Takes)), Allowed: "none on a Cluster, where limits are in other slots"}
	}
	partition := l.keys.Partition(a.Chat)
	if err := l.checkLevel(partition, a.Events); err != nil {
		return nil, err
	}
	if level := l.levelOf(partition); level < rulesLevel {
		a.Events = slices.Clone(a.Events)
		for i := range a.Events {
			a.Events[i] = atLevel(level, a.Events[i])
		}
	}
	r, _ := requests.Get().(*request)
	r.append, r.partition, r.form, r.erasing = a, partition, form, erasing
	r.buf, r.ends, r.outcome, r.err, r.queued, r.next = r.buf[:0], r.ends[:0], ports.Outcome{}, nil, false, nil
	if err := l.write(r); err != nil {
		r.free()
		return nil, err
	}
	return r, nil
}

// checkLevel returns a [*ports.LevelError] if the partition's level is too low for an event.
func (l *Log) checkLevel(partition int, events []ports.NewEvent) error {
	for _, e := range events {
		if needed := levelFor(e.Event); needed > bareLevel {
			if level := l.levelOf(partition); level < needed {
				return &ports.LevelError{Log: l.id, Level: level, Needed: needed}
			}
		}
	}
	return nil
}

// free puts the request back into the pool. No reference to it may remain.
func (r *request) free() {
	const large = 1 << 16
	if cap(r.buf) > large {
		r.buf = nil
	}
	r.append, r.erasing = ports.Append{}, erasing{}
	requests.Put(r)
}

// end ends the current argument.
func (r *request) end() { r.ends = append(r.ends, len(r.buf)) }

func (r *request) text(s string) {
	r.buf = append(r.buf, s...)
	r.end()
}

func (r *request) number(n uint64) {
	r.buf = strconv.AppendUint(r.buf, n, 10)
	r.end()
}

func (r *request) field(e domain.Entity) {
	r.buf = appendField(r.buf, e)
	r.end()
}

// write encodes all arguments but the partition's place, which depends on the batch.
func (l *Log) write(r *request) error {
	switch r.form {
	case plainSend:
		return l.writeSend(r)
	case plainErasure:
		return l.writeErasure(r)
	case general, forms:
	}
	return l.writeGeneral(r)
}

func (l *Log) writeGeneral(r *request) error {
	a := r.append
	r.text(string(a.Chat))
	start := len(r.buf)
	if r.buf = keyspace.AppendEscaped(r.buf, string(a.Chat)); string(r.buf[start:]) == string(a.Chat) {
		r.buf = r.buf[:start]
	}
	r.end()
	if a.EndsTyping != "" {
		r.buf = l.typing.AppendMark(r.buf, a.Chat, a.EndsTyping)
	}
	r.end()
	r.number(uint64(len(a.Takes)))
	for _, t := range a.Takes {
		most, step := limit.Args(t.Limit)
		r.text(limit.Algorithm(t.Limit))
		r.text(l.limits.Of(t))
		r.number(uint64(t.N))  //nolint:gosec // checked
		r.number(uint64(most)) //nolint:gosec // checked
		r.text(step)
	}
	r.collect()
	r.writeEntities()
	r.number(uint64(len(a.Events)))
	for _, e := range a.Events {
		if err := l.writeEvent(r, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) writeEvent(r *request, e ports.NewEvent) error {
	r.text(string(e.ID))
	if l.announce && domain.Audience(e.Event) == "" {
		r.buf = l.keys.AppendChannel(r.buf, wireformat.Type(e.Event))
	}
	r.end()
	if err := l.writeRecord(r, e); err != nil {
		return err
	}
	r.writeEffect(e.Event)
	if compactAt(l.levelOf(r.partition), e.Event) {
		r.buf, _ = l.codec.AppendCompact(r.buf, e.ID, e.Event, e.Meta)
	}
	r.end()
	r.number(uint64(len(e.Moves)))
	for _, m := range e.Moves {
		r.number(uint64(r.place(m)))
	}
	if _, erasure := e.Event.(domain.MessageErased); erasure {
		for _, entry := range r.erasing.entries {
			r.number(uint64(entry.seq))
			r.text(entry.digest)
			r.text(entry.event)
		}
	}
	return nil
}

// writeRecord encodes the metadata of an event and its JSON in two arguments: up to the seq, and after the ordinal.
func (l *Log) writeRecord(r *request, e ports.NewEvent) error {
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

// writeEffect writes the effect of an event on the ordinal, the tombstones, erased events or a read mark, in the form of append.lua.
func (r *request) writeEffect(e domain.Durable) {
	switch e := e.(type) {
	case domain.MessageNew:
		if e.InTimeline() {
			r.buf = append(r.buf, '+')
		}
	case domain.MessageDelete:
		if !e.InTimeline() {
			break
		}
		r.buf = strconv.AppendInt(r.buf, int64(r.place(domain.MessageEntity(e.Message))), 10)
	case domain.MessageErased:
		r.buf = strconv.AppendInt(append(r.buf, '~'), int64(r.place(domain.MessageEntity(e.Message))), 10)
		r.buf = strconv.AppendInt(append(r.buf, '.'), int64(len(r.erasing.entries)), 10)
		r.buf = append(append(r.buf, '.'), r.erasing.sender...)
	case domain.ReadReceipt:
		r.buf = append(strconv.AppendUint(append(r.buf, '='), uint64(e.ReadSeq), 10), '.')
		r.buf = strconv.AppendInt(r.buf, int64(r.place(domain.MemberEntity(e.User))), 10)
	case domain.ChatSettings:
		if e.UnreadSeq != nil {
			r.buf = append(strconv.AppendUint(append(r.buf, '*'), uint64(max(*e.UnreadSeq, 1)-1), 10), '.')
			r.buf = strconv.AppendInt(r.buf, int64(r.place(domain.ReadEntity(e.User))), 10)
		}
	case domain.ChatUpdate:
		if user, sign := membership(e); sign != 0 {
			r.buf = strconv.AppendInt(append(r.buf, sign), int64(r.place(domain.ReadEntity(user))), 10)
		}
	}
	r.end()
}

// membership returns the user who joins or leaves by a change of a chat, and '>' or '<'. The sign is 0 for any other change.
func membership(e domain.ChatUpdate) (user domain.UserID, sign byte) {
	switch e.Change {
	case domain.Created:
		return e.Actor, '>'
	case domain.MemberAdded:
		return e.User, '>'
	case domain.MemberRemoved:
		return e.User, '<'
	case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
	}
	return "", 0
}

// entity is an entity that a command names, with its condition.
type entity struct {
	domain.Entity
	conditional bool
	condition   domain.Condition
	command     bool // the command itself, which the append records
}

// collect collects the entities of conditions, moves and deletions.
func (r *request) collect() {
	r.entities = r.entities[:0]
	if r.append.Command != (domain.Entity{}) { // first, so that a repetition is reported before any conflict
		r.entities = append(r.entities, entity{Entity: r.append.Command, command: true, condition: domain.Condition{Entity: r.append.Command}})
	}
	for _, c := range r.append.Conditions {
		place := r.place(c.Entity)
		if place == 0 || r.entities[place-1].condition != c { // each of two different conditions is checked
			r.entities = append(r.entities, entity{Entity: c.Entity, conditional: true, condition: c})
		}
	}
	for _, e := range r.append.Events {
		for _, m := range e.Moves {
			r.know(m)
		}
		switch e := e.Event.(type) { // see writeEffect
		case domain.MessageDelete:
			r.know(domain.MessageEntity(e.Message))
		case domain.MessageErased:
			r.know(domain.MessageEntity(e.Message))
		case domain.ReadReceipt:
			r.know(domain.MemberEntity(e.User))
		case domain.ChatSettings:
			if e.UnreadSeq != nil {
				r.know(domain.ReadEntity(e.User))
			}
		case domain.ChatUpdate:
			if user, sign := membership(e); sign != 0 {
				r.know(domain.ReadEntity(user))
			}
		}
	}
}

func (r *request) know(e domain.Entity) {
	if r.place(e) == 0 {
		r.entities = append(r.entities, entity{Entity: e})
	}
}

// place returns the place of an entity, from 1, or 0 if it is missing.
func (r *request) place(e domain.Entity) int {
	for i := range r.entities {
		if r.entities[i].Entity == e {
			return i + 1
		}
	}
	return 0
}

func (r *request) writeEntities() {
	r.number(uint64(len(r.entities)))
	for _, e := range r.entities {
		r.field(e.Entity)
	}
	for _, e := range r.entities {
		switch {
		case e.command:
			r.buf = strconv.AppendUint(append(r.buf, '='), r.append.Fingerprint, 16)
		case e.condition.Exists:
			r.buf = append(r.buf, '!')
		case e.conditional:
			r.buf = strconv.AppendUint(r.buf, uint64(e.condition.Version), 10)
			if e.condition.UpTo > e.condition.Version {
				r.buf = strconv.AppendUint(append(r.buf, '-'), uint64(e.condition.UpTo), 10)
			}
		}
		r.end()
	}
}

// appendField appends the field of an entity in a chat's index. Messages are many, so their fields are short: a UUID in canonical form is a byte 1
// and its 16 bytes, any other id is written unchanged. Fields of other kinds begin with a space, which no id contains; those of threads end with the same
// form of the message's id. The field of a command is a digest: a field of more than 64 bytes makes Redis store the whole index in the larger encoding.
func appendField(b []byte, e domain.Entity) []byte {
	switch e.Kind {
	case domain.KindMessage:
		return appendMessageField(b, e.ID)
	case domain.KindThread:
		return appendMessageField(append(append(b, ' '), kindCode(e.Kind)...), e.ID)
	case domain.KindThreadMark:
		user := threadMarkUser(e.ID)
		return appendMessageField(append(append(append(b, ' '), kindCode(e.Kind)...), e.ID[:user]...), e.ID[user:])
	case domain.KindCommand:
		b = append(append(b, ' '), kindCode(e.Kind)...)
		start := len(b)
		digest := sha256.Sum256(append(b, e.ID...)[start:])
		return append(b, digest[:commandDigest]...)
	default:
		return append(append(append(b, ' '), kindCode(e.Kind)...), e.ID...)
	}
}

func appendMessageField(b []byte, id string) []byte {
	if field, ok := wireformat.AppendUUID(append(b, 1), id); ok {
		return field
	}
	return append(b, id...)
}

// threadMarkUser returns where the user ends in the id of a thread mark, LENGTH:USERROOT.
func threadMarkUser(id string) int {
	digits, _, _ := strings.Cut(id, ":")
	n, _ := strconv.Atoi(digits)
	return min(len(digits)+1+n, len(id))
}

// commandDigest is the number of digest bytes that name a command.
const commandDigest = 16

// kindCode returns the letter of a kind of entity in scripts and in the links of entries.
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
	case domain.KindCustom:
		return "o"
	case domain.KindReceipt:
		return "v"
	case domain.KindRestrictions:
		return "b"
	case domain.KindMetadata:
		return "d"
	case domain.KindSettings:
		return "s"
	case domain.KindPins:
		return "q"
	case domain.KindThread:
		return "t"
	case domain.KindThreads:
		return "l"
	case domain.KindThreadMark:
		return "f"
	case domain.KindMentions:
		return "n"
	}
	return "?"
}
