package live

import (
	"bytes"
	"encoding/json"
)

// peek returns the chatId and the userId of a JSON object, "" for one that is missing or no string. It returns false if payload is not a JSON object.
func peek(payload []byte) (chat, user string, ok bool) {
	if !json.Valid(payload) {
		return "", "", false
	}
	rest := bytes.TrimLeft(payload, space)
	if len(rest) == 0 || rest[0] != '{' {
		return "", "", false
	}
	rest = bytes.TrimLeft(rest[1:], space)
	for len(rest) > 0 && rest[0] == '"' {
		var key, value []byte
		key, rest = cutValue(rest)
		rest = bytes.TrimLeft(bytes.TrimLeft(rest, space)[1:], space) // the colon
		value, rest = cutValue(rest)
		switch text(key) {
		case "chatId":
			chat = text(value)
		case "userId":
			user = text(value)
		}
		rest = bytes.TrimLeft(rest, space+",")
	}
	return chat, user, true
}

const space = " \t\r\n"

// cutValue returns the value with which valid JSON begins, and the rest.
func cutValue(b []byte) (value, rest []byte) {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
			continue
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return b[:i], b[i:]
			}
			depth--
		case depth == 0 && (c == ',' || c == ':'):
			return b[:i], b[i:]
		}
		if depth == 0 && (b[i] == '"' && !quoted || b[i] == '}' || b[i] == ']') {
			return b[:i+1], b[i+1:]
		}
	}
	return b, nil
}

// text returns a JSON string, "" for another value.
func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}
