package wireformat

import (
	"bytes"
	"encoding/json"
)

// PeekType returns the type of an event without decoding the event, or nil if there is none. It costs no allocation for events as a [Codec] writes
// them.
func PeekType(payload []byte) []byte {
	if typ, _, ok := peekHead(payload); ok {
		return typ
	}
	fields, err := open(payload)
	if err != nil {
		return nil
	}
	var typ string
	raw, _ := fields.get("type")
	if json.Unmarshal([]byte(raw), &typ) != nil {
		return nil
	}
	return []byte(typ)
}

// InLog reports whether a payload is an event of a log: it has an eventId and a seq. Ephemeral events, payloads of other programs and malformed ones are
// not. It costs no allocation for durable events as a [Codec] writes them.
func InLog(payload []byte) bool {
	if _, rest, ok := peekHead(payload); ok && peekSeq(rest) {
		return true
	}
	fields, err := open(payload)
	if err != nil {
		return false
	}
	_, id := fields.get("eventId")
	_, seq := fields.get("seq")
	return id && seq
}

// eventStart is how an event begins as a codec writes it.
const eventStart = `{"eventId":"`

// peekHead returns the type of an event that begins as a codec writes it, and what follows the type. ok is false for any other payload.
func peekHead(payload []byte) (typ, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(payload, []byte(eventStart))
	if !ok {
		return nil, nil, false
	}
	if _, rest, ok = cutQuoted(rest); !ok {
		return nil, nil, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"type":"`)); !ok {
		return nil, nil, false
	}
	return cutQuoted(rest)
}

// peekSeq reports whether the seq follows the version and the time, as a codec writes them.
func peekSeq(rest []byte) bool {
	_, rest, ok := peekTime(rest)
	return ok && bytes.HasPrefix(rest, []byte(`,"seq":`))
}

// peekTime returns the time after the version, as a codec writes them after the type, and what follows it.
func peekTime(rest []byte) (at, after []byte, ok bool) {
	rest, ok = bytes.CutPrefix(rest, []byte(`,"v":`))
	if !ok {
		return nil, nil, false
	}
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, "0123456789"), []byte(`,"timestamp":"`))
	if !ok {
		return nil, nil, false
	}
	return cutQuoted(rest)
}

// cutQuoted cuts b after the quote that ends a string. ok is false if the string has escapes.
func cutQuoted(b []byte) (text, rest []byte, ok bool) {
	text, rest, ok = bytes.Cut(b, []byte{'"'})
	return text, rest, ok && !bytes.ContainsRune(text, '\\')
}
