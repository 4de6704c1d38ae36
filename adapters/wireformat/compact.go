package wireformat

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// The compact form of a durable event in a chat's list is
//
//	{ 0x02 TYPE ORDINAL : BODY
//
// with the type's letter and the ordinal in decimal. The seq and the chat are those of the place. The body is
//
//	READSEQ :   in decimal; only of a read:receipt
//	TIME        milliseconds since 1970, 6 bytes
//	FLAGS       2 bytes
//	CHANGE      1 byte; only of a chat:update
//	SUBJECT     the sender of a message:new, the user of a read:receipt or a chat:update, and the message of any other event
//	OTHER       the message of a message:new or a read:receipt, and the actor of any other event
//	EMOJI       only of a message:reaction
//	EVENT       the event's id
//	            the type's other fields, those of the place of a message if it is flagged, and then correlationId, causationId and traceparent
//	CHECK       the low 2 bytes of the CRC-32C of the type's letter, the body before and the chat
//
// Numbers are big-endian. An id is 16 bytes if its flag marks a canonical UUID, and otherwise a byte with its length and its bytes; the emoji has the
// latter form, and the subject of a chat:update has length 0 if it has no user. Other texts begin with their length as a varint. Scripts read everything
// up to the emoji.
//
// An event has the compact form only if the JSON can be rebuilt from it byte for byte: custom events, versions other than 1, ids of more than 255 bytes
// and times outside of 48 bits stay JSON. Below level 4 of the log erased forms and message:erased stay JSON too: programs of level 3 do not read them otherwise.
const (
	compactStart = "{\x02"
	checkBytes   = 2
	timeBytes    = 6
	longestID    = 255
)

// Flags of a body. The last ones have a meaning for each type.
const (
	subjectIsUUID = 1 << iota
	otherIsUUID
	eventIsUUID
	hasCorrelation
	correlationIsUUID
	hasCausation
	causationIsUUID
	hasTraceParent
	traceParentIsPacked
	hasText // replyTo of a message:new, reason of a message:delete or a message:erased, title of a chat:update, or the removal of a message:reaction
	replyIsUUID
	hasMentions
	hasAttachments
	hasClientMeta
	hasPlace // of a message:new, message:edit or message:delete; see placeFlags
	isErased // a message:new, message:edit or message:delete in its erased form
)

// Flags of the place of a message: one byte, which its fields follow in the order of the flags. The last two have a meaning for each type.
const (
	placeSent         = 1 << iota // messageSeq, a varint
	placeThread                   // threadId
	placeThreadIsUUID             // threadId is 16 bytes
	placeInChat
	placeMentioned
	placeBroadcast // all of a message:new, null of a message:edit, pinned of a message:delete
	placeOther     // broadcast here of a message:new, mentionsAdded of a message:edit

	allPlaceFlags = placeOther<<1 - 1
)

// The letters of types.
const (
	letterNew      = 'n'
	letterThread   = 't' // a message:new that is in a thread alone: scripts count the others
	letterEdit     = 'e'
	letterDelete   = 'd'
	letterReaction = 'x'
	letterReceipt  = 'r'
	letterUpdate   = 'c'
	letterErased   = 'z'
)

// compactLetter returns the letter of a type that has a compact form, or 0.
func compactLetter(typ string) byte {
	for _, letter := range [...]byte{letterNew, letterEdit, letterDelete, letterReaction, letterReceipt, letterUpdate, letterErased} {
		if compactType(letter) == typ {
			return letter
		}
	}
	return 0
}

// compactType is the inverse of compactLetter. It returns "" for any other byte.
func compactType(letter byte) string {
	switch letter {
	case letterNew, letterThread:
		return TypeMessageNew
	case letterEdit:
		return TypeMessageEdit
	case letterDelete:
		return TypeMessageDelete
	case letterReaction:
		return TypeMessageReaction
	case letterReceipt:
		return TypeReadReceipt
	case letterUpdate:
		return TypeChatUpdate
	case letterErased:
		return TypeMessageErased
	}
	return ""
}

