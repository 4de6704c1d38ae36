package wireformat

import (
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// IsCompact reports whether a stored event has the compact form. stored begins at the event's brace, behind the links of its entry.
func IsCompact(stored string) bool { return strings.HasPrefix(stored, compactStart) }

// DecodeCompact decodes the compact form of the event at a place of a chat's log. It returns an [*Error] if stored is damaged or belongs to another
// chat, and the errors of [Codec.Decode] if this codec has another version of the type or none. The record shares memory with stored.
func (c *Codec) DecodeCompact(chat domain.ChatID, seq domain.Seq, stored string) (ports.Record, error) {
	record, err := decodeCompact(chat, seq, stored)
	if err != nil {
		return ports.Record{}, err
	}
	if typ := Type(record.Event); c.Version(typ) != 1 {
		json, err := appendRecord(make([]byte, 0, sizeHint(record.Event)), record)
		if err != nil {
			return ports.Record{}, err
		}
		return c.Decode(json)
	}
	return record, nil
}

// CompactJSON rebuilds the JSON of a compact event: the bytes that the delivery stream had. Errors are those of DecodeCompact.
func CompactJSON(chat domain.ChatID, seq domain.Seq, stored string) ([]byte, error) {
	_, json, err := CompactRecord(chat, seq, stored)
	return json, err
}

// CompactRecord is CompactJSON that also returns the event: a codec without upcasters decodes the JSON to it. The record shares memory with stored.
func CompactRecord(chat domain.ChatID, seq domain.Seq, stored string) (ports.Record, []byte, error) {
	record, err := decodeCompact(chat, seq, stored)
	if err != nil {
		return ports.Record{}, nil, err
	}
	json, err := appendRecord(make([]byte, 0, sizeHint(record.Event)), record)
	if err != nil {
		return ports.Record{}, nil, err
	}
	return record, json, nil
}

// appendRecord appends the JSON of a recorded event in version 1.
func appendRecord(dst []byte, r ports.Record) ([]byte, error) {
	w := writer{buf: dst, typ: Type(r.Event), v: 1}
	w.common(r.ID, r.Event.OccurredAt())
	w.unsigned("seq", uint64(r.Seq))
	w.unsigned("ordinal", uint64(r.Ordinal))
	w.meta(r.Meta)
	w.durable(r.Event)
	return append(w.buf, '}'), w.err
}

// cutCompact cuts a stored event into its letter, its ordinal and its body.
func cutCompact(stored string) (letter byte, ordinal domain.Ordinal, body string, err error) {
	rest, ok := strings.CutPrefix(stored, compactStart)
	if !ok || rest == "" || compactType(rest[0]) == "" {
		return 0, 0, "", malformedCompact("", "begins with "+strconv.Quote(clip(stored[:min(len(stored), len(compactStart)+1)])))
	}
	number, _, ok := strings.Cut(rest[1:min(len(rest), maxDigits+2)], ":")
	n, isNumber := parseNumber(number)
	if !ok || !isNumber {
		return 0, 0, "", malformedCompact(compactType(rest[0]), "has no ordinal")
	}
	return rest[0], domain.Ordinal(n), rest[len(number)+2:], nil
}

func malformedCompact(typ, problem string) error {
	return &Error{Reason: ErrMalformed, Type: typ, Problem: "the compact form " + problem, Allowed: "the form of docs/wire.md"}
}

func decodeCompact(chat domain.ChatID, seq domain.Seq, stored string) (ports.Record, error) {
	letter, ordinal, body, err := cutCompact(stored)
	if err != nil {
		return ports.Record{}, err
	}
	split := len(body) - checkBytes
	if split < 0 {
		return ports.Record{}, malformedCompact(compactType(letter), "has no check")
	}
	checked := append(append(append(make([]byte, 0, 1+split+len(chat)), letter), body[:split]...), chat...)
	if check := compactCheck(checked); byte(check>>8) != body[split] || byte(check) != body[split+1] { //nolint:gosec // its two bytes
		return ports.Record{}, malformedCompact(compactType(letter), "is damaged or is of another chat")
	}
	r := compactReader{rest: body[:split], letter: letter}
	record := ports.Record{Seq: seq, Ordinal: ordinal}
	r.record(chat, &record)
	return record, r.error()
}

// erasable are the letters of types that have an erased form.
const erasable = string(letterNew) + string(letterThread) + string(letterEdit) + string(letterDelete)

// compactReader reads a body. It remembers the first problem.
type compactReader struct {
	rest    string
	letter  byte
	flags   uint16
	ids     strings.Builder // the texts of UUIDs
	problem string
}

func (r *compactReader) error() error {
	if r.problem == "" && r.rest != "" {
		r.problem = "has more bytes than its fields"
	}
	if r.problem == "" {
		return nil
	}
	return malformedCompact(compactType(r.letter), r.problem)
}

func (r *compactReader) fail(problem string) {
	if r.problem == "" {
		r.problem = problem
	}
	r.rest = ""
}

func (r *compactReader) has(flag uint16) bool { return r.flags&flag != 0 }

// take returns the next n bytes, or "" if there are fewer.
func (r *compactReader) take(n uint64) string {
	if n > uint64(len(r.rest)) {
		r.fail("ends too early")
		return ""
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *compactReader) byte() byte {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (r *compactReader) uvarint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	r.fail("has a number of more than 64 bits")
	return 0
}

func (r *compactReader) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1) //nolint:gosec // the inverse of AppendVarint
}

