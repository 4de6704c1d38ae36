package wireformat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// erasedField marks the erased form of an event.
const erasedField = "erased"

// envelope lists the fields that the erased form of any event keeps, with the ids of all types.
//
//nolint:gochecknoglobals // never changes
var envelope = []string{
	"eventId", "type", "v", "timestamp", "seq", "ordinal", "correlationId", "causationId", "traceparent",
	"messageId", "chatId", "senderId", "editorId", "deletedBy", "revision", "messageSeq", "threadId", "inChat", "pinned", "mentioned",
}

// Erased returns the erased form of a message:new, a message:edit or a message:delete: the same event without content, mentions, attachments, clientMeta,
// replyTo and reason, and with "erased":true. It keeps the common fields, the ids, the revision and the facts that decide which entities the event moves, byte
// for byte and in their order; content becomes "", because every reader requires it. It drops fields that it does not know: they may have content. Any other event has no content that an erasure removes,
// and is returned unchanged. So is an erased form, which makes Erased idempotent.
//
// The result shares no memory with payload. The error is an [*Error] with [ErrMalformed] if payload is not an event of a log.
func Erased(payload []byte) ([]byte, error) {
	fields, err := open(payload)
	if err != nil {
		return nil, err
	}
	r := &reader{fields: fields}
	r.typ, _ = r.string("type", true)
	if r.err != nil {
		return nil, r.err
	}
	switch r.typ {
	case TypeMessageNew, TypeMessageEdit, TypeMessageDelete:
	default:
		return bytes.Clone(payload), nil
	}
	erased := make([]byte, 0, len(payload)+len(`,"content":"","erased":true`))
	err = eachField(payload, func(name string, raw json.RawMessage) error {
		switch {
		case name == "content":
			raw = []byte(`""`)
		case !slices.Contains(envelope, name):
			return nil
		}
		erased = append(append(append(append(append(erased, separator(erased)), '"'), name...), `":`...), raw...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return append(erased, `,"erased":true}`...), nil
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
	seen := make(map[string]struct{}, splitFields)
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