// AppendCompact appends the type's letter and the body of the compact form. ok is false, and dst unchanged, if the event stays JSON. The event must be
// one that [Codec.AppendDurable] accepts.
func (c *Codec) AppendCompact(dst []byte, id domain.EventID, e domain.Durable, m ports.Meta) (buf []byte, ok bool) {
	typ := Type(e)
	letter, at := compactLetter(typ), domain.Instant(e.OccurredAt()).UnixMilli()
	if _, foreign := e.(domain.Unknown); foreign || letter == 0 || c.version(typ) != 1 || at != at<<16>>16 {
		return dst, false
	}
	if sent, is := e.(domain.MessageNew); is && !sent.InTimeline() {
		letter = letterThread
	}
	w := compactWriter{buf: append(dst, letter), ok: true}
	if receipt, is := e.(domain.ReadReceipt); is {
		w.buf = append(strconv.AppendUint(w.buf, uint64(receipt.ReadSeq), 10), ':')
	}
	w.buf = append(w.buf, byte(at>>40), byte(at>>32), byte(at>>24), byte(at>>16), byte(at>>8), byte(at)) //nolint:gosec // each is one byte of six
	w.flagsAt = len(w.buf)
	w.buf = append(w.buf, 0, 0)
	if domain.IsErased(e) {
		w.flags = isErased
	}
	w.ids(id, e)
	w.fields(e)
	w.meta(m)
	if !w.ok {
		return dst, false
	}
	binary.BigEndian.PutUint16(w.buf[w.flagsAt:], w.flags)
	end := len(w.buf)
	w.buf = append(w.buf, e.ChatID()...)
	return binary.BigEndian.AppendUint16(w.buf[:end], compactCheck(w.buf[len(dst):])), true
}

// StoredCompact returns the letter and the body of [Codec.AppendCompact] as a list has them, with the ordinal.
func StoredCompact(compact []byte, ordinal domain.Ordinal) string {
	b := append(append(make([]byte, 0, len(compact)+maxDigits+3), compactStart...), compact[0])
	b = append(strconv.AppendUint(b, uint64(ordinal), 10), ':')
	return string(append(b, compact[1:]...))
}

// compactCheck returns the check of a letter, a body and a chat.
func compactCheck(b []byte) uint16 {
	return uint16(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) //nolint:gosec // the low half
}

// compactWriter writes a body. ok becomes false if the event stays JSON.
type compactWriter struct {
	buf     []byte
	flags   uint16
	flagsAt int
	ok      bool
}

func (w *compactWriter) id(s string, uuid uint16) {
	if buf, is := AppendUUID(w.buf, s); is {
		w.buf, w.flags = buf, w.flags|uuid
		return
	}
	w.short(s)
}

// short writes a text of at most 255 bytes.
func (w *compactWriter) short(s string) {
	w.ok = w.ok && len(s) <= longestID
	w.buf = append(append(w.buf, byte(len(s))), s...) //nolint:gosec // checked
}

func (w *compactWriter) text(s string) {
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(s))), s...)
}

// flagged writes a text unless it is empty.
func (w *compactWriter) flagged(s string, flag uint16) {
	if s != "" {
		w.flags |= flag
		w.text(s)
	}
}

// ids writes everything from the change to the event's id.
func (w *compactWriter) ids(event domain.EventID, e domain.Durable) {
	pair := func(subject, other string) {
		w.id(subject, subjectIsUUID)
		w.id(other, otherIsUUID)
	}
	switch e := e.(type) {
	case domain.MessageNew:
		pair(string(e.Sender), string(e.Message))
	case domain.MessageEdit:
		pair(string(e.Message), string(e.Editor))
	case domain.MessageDelete:
		pair(string(e.Message), string(e.By))
	case domain.MessageErased:
		pair(string(e.Message), string(e.By))
	case domain.MessageReaction:
		pair(string(e.Message), string(e.User))
		w.ok = w.ok && plain(string(e.User)) && plain(string(e.Emoji))
		w.short(string(e.Emoji))
	case domain.ReadReceipt:
		pair(string(e.User), string(e.Message))
	case domain.ChatUpdate:
		w.ok = w.ok && e.Kind == domain.Group && !e.Erased // others are JSON
		w.buf = append(w.buf, byte(e.Change))
		pair(string(e.User), string(e.Actor))
	}
	w.id(string(event), eventIsUUID)
}