func (r *compactReader) text() string { return r.take(r.uvarint()) }

func (r *compactReader) uuid() string {
	raw := r.take(uuidBytes)
	if raw == "" {
		return ""
	}
	var room [uuidText]byte
	return r.keep(appendUUIDText(room[:0], raw))
}

// keep returns b as a string. All such strings share one allocation.
func (r *compactReader) keep(b []byte) string {
	start := r.ids.Len()
	_, _ = r.ids.Write(b)
	return r.ids.String()[start:]
}

func (r *compactReader) id(uuid uint16) string {
	if r.has(uuid) {
		return r.uuid()
	}
	return r.take(uint64(r.byte()))
}

// named reads an id that must not be empty.
func (r *compactReader) named(uuid uint16) string {
	id := r.id(uuid)
	if id == "" {
		r.fail("has an empty id")
	}
	return id
}

func (r *compactReader) readSeq() domain.Seq {
	number, _, ok := strings.Cut(r.rest[:min(len(r.rest), maxDigits+1)], ":")
	n, isNumber := parseNumber(number)
	if !ok || !isNumber {
		r.fail("has no readSeq")
		return 0
	}
	r.rest = r.rest[len(number)+1:]
	return domain.Seq(n)
}

func (r *compactReader) time() time.Time {
	raw := r.take(timeBytes)
	if raw == "" {
		return time.Time{}
	}
	at := compactTime(raw)
	if !spellable(at) {
		r.fail("has a time before the year 0")
	}
	return at
}

// record reads everything that a record has but its place.
func (r *compactReader) record(chat domain.ChatID, record *ports.Record) {
	var readSeq domain.Seq
	if r.letter == letterReceipt {
		readSeq = r.readSeq()
	}
	at := r.time()
	if raw := r.take(2); raw != "" {
		r.flags = uint16(raw[0])<<8 | uint16(raw[1])
	}
	if r.has(isErased) && strings.IndexByte(erasable, r.letter) < 0 {
		r.fail("has the flag of an erased form")
	}
	r.growIDs()
	record.Event = r.event(chat, at, readSeq, &record.ID)
	if r.has(hasCorrelation) {
		record.Meta.CorrelationID = r.reference(correlationIsUUID)
	}
	if r.has(hasCausation) {
		record.Meta.CausationID = domain.CommandID(r.reference(causationIsUUID))
	}
	if r.has(hasTraceParent) {
		record.Meta.TraceParent = r.traceParent()
	}
}

// growIDs makes room for the texts of all flagged UUIDs and a packed traceparent.
func (r *compactReader) growIDs() {
	n := 0
	for _, flag := range [...]uint16{subjectIsUUID, otherIsUUID, eventIsUUID, correlationIsUUID, causationIsUUID, replyIsUUID} {
		if r.has(flag) {
			n += uuidText
		}
	}
	if r.has(traceParentIsPacked) {
		n += traceParentText
	}
	r.ids.Grow(n)
}

func (r *compactReader) reference(uuid uint16) string {
	if r.has(uuid) {
		return r.uuid()
	}
	return r.text()
}

func (r *compactReader) traceParent() string {
	if !r.has(traceParentIsPacked) {
		return r.text()
	}
	raw := r.take(traceParentBytes)
	if raw == "" {
		return ""
	}
	var room [traceParentText]byte
	b := append(appendHexText(append(room[:0], "00-"...), raw[:16]), '-')
	b = append(appendHexText(b, raw[16:24]), '-')
	return r.keep(appendHexText(b, raw[24:]))
}

