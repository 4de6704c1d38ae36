package wireformat

import (
	"bytes"
	"strconv"
	"time"

	"chatcore/domain"
)

// Placed is an event's identity and its place in a log.
type Placed struct {
	ID      domain.EventID
	Seq     domain.Seq
	Ordinal domain.Ordinal
	At      time.Time // when it happened, as the event says
}

// PeekPlaced reads the identity and the place of an event of a log without decoding the event: all versions of the core write them alike. It makes one
// allocation for events as a [Codec] writes them. It returns an [*Error] for any other payload than an event of a log.
func PeekPlaced(payload []byte) (Placed, error) {
	if p, ok := peekPlaced(payload); ok {
		return p, nil
	}
	r := &reader{}
	if err := r.fields.open(payload); err != nil {
		return Placed{}, err
	}
	r.readType()
	p := Placed{
		ID: id(r, "eventId", domain.ParseEventID), Seq: domain.Seq(r.unsigned("seq", 1, true)), Ordinal: domain.Ordinal(r.unsigned("ordinal", 0, true)),
		At: r.instant("timestamp", time.Time{}),
	}
	return p, r.err
}

// peekPlaced is PeekPlaced of an event as a codec writes it. ok is false for any other payload.
func peekPlaced(payload []byte) (p Placed, ok bool) {
	_, rest, ok := peekHead(payload)
	if !ok {
		return p, false
	}
	written, _, _ := cutQuoted(payload[len(eventStart):])
	at, rest, ok := peekTime(rest)
	if !ok {
		return p, false
	}
	seq, rest, ok := cutNumber(rest, `,"seq":`)
	if !ok || seq == 0 {
		return p, false
	}
	ordinal, rest, ok := cutNumber(rest, ordinalKey)
	if !ok || len(rest) == 0 || rest[0] != ',' && rest[0] != '}' {
		return p, false
	}
	parsed, err := domain.ParseEventID(string(written))
	when, wrong := time.Parse(instantLayout, string(at))
	return Placed{ID: parsed, Seq: domain.Seq(seq), Ordinal: domain.Ordinal(ordinal), At: when}, err == nil && wrong == nil
}

// cutNumber cuts a key and the number that follows it from the start of b.
func cutNumber(b []byte, key string) (n uint64, rest []byte, ok bool) {
	after, ok := bytes.CutPrefix(b, []byte(key))
	rest = bytes.TrimLeft(after, "0123456789")
	n, err := strconv.ParseUint(string(after[:len(after)-len(rest)]), 10, 64)
	return n, rest, ok && err == nil
}
