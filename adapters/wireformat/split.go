package wireformat

import (
	"bytes"
	"encoding/json"
)

// object has the fields of a JSON object. A list is searched faster than a map is made: events have about twelve fields.
type object []objectField

type objectField struct {
	name  []byte
	value json.RawMessage
}

// get returns the value of a field: the last one, as encoding/json does. ok is false if there is none.
func (o object) get(name string) (value json.RawMessage, ok bool) {
	for i := len(o) - 1; i >= 0; i-- {
		if string(o[i].name) == name {
			return o[i].value, true
		}
	}
	return nil, false
}

// mapped returns copies of the fields by their names.
func (o object) mapped() map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage, len(o))
	for _, f := range o {
		fields[string(f.name)] = bytes.Clone(f.value)
	}
	return fields
}

// objectOf is the inverse of mapped, in any order.
func objectOf(fields map[string]json.RawMessage) object {
	o := make(object, 0, len(fields))
	for name, value := range fields {
		o = append(o, objectField{[]byte(name), value})
	}
	return o
}

// fieldRoom is memory for the fields of an event: most have fewer. On the caller's stack it saves an allocation.
type fieldRoom [16]objectField

// split appends the fields of a JSON object in valid UTF-8 to fields, as [json.Unmarshal] does but in a tenth of the time. ok is false if the text is not
// written as a [Codec] writes it, with no space between tokens: then it may still be an object. The fields share the memory of the text.
func split(text []byte, fields object) (_ object, ok bool) {
	if len(text) < 2 || text[0] != '{' {
		return nil, false
	}
	for at := 1; ; at++ {
		end := skipString(text, at)
		if end < 0 || end >= len(text) || text[end] != ':' || bytes.IndexByte(text[at:end], '\\') >= 0 {
			return nil, false
		}
		name := text[at+1 : end-1 : end-1]
		at = end + 1
		if end = skipValue(text, at); end < 0 || end >= len(text) {
			return nil, false
		}
		fields = append(fields, objectField{name, text[at:end:end]})
		switch at = end; text[at] {
		case ',':
		case '}':
			return fields, at+1 == len(text)
		default:
			return nil, false
		}
	}
}

// skipValue returns the end of the JSON value at a place, or -1 if it is none or is not written as a codec writes it.
func skipValue(s []byte, at int) int {
	if at >= len(s) {
		return -1
	}
	switch c := s[at]; {
	case c == '"':
		return skipString(s, at)
	case c == '{', c == '[':
		return skipNested(s, at)
	case c >= '1' && c <= '9':
		for at < len(s) && s[at] >= '0' && s[at] <= '9' {
			at++
		}
		return at
	case c == '0':
		return at + 1
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s[at:], []byte(word)) {
			return at + len(word)
		}
	}
	return -1
}

// skipString returns the end of the JSON string at a place, or -1 if it is none.
func skipString(s []byte, at int) int {
	if at >= len(s) || s[at] != '"' {
		return -1
	}
	for at++; at < len(s); at++ {
		switch c := s[at]; {
		case c == '"':
			return at + 1
		case c < ' ':
			return -1
		case c == '\\':
			if at++; at >= len(s) {
				return -1
			}
			switch s[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if at++; at >= len(s) || !isHex(s[at]) {
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
func skipNested(s []byte, from int) int {
	const deepest = 100
	depth := 0
	for at := from; at < len(s); at++ {
		switch s[at] {
		case '"':
			end := skipString(s, at)
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
			if !json.Valid(s[from : at+1]) {
				return -1
			}
			return at + 1
		}
	}
	return -1
}
