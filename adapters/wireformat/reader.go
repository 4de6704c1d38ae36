package wireformat

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatcore/domain"
)

// reader takes the fields of one event out of a JSON object and remembers the first that is wrong. Of an event of our own every
// field must be there and of its kind. Of a foreign one an optional field of another kind counts as absent, and values are held
// to the rules of the domain.
type reader struct {
	fields  object
	typ     string
	v       int
	foreign bool
	err     error
}

// open splits a JSON object into its fields.
func (o *object) open(payload []byte) error {
	valid := utf8.Valid(payload)
	if valid && o.split(payload) {
		return nil
	}
	wrong := &Error{Reason: ErrMalformed, Problem: "the payload is not a JSON object", Allowed: "one JSON object in UTF-8"}
	if !valid {
		wrong.Problem = "the payload is not valid UTF-8"
		return wrong
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		wrong.Cause = err
		return wrong
	}
	if fields == nil { // null
		return wrong
	}
	o.set(fields)
	return nil
}

func (r *reader) wrong(field, problem, allowed string) *Error {
	return &Error{Reason: ErrMalformed, Type: r.typ, Version: r.v, Field: field, Problem: problem, Allowed: allowed}
}

func (r *reader) refuse(e *Error) {
	if r.err == nil {
		r.err = e
	}
}

// kind is the JSON type of a field.
type kind string

const (
	aString kind = "a string"
	anArray kind = "an array"
	aNumber kind = "a whole number"
	aTime   kind = allowedInstant
	aFlag   kind = "true or false"
)

// absent handles a field that is missing or of another kind.
func (r *reader) absent(field string, there, required bool, want kind) {
	switch {
	case required && !there:
		r.refuse(r.wrong(field, "is missing", string(want)))
	case required || there && !r.foreign:
		r.refuse(r.wrong(field, "is of another kind", string(want)))
	}
}

// raw is a field's JSON. A null is none.
func (r *reader) raw(field string) (string, bool) {
	raw, ok := r.fields.get(field)
	return raw, ok && raw != "null"
}

func (r *reader) string(field string, required bool) (string, bool) {
	raw, there := r.raw(field)
	if s, ok := r.fields.unquote(raw); ok {
		return r.kept(s), true
	}
	r.absent(field, there, required, aString)
	return "", false
}

// kept returns a part of the event's text as a string that may be kept: a copy if the rest of the text is long, so that an id does not hold the memory of a
// long content.
func (r *reader) kept(s string) string {
	const most = 512
	if len(r.fields.text)-len(s) > most {
		return strings.Clone(s)
	}
	return s
}

// readType reads the type, which must be there. One of the core's needs no memory.
func (r *reader) readType() {
	raw, _ := r.raw("type")
	known := false
	if r.typ, known = quotedTypes[raw]; !known {
		r.typ, _ = r.string("type", true)
	}
}

// quotedTypes are the types of the core's own events by their JSON.
//
//nolint:gochecknoglobals // never changes
var quotedTypes = func() map[string]string {
	quoted := make(map[string]string)
	for _, typ := range LiveTypes() {
		quoted[strconv.Quote(typ)] = typ
	}
	return quoted
}()

// unquote returns the text of a JSON string of the object. ok is false for another value.
func (o *object) unquote(raw string) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if o.plain || strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	var s string
	err := json.Unmarshal([]byte(raw), &s)
	return s, err == nil
}

// checked returns s as a T. Only foreign values are checked.
func checked[T ~string](r *reader, field, s string, check func(string) (T, error)) T {
	if !r.foreign {
		return T(s)
	}
	v, err := check(s)
	if err != nil {
		r.refuse(r.wrong(field, "is not valid", "").invalid(err))
	}
	return v
}

// id reads an id that must be there.
func id[T ~string](r *reader, field string, parse func(string) (T, error)) T {
	s, ok := r.string(field, true)
	if ok && s == "" {
		r.refuse(r.wrong(field, "is empty", "an id"))
	}
	if !ok || s == "" {
		return ""
	}
	return checked(r, field, s, parse)
}