// event reads the event and its id.
func (r *compactReader) event(chat domain.ChatID, at time.Time, readSeq domain.Seq, id *domain.EventID) domain.Durable {
	var change domain.Change
	var subject string
	if r.letter == letterUpdate {
		if change = domain.Change(r.byte()); changeName(change) == "" {
			r.fail("has an unknown change")
		}
		subject = r.id(subjectIsUUID)
	} else {
		subject = r.named(subjectIsUUID)
	}
	other := r.named(otherIsUUID)
	var emoji domain.Emoji
	if r.letter == letterReaction {
		emoji = domain.Emoji(r.take(uint64(r.byte())))
	}
	*id = domain.EventID(r.named(eventIsUUID))
	switch r.letter {
	case letterNew, letterThread:
		return r.messageNew(domain.MessageNew{Chat: chat, Message: domain.MessageID(other), Sender: domain.UserID(subject), At: at})
	case letterEdit:
		return r.messageEdit(domain.MessageEdit{Chat: chat, Message: domain.MessageID(subject), Editor: domain.UserID(other), At: at})
	case letterDelete:
		return r.messageDelete(domain.MessageDelete{Chat: chat, Message: domain.MessageID(subject), By: domain.UserID(other), At: at})
	case letterErased:
		return r.messageErased(domain.MessageErased{Chat: chat, Message: domain.MessageID(subject), By: domain.UserID(other), At: at})
	case letterReaction:
		action := domain.ReactionAdd
		if r.has(hasText) {
			action = domain.ReactionRemove
		}
		return domain.MessageReaction{Chat: chat, Message: domain.MessageID(subject), User: domain.UserID(other), Emoji: emoji, Action: action, At: at}
	case letterReceipt:
		return domain.ReadReceipt{Chat: chat, User: domain.UserID(subject), Message: domain.MessageID(other), ReadSeq: readSeq, At: at}
	}
	return r.chatUpdate(domain.ChatUpdate{Chat: chat, Actor: domain.UserID(other), User: domain.UserID(subject), Change: change, At: at})
}

func (r *compactReader) flagged(flag uint16) string {
	if r.has(flag) {
		return r.text()
	}
	return ""
}

func (r *compactReader) messageNew(e domain.MessageNew) domain.MessageNew {
	e.Content, e.Erased = domain.Content(r.text()), r.has(isErased)
	if r.has(hasText) {
		e.ReplyTo = domain.MessageID(r.named(replyIsUUID))
	}
	e.Mentions, e.Attachments = r.mentions(), r.attachments()
	e.ClientMeta = domain.ClientMeta(r.flagged(hasClientMeta))
	r.place(letterNew).ofNew(&e)
	if e.InTimeline() != (r.letter == letterNew) {
		r.fail("has the letter of another timeline")
	}
	return e
}

func (r *compactReader) messageEdit(e domain.MessageEdit) domain.MessageEdit {
	e.Content, e.Erased = domain.Content(r.text()), r.has(isErased)
	e.Mentions, e.Attachments = r.mentions(), r.attachments()
	e.Revision = int(r.varint())
	r.place(letterEdit).ofEdit(&e)
	return e
}

func (r *compactReader) messageDelete(e domain.MessageDelete) domain.MessageDelete {
	e.Reason, e.Erased = domain.Reason(r.flagged(hasText)), r.has(isErased)
	r.place(letterDelete).ofDelete(&e)
	return e
}

func (r *compactReader) messageErased(e domain.MessageErased) domain.MessageErased {
	if e.Sent = domain.Seq(r.uvarint()); e.Sent == 0 {
		r.fail("has no messageSeq")
	}
	e.Reason = domain.Reason(r.flagged(hasText))
	return e
}

func (r *compactReader) chatUpdate(e domain.ChatUpdate) domain.ChatUpdate {
	roles := r.byte()
	e.Role, e.Previous = domain.Role(roles>>4), domain.Role(roles&15)
	if spelled(e.Role) != byte(e.Role) || spelled(e.Previous) != byte(e.Previous) {
		r.fail("has an unknown role")
	}
	e.Title = domain.Title(r.flagged(hasText))
	return e
}

// count reads the number of elements of an array, each of which takes at least one byte.
func (r *compactReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail("ends too early")
		return 0
	}
	return int(n) //nolint:gosec // at most the length of a string
}

func (r *compactReader) mentions() []domain.UserID {
	if !r.has(hasMentions) {
		return nil
	}
	return r.users()
}

func (r *compactReader) users() []domain.UserID {
	users := make([]domain.UserID, r.count())
	for i := range users {
		if length := r.byte(); length > 0 {
			users[i] = domain.UserID(r.take(uint64(length)))
		} else {
			users[i] = domain.UserID(r.uuid())
		}
	}
	return users
}

func (r *compactReader) attachments() []domain.Attachment {
	if !r.has(hasAttachments) {
		return nil
	}
	n := r.count()
	all := make([]domain.Attachment, 0, min(n, domain.MaxAttachments))
	for range n {
		a := domain.Attachment{Name: r.text(), Type: r.text(), Size: r.varint(), URL: r.text()}
		if r.problem != "" {
			break
		}
		all = append(all, a)
	}
	return all
}
