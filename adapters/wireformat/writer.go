package wireformat

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatcore/domain"
	"chatcore/ports"
)

// writer appends the fields of one event and remembers the first that cannot be written.
type writer struct {
	buf []byte
	typ string
	v   int
	err error
}

func (w *writer) refuse(field, problem, allowed string) {
	if w.err == nil {
		w.err = &Error{Reason: ErrMalformed, Type: w.typ, Version: w.v, Field: field, Problem: problem, Allowed: allowed}
	}
}

func (w *writer) common(id domain.EventID, at time.Time) {
	w.buf = append(w.buf, `{"eventId":`...)
	w.quoted("eventId", string(id))
	if id == "" {
		w.refuse("eventId", "is empty", "an id")
	}
	w.text("type", w.typ)
	w.number("v", int64(w.v))
	w.instant("timestamp", at)
}

func (w *writer) meta(m ports.Meta) {
	w.optional("correlationId", clean(m.CorrelationID))
	w.optional("causationId", clean(string(m.CausationID)))
	w.optional("traceparent", clean(m.TraceParent))
}

func (w *writer) key(name string) {
	w.buf = append(w.buf, `,"`...)
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, `":`...)
}

// text writes a string, also an empty one.
func (w *writer) text(name, s string) {
	w.key(name)
	w.quoted(name, s)
}

// id writes a string that must not be empty.
func (w *writer) id(name, s string) {
	if s == "" {
		w.refuse(name, "is empty", "an id")
	}
	w.text(name, s)
}

// optional writes a string unless it is empty.
func (w *writer) optional(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

// name writes the name of an enumerated value, which "" is not.
func (w *writer) name(field, s string, allowed []string) {
	if s == "" {
		w.refuse(field, "has a value without a name", strings.Join(allowed, ", "))
	}
	w.text(field, s)
}

func (w *writer) number(name string, n int64) {
	w.key(name)
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

func (w *writer) unsigned(name string, n uint64) {
	w.key(name)
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

func (w *writer) boolean(name string, is bool) {
	w.key(name)
	w.buf = strconv.AppendBool(w.buf, is)
}

// flag writes true, and nothing for false.
func (w *writer) flag(name string, is bool) {
	if is {
		w.boolean(name, true)
	}
}

func (w *writer) null(name string) {
	w.key(name)
	w.buf = append(w.buf, "null"...)
}

func (w *writer) instant(name string, t time.Time) {
	t = domain.Instant(t)
	if !spellable(t) {
		w.refuse(name, "is of the year "+strconv.Itoa(t.Year()), allowedInstant)
	}
	w.key(name)
	w.buf = append(w.buf, '"')
	w.buf = t.AppendFormat(w.buf, instantLayout)
	w.buf = append(w.buf, '"')
}

// object embeds a JSON object as it is.
func (w *writer) object(name, s string) {
	if s == "" {
		return
	}
	raw := bytes.TrimSpace([]byte(s))
	if !utf8.Valid(raw) || !json.Valid(raw) || raw[0] != '{' {
		w.refuse(name, "is not a JSON object", "one JSON object")
	}
	w.key(name)
	w.buf = append(w.buf, raw...)
}

func (w *writer) quoted(name, s string) {
	if !utf8.ValidString(s) {
		w.refuse(name, "is not valid UTF-8", "valid UTF-8")
	}
	w.buf = appendQuoted(w.buf, s)
}

// AppendQuoted appends s, which must be valid UTF-8, as the JSON string that events have it as.
func AppendQuoted(dst []byte, s string) []byte { return appendQuoted(dst, s) }

// appendQuoted writes s, valid UTF-8, as JSON.stringify does. The encoder of encoding/json would also escape U+2028 and U+2029.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&0xf])
		}
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

const (
	instantLayout  = "2006-01-02T15:04:05.000Z"
	allowedInstant = "RFC 3339 in the years 0 to 9999"
)

// spellable reports whether RFC 3339 has the year of an instant.
func spellable(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// clean makes text valid UTF-8 that came from outside and that no rule of the domain has checked.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