// plain reports whether a JSON string has s without escapes. Scripts compare reactions of both forms.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// fields writes the other fields of an event.
func (w *compactWriter) fields(e domain.Durable) {
	switch e := e.(type) {
	case domain.MessageNew:
		w.text(string(e.Content))
		if e.ReplyTo != "" {
			w.flags |= hasText
			w.id(string(e.ReplyTo), replyIsUUID)
		}
		w.mentions(e.Mentions, len(e.Mentions) > 0)
		w.attachments(e.Attachments, len(e.Attachments) > 0)
		w.flagged(strings.TrimSpace(string(e.ClientMeta)), hasClientMeta)
		w.place(placeOf(e))
	case domain.MessageEdit:
		w.text(string(e.Content))
		w.mentions(e.Mentions, e.Mentions != nil)
		w.attachments(e.Attachments, e.Attachments != nil)
		w.buf = binary.AppendVarint(w.buf, int64(e.Revision))
		w.place(placeOf(e))
	case domain.MessageDelete:
		w.flagged(string(e.Reason), hasText)
		w.place(placeOf(e))
	case domain.MessageErased:
		w.ok = w.ok && e.Sent > 0 // readers of JSON require it
		w.buf = binary.AppendUvarint(w.buf, uint64(e.Sent))
		w.flagged(string(e.Reason), hasText)
	case domain.MessageReaction:
		if e.Action == domain.ReactionRemove {
			w.flags |= hasText
		}
	case domain.ChatUpdate:
		w.buf = append(w.buf, spelled(e.Role)<<4|spelled(e.Previous))
		if e.Change == domain.Created || e.Change == domain.Renamed {
			w.flags |= hasText
			w.text(string(e.Title))
		}
	}
}

// spelled returns a role as it is read back from JSON, which leaves out a value without a name.
func spelled(r domain.Role) byte {
	if roleName(r) == "" {
		return byte(domain.NoRole)
	}
	return byte(r)
}

func (w *compactWriter) mentions(users []domain.UserID, there bool) {
	if !there {
		return
	}
	w.flags |= hasMentions
	w.users(users)
}

func (w *compactWriter) users(users []domain.UserID) {
	w.buf = binary.AppendUvarint(w.buf, uint64(len(users)))
	for _, user := range users {
		if buf, is := AppendUUID(append(w.buf, 0), string(user)); is {
			w.buf = buf
			continue
		}
		w.ok = w.ok && user != ""
		w.short(string(user))
	}
}

func (w *compactWriter) attachments(all []domain.Attachment, there bool) {
	if !there {
		return
	}
	w.flags |= hasAttachments
	w.buf = binary.AppendUvarint(w.buf, uint64(len(all)))
	for _, a := range all {
		w.text(a.Name)
		w.text(a.Type)
		w.buf = binary.AppendVarint(w.buf, a.Size)
		w.text(a.URL)
	}
}

func (w *compactWriter) meta(m ports.Meta) {
	w.reference(clean(m.CorrelationID), hasCorrelation, correlationIsUUID)
	w.reference(clean(string(m.CausationID)), hasCausation, causationIsUUID)
	parent := clean(m.TraceParent)
	if buf, is := appendTraceParent(w.buf, parent); is {
		w.buf, w.flags = buf, w.flags|hasTraceParent|traceParentIsPacked
		return
	}
	w.flagged(parent, hasTraceParent)
}

// reference writes an id that may be missing, and that no rule of the domain bounds.
func (w *compactWriter) reference(s string, there, uuid uint16) {
	if buf, is := AppendUUID(w.buf, s); is {
		w.buf, w.flags = buf, w.flags|there|uuid
		return
	}
	w.flagged(s, there)
}

// A traceparent of version 00 has 55 characters: 00-TRACE-SPAN-FLAGS in lower-case hexadecimal digits.
const (
	traceParentBytes = 16 + 8 + 1
	traceParentText  = 55
)

// appendTraceParent appends the bytes of a traceparent of version 00. ok is false, and dst unchanged, for any other text.
func appendTraceParent(dst []byte, s string) (buf []byte, ok bool) {
	const trace, span = 35, 52
	if len(s) != traceParentText || s[:3] != "00-" || s[trace] != '-' || s[span] != '-' {
		return dst, false
	}
	buf = dst
	for _, part := range [...]string{s[3:trace], s[trace+1 : span], s[span+1:]} {
		if buf, ok = appendHex(buf, part); !ok {
			return dst, false
		}
	}
	return buf, true
}

// compactTime returns the time of six bytes.
func compactTime(s string) time.Time {
	ms := int64(s[0])<<56 | int64(s[1])<<48 | int64(s[2])<<40 | int64(s[3])<<32 | int64(s[4])<<24 | int64(s[5])<<16
	return time.UnixMilli(ms >> 16).UTC()
}