// text reads a text that must be there but may be empty if the rules allow it.
func text[T ~string](r *reader, field string, check func(string) (T, error)) T {
	s, ok := r.string(field, true)
	if !ok {
		return ""
	}
	return checked(r, field, s, check)
}

// optional reads an id or a text that need not be there.
func optional[T ~string](r *reader, field string, check func(string) (T, error)) T {
	s, _ := r.string(field, false)
	if s == "" {
		return ""
	}
	return checked(r, field, s, check)
}

// enum reads the name of a value.
func enum[T ~uint8](r *reader, field string, required bool, first T, nameOf func(T) string) T {
	s, ok := r.string(field, required)
	if !ok {
		return 0
	}
	v, ok := named(s, first, nameOf)
	if !ok {
		r.refuse(r.wrong(field, "is not known here", strings.Join(names(first, nameOf), ", ")))
	}
	return v
}

func (r *reader) unsigned(field string, least uint64, required bool) uint64 {
	raw, there := r.raw(field)
	n, err := strconv.ParseUint(raw, 10, 64)
	switch {
	case err != nil:
		r.absent(field, there, required, aNumber)
		return 0
	case n < least:
		r.refuse(r.wrong(field, "is "+strconv.FormatUint(n, 10), "a whole number from "+strconv.FormatUint(least, 10)+" on"))
	}
	return n
}

func (r *reader) integer(field string, required bool) int {
	raw, there := r.raw(field)
	n, err := strconv.Atoi(raw)
	if err != nil {
		r.absent(field, there, required, aNumber)
		return 0
	}
	return n
}

// instant reads a time. In a foreign event one that is missing or cannot be read is the given one.
func (r *reader) instant(field string, otherwise time.Time) time.Time {
	raw, there := r.raw(field)
	if s, ok := r.fields.unquote(raw); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil && spellable(domain.Instant(t)) {
			return domain.Instant(t)
		}
	}
	if !r.foreign {
		r.absent(field, there, true, aTime)
	}
	return otherwise
}

// optionalInstant reads a time that need not be there: zero then.
func (r *reader) optionalInstant(field string) time.Time {
	if _, there := r.raw(field); !there {
		return time.Time{}
	}
	return r.instant(field, time.Time{})
}

// flag reads true, false, or nothing, which is false.
func (r *reader) flag(field string) bool {
	raw, there := r.raw(field)
	if there && raw != "true" && raw != "false" {
		r.absent(field, true, false, aFlag)
	}
	return raw == "true"
}

// boolean reads true or false, which must be there.
func (r *reader) boolean(field string) bool {
	if _, there := r.raw(field); !there {
		r.absent(field, false, true, aFlag)
	}
	return r.flag(field)
}

// isNull reports whether a field is there and null.
func (r *reader) isNull(field string) bool {
	raw, _ := r.fields.get(field)
	return raw == "null"
}

// array reads an array whose elements fit T. An empty one is nil.
func array[T any](r *reader, field string) []T {
	raw, there := r.raw(field)
	if !there {
		return nil
	}
	var all []T
	if err := json.Unmarshal([]byte(raw), &all); err != nil {
		r.absent(field, true, false, anArray)
		return nil
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// emptyArray reports whether a field is an array without elements.
func (r *reader) emptyArray(field string) bool {
	raw, there := r.raw(field)
	return there && raw[0] == '[' && len(strings.TrimSpace(raw[1:len(raw)-1])) == 0
}

var errNoObject = errors.New("not an object")

// object reads a JSON object as it stands.
func (r *reader) object(field string) (string, error) {
	raw, there := r.raw(field)
	switch {
	case !there:
		return "", nil
	case raw[0] != '{':
		return "", errNoObject
	}
	return r.kept(raw), nil
}
