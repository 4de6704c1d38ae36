package wireformat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// erasedField marks the erased form of an event.
const erasedField = "erased"

// The fields that an erased form keeps: those of all events, and those of messages and of chats with the ids and facts that decide which entities an event moves.
//
//nolint:gochecknoglobals // never change
var (
	envelope = []string{"eventId", "type", "v", "timestamp", "seq", "ordinal", "correlationId", "causationId", "traceparent", "chatId"}

	keptOfMessage = append(slices.Clip(envelope), "messageId", "senderId", "editorId", "deletedBy", "revision", "messageSeq", "threadId", "inChat", "pinned", "mentioned")
	keptOfChat    = append(slices.Clip(envelope), "actorId", "change", "kind", "userId", "role", "previousRole", "restriction", "until", "lifted", "entity")
)

// Erased returns the erased form of an event, with "erased":true: the same event without content, which [domain.Erased] names. It keeps the common fields, the ids, the
// revision and the facts that decide which entities the event moves, byte for byte and in their order; content and title become "" and data {}, because readers
// require them. It drops fields that it does not know: they may have content. A message:new, a message:edit and a message:delete always have an erased form; a
// chat:update, a chat:metadata, a member:restriction and a custom event have one if that has less than the event. Any other event has no content that an erasure
// removes, and is returned unchanged. So is an erased form, which makes Erased idempotent.
//
// The result shares no memory with payload. The error is an [*Error] with [ErrMalformed] if payload is not an event of a log.
func Erased(payload []byte) ([]byte, error) {
	r := &reader{}
	if err := r.fields.open(payload); err != nil {
		return nil, err
	}
	r.readType()
	if r.err != nil {
		return nil, r.err
	}
	var kept []string
	of, always := "", false // the content of the type, and whether it has an erased form in any case
	switch r.typ {
	case TypeMessageNew, TypeMessageEdit, TypeMessageDelete:
		kept, of, always = keptOfMessage, "content", true
	case TypeChatUpdate:
		kept, of = keptOfChat, "title"
	case TypeChatMetadata, TypeMemberRestriction:
		kept = keptOfChat
	default:
		if !r.isOwn() {
			return bytes.Clone(payload), nil
		}
		kept, of = keptOfChat, "data"
	}
	erased, less, err := without(payload, kept, of)
	switch {
	case err != nil:
		return nil, err
	case !less && !always:
		return bytes.Clone(payload), nil
	}
	return append(erased, `,"erased":true}`...), nil
}

// without returns the fields of an event that are kept, and the one with the content as what is left of it, without the brace at the end. less reports whether
// a field with a value lacks or is another one.
func without(payload []byte, kept []string, content string) (fields []byte, less bool, err error) {
	fields = make([]byte, 0, len(payload)+len(`,"content":"","erased":true`))
	err = eachField(payload, func(name string, raw json.RawMessage) error {
		switch {
		case name == content:
			left := []byte(`""`)
			if name == "data" {
				left = []byte(`{}`)
			}
			less, raw = less || !bytes.Equal(raw, left), left
		case !slices.Contains(kept, name):
			less = less || name != erasedField
			return nil
		}
		fields = append(append(append(append(append(fields, separator(fields)), '"'), name...), `":`...), raw...)
		return nil
	})
	return fields, less, err
}

// separator returns the byte before the next field of an object that is being written.
func separator(written []byte) byte {
	if len(written) == 0 {
		return '{'
	}
	return ','
}

// eachField calls fn for each field of a JSON object in order. A field that comes twice is an error: readers would disagree about its value.
func eachField(payload []byte, fn func(name string, raw json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	if _, err := d.Token(); err != nil {
		return &Error{Reason: ErrMalformed, Problem: "the payload is not a JSON object", Allowed: "one JSON object in UTF-8", Cause: err}
	}
	seen := make(map[string]struct{}, len(object{}.first))
	for d.More() {
		token, err := d.Token()
		name, _ := token.(string)
		var raw json.RawMessage
		if err == nil {
			err = d.Decode(&raw)
		}
		if err == nil {
			if _, twice := seen[name]; twice {
				err = fmt.Errorf("field %q comes twice", clip(name))
			}
			seen[name] = struct{}{}
		}
		if err != nil {
			return &Error{Reason: ErrMalformed, Problem: "the payload is not a JSON object", Allowed: "one JSON object in UTF-8", Cause: err}
		}
		if err := fn(name, raw); err != nil {
			return err
		}
	}
	return nil
}

// erased writes the mark of an erased form.
func (w *writer) erased(is bool) {
	w.flag(erasedField, is)
}

// erased reports whether the event is an erased form.
func (r *reader) erased() bool {
	raw, there := r.raw(erasedField)
	return there && !r.foreign && raw == "true"
}
