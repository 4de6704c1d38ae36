package eventlog

import (
	"slices"
	"strconv"

	"chatcore/domain"
	"chatcore/ports"
)

// A plain erasure is an append of message:delete and message:erased without limits, of a message in the main timeline that no event has changed since it was sent. It is
// the commonest erasure, and erase_message.lua does it at half of the cost of append.lua.

// isPlainErasure reports whether erase_message.lua can do an append.
func (l *Log) isPlainErasure(a *ports.Append, erasing *erasing) bool {
	if len(erasing.entries) != 1 || erasing.sender == "" || len(a.Events) != 2 || len(a.Takes) > 0 || a.EndsTyping != "" {
		return false
	}
	deleted, ok1 := a.Events[0].Event.(domain.MessageDelete)
	erased, ok2 := a.Events[1].Event.(domain.MessageErased)
	if !ok1 || !ok2 || !deleted.InTimeline() || deleted.Chat != a.Chat || erased.Chat != a.Chat || l.levelOf(l.keys.Partition(a.Chat)) < rulesLevel {
		return false
	}
	message := domain.MessageEntity(erased.Message)
	for _, e := range a.Events {
		if len(e.Moves) != 1 || e.Moves[0] != message {
			return false
		}
	}
	required := domain.Condition{Entity: message, Version: erasing.entries[0].seq}
	for _, c := range a.Conditions {
		if c.UpTo != 0 || c.Entity == message && c != required {
			return false
		}
	}
	return true
}

// writeErasure encodes the arguments of a plain erasure to erase_message.lua, but the partition's place.
func (l *Log) writeErasure(r *request) error {
	a, entry := r.append, r.erasing.entries[0]
	message := a.Events[0].Moves[0]
	r.text(string(a.Chat))
	r.buf = l.keys.AppendChat(r.buf, a.Chat)
	r.end()
	r.field(message)
	r.text(string(r.erasing.sender))
	r.number(uint64(entry.seq))
	r.number(uint64(entry.seq-1) / segmentSize)
	r.number(uint64(entry.seq-1) % segmentSize)
	r.text(entry.digest)
	r.text(entry.event)
	for _, e := range a.Events {
		if err := l.writePlain(r, e); err != nil {
			return err
		}
	}
	others := slices.DeleteFunc(slices.Clone(a.Conditions), func(c domain.Condition) bool { return c.Entity == message })
	if a.Command == (domain.Entity{}) {
		r.end()
		r.end()
	} else {
		r.field(a.Command)
		r.buf = strconv.AppendUint(r.buf, a.Fingerprint, 16)
		r.end()
		others = append(others, domain.Condition{Entity: a.Command})
	}
	r.number(uint64(len(others)))
	for _, c := range others {
		r.field(c.Entity)
	}
	for _, c := range others {
		r.buf = appendRequired(r.buf, c)
		r.end()
	}
	return nil
}
