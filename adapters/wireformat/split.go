package wireformat

import (
	"bytes"
	"encoding/json"
	"math"

	"chatcore/internal/bytescan"
)

// object has the fields of a JSON object, as parts of its text. A list is searched faster than a map is made: events have about twelve fields. It holds no
// pointer to fields but to the seventeenth and later ones, so that an object on the stack needs no other memory.
type object struct {
	text  string
	names uint64 // a bit for the key of each name: most fields that are missing need not be searched for
	first [16]objectField
	count int // of the fields
	more  []objectField

	plain bool // no string has an escape
	mixed bool // two fields may have the same name
	next  int  // behind the field that was read last: most are read in their order
}

type objectField struct {
	name, value part
	key         uint8 // nameKey of the name, which is faster to compare
}

// part is a run of the bytes of a text.
type part struct{ from, to uint32 }

func (p part) of(text string) string { return text[p.from:p.to] }

// nameKey returns a number below 64 for a name. Nearly all names of the fields of an event have another one.
func nameKey[T string | []byte](name T) uint8 {
	if len(name) == 0 {
		return 0
	}
	return (17*uint8(len(name)) + name[0] + name[len(name)-1]) % 64 //nolint:gosec,mnd // wraps around
}

// add adds a field behind all others.
func (o *object) add(name, value part, key uint8) {
	if f := (objectField{name, value, key}); o.count < len(o.first) {
		o.first[o.count] = f
	} else {
		o.more = append(o.more, f)
	}
	o.count++
	o.mixed = o.mixed || o.names>>key&1 != 0
	o.names |= 1 << key
}

// at returns the i-th field.
func (o *object) at(i int) *objectField {
	if i < len(o.first) {
		return &o.first[i]
	}
	return &o.more[i-len(o.first)]
}

// get returns the JSON of a field: the last one, as encoding/json does. ok is false if there is none.
func (o *object) get(name string) (value string, ok bool) {
	key := nameKey(name)
	if o.names>>key&1 == 0 {
		return "", false
	}
	if !o.mixed && o.next < o.count {
		if f := o.at(o.next); f.key == key && f.name.of(o.text) == name {
			o.next++
			return f.value.of(o.text), true
		}
	}
	for i := o.count - 1; i >= 0; i-- {
		if f := o.at(i); f.key == key && f.name.of(o.text) == name {
			o.next = i + 1
			return f.value.of(o.text), true
		}
	}
	return "", false
}

// mapped returns copies of the fields by their names.
func (o *object) mapped() map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage, o.count)
	for i := range o.count {
		f := o.at(i)
		fields[f.name.of(o.text)] = json.RawMessage(f.value.of(o.text))
	}
	return fields
}

// set is the inverse of mapped, in any order.
func (o *object) set(fields map[string]json.RawMessage) {
	*o = object{}
	var text []byte
	write := func(b []byte) part {
		text = append(text, b...)
		return part{uint32(len(text) - len(b)), uint32(len(text))} //nolint:gosec // an event is at most domain.MaxEventBytes
	}
	for name, value := range fields {
		o.add(write([]byte(name)), write(value), nameKey(name))
	}
	o.text = string(text)
}

// split sets the fields to those of a JSON object in valid UTF-8, as [json.Unmarshal] does but in a tenth of the time. It returns false if the payload is not
// written as a [Codec] writes it, with no space between tokens: then the payload may still be an object. The fields do not share the payload's memory.
func (o *object) split(payload []byte) bool {
	*o = object{}
	if len(payload) < 2 || len(payload) > math.MaxUint32 || payload[0] != '{' {
		return false
	}
	s := scanner{payload, bytes.IndexByte(payload, '\\') < 0 && bytescan.IndexControl(payload) < 0}
	for at := 1; ; at++ {
		end := s.skipString(at)
		if end < 0 || end >= len(payload) || payload[end] != ':' || !s.plain && bytes.IndexByte(payload[at:end], '\\') >= 0 {
			return false
		}
		name := part{uint32(at + 1), uint32(end - 1)} //nolint:gosec // checked
		at = end + 1
		if end = s.skipValue(at); end < 0 || end >= len(payload) {
			return false
		}
		o.add(name, part{uint32(at), uint32(end)}, nameKey(payload[name.from:name.to])) //nolint:gosec // checked
		switch at = end; payload[at] {
		case ',':
		case '}':
			o.text, o.plain = string(payload), s.plain
			return at+1 == len(payload)
		default:
			return false
		}
	}
}

// scanner finds the ends of JSON values that are written as a codec writes them.
type scanner struct {
	text  []byte
	plain bool // the text has no backslash and no control character: every quote is the beginning or the end of a string
}

// skipValue returns the end of the JSON value at a place, or -1 if it is none or is not written as a codec writes it.
func (s *scanner) skipValue(at int) int {
	text := s.text
	if at >= len(text) {
		return -1
	}
	switch c := text[at]; {
	case c == '"':
		return s.skipString(at)
	case c == '{', c == '[':
		return s.skipNested(at)
	case c >= '1' && c <= '9':
		for at < len(text) && text[at] >= '0' && text[at] <= '9' {
			at++
		}
		return at
	case c == '0':
		return at + 1
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(text[at:], []byte(word)) {
			return at + len(word)
		}
	}
	return -1
}

// skipString returns the end of the JSON string at a place, or -1 if it is none.
func (s *scanner) skipString(at int) int {
	text := s.text
	if at >= len(text) || text[at] != '"' {
		return -1
	}
	if s.plain {
		if length := bytes.IndexByte(text[at+1:], '"'); length >= 0 {
			return at + length + 2
		}
		return -1
	}
	for at++; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			return at + 1
		case c < ' ':
			return -1
		case c == '\\':
			if at++; at >= len(text) {
				return -1
			}
			switch text[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if at++; at >= len(text) || !isHex(text[at]) {
						return -1
					}
				}
			default:
				return -1
			}
		}
	}
	return -1
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// skipNested returns the end of the JSON object or array at a place, or -1 if it is none.
func (s *scanner) skipNested(from int) int {
	text := s.text
	const deepest = 100
	depth := 0
	for at := from; at < len(text); at++ {
		switch text[at] {
		case '"':
			end := s.skipString(at)
			if end < 0 {
				return -1
			}
			at = end - 1
		case '{', '[':
			if depth++; depth > deepest {
				return -1
			}
		case '}', ']':
			if depth--; depth > 0 {
				continue
			}
			if !json.Valid(text[from : at+1]) {
				return -1
			}
			return at + 1
		}
	}
	return -1
}
