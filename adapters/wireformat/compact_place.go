package wireformat

import (
	"encoding/binary"

	"chatcore/domain"
)

// messagePlace is the part of an event about a message that says where the message is, and which entities the event moves.
type messagePlace struct {
	sent      domain.Seq
	thread    domain.MessageID
	added     []domain.UserID
	inChat    bool
	mentioned bool
	broadcast bool // see placeBroadcast
	other     bool // see placeOther
}

func placeOf(e domain.Durable) messagePlace {
	switch e := e.(type) {
	case domain.MessageNew:
		return messagePlace{
			thread: e.Thread, inChat: e.InChat, mentioned: e.Mentioned, broadcast: e.Broadcast == domain.BroadcastAll, other: e.Broadcast == domain.BroadcastHere,
		}
	case domain.MessageEdit:
		return messagePlace{
			sent: e.Sent, thread: e.Thread, inChat: e.InChat, mentioned: e.Mentioned, broadcast: e.BroadcastRemoved,
			added: e.MentionsAdded, other: len(e.MentionsAdded) > 0,
		}
	case domain.MessageDelete:
		return messagePlace{sent: e.Sent, thread: e.Thread, inChat: e.InChat, mentioned: e.Mentioned, broadcast: e.Pinned}
	}
	return messagePlace{}
}

func (p messagePlace) ofNew(e *domain.MessageNew) {
	e.Thread, e.InChat, e.Mentioned = p.thread, p.inChat, p.mentioned
	switch {
	case p.broadcast:
		e.Broadcast = domain.BroadcastAll
	case p.other:
		e.Broadcast = domain.BroadcastHere
	}
}

func (p messagePlace) ofEdit(e *domain.MessageEdit) {
	e.Sent, e.Thread, e.InChat, e.Mentioned, e.BroadcastRemoved, e.MentionsAdded = p.sent, p.thread, p.inChat, p.mentioned, p.broadcast, p.added
}

func (p messagePlace) ofDelete(e *domain.MessageDelete) {
	e.Sent, e.Thread, e.InChat, e.Mentioned, e.Pinned = p.sent, p.thread, p.inChat, p.mentioned, p.broadcast
}

// place writes the place of a message, unless it is in the main timeline and nothing else is known of it.
func (w *compactWriter) place(p messagePlace) {
	var flags byte
	set := func(flag byte, is bool) {
		if is {
			flags |= flag
		}
	}
	set(placeSent, p.sent != 0)
	set(placeThread, p.thread != "")
	set(placeInChat, p.inChat)
	set(placeMentioned, p.mentioned)
	set(placeBroadcast, p.broadcast)
	set(placeOther, p.other)
	if flags == 0 {
		return
	}
	w.flags |= hasPlace
	at := len(w.buf)
	w.buf = append(w.buf, flags)
	if p.sent != 0 {
		w.buf = binary.AppendUvarint(w.buf, uint64(p.sent))
	}
	if p.thread != "" {
		if buf, is := AppendUUID(w.buf, string(p.thread)); is {
			w.buf = buf
			w.buf[at] |= placeThreadIsUUID
		} else {
			w.short(string(p.thread))
		}
	}
	if len(p.added) > 0 {
		w.users(p.added)
	}
}

// place reads the place of a message of an event of a type.
func (r *compactReader) place(letter byte) (p messagePlace) {
	if !r.has(hasPlace) {
		return p
	}
	flags := r.byte()
	has := func(flag byte) bool { return flags&flag != 0 }
	if flags == 0 || has(^byte(allPlaceFlags)) || letter == letterNew && has(placeSent) || letter == letterDelete && has(placeOther) || letter == letterNew && has(placeBroadcast) && has(placeOther) {
		r.fail("has unknown flags of a place")
	}
	if has(placeSent) {
		p.sent = domain.Seq(r.uvarint())
	}
	if has(placeThread) {
		p.thread = domain.MessageID(r.threadID(has(placeThreadIsUUID)))
	}
	p.inChat, p.mentioned, p.broadcast, p.other = has(placeInChat), has(placeMentioned), has(placeBroadcast), has(placeOther)
	if p.other && letter == letterEdit {
		p.added = r.users()
	}
	return p
}

func (r *compactReader) threadID(isUUID bool) string {
	if isUUID {
		return r.uuid()
	}
	id := r.take(uint64(r.byte()))
	if id == "" {
		r.fail("has an empty id")
	}
	return id
}
