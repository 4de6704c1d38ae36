package wireformat

import (
	"encoding/json"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Incoming is an event that was received. ID, Seq and Ordinal are zero where the sender gave none.
type Incoming struct {
	ID      domain.EventID
	Seq     domain.Seq
	Ordinal domain.Ordinal
	Event   domain.Event
	Meta    ports.Meta
	Foreign bool // whether another program made it
}

// Decode reads a durable event of our own: eventId, type, v, timestamp, seq and ordinal must be there. Older versions are brought up
// to date; a later one is [ErrNewerVersion].
func (c *Codec) Decode(payload []byte) (ports.Record, error) {
	r := &reader{}
	if err := r.fields.open(payload); err != nil {
		return ports.Record{}, err
	}
	in, err := c.own(r, true)
	if err != nil {
		return ports.Record{}, err
	}
	event, ok := in.Event.(domain.Durable)
	if !ok {
		return ports.Record{}, unknown(Type(in.Event), DurableTypes())
	}
	return ports.Record{ID: in.ID, Seq: in.Seq, Ordinal: in.Ordinal, Event: event, Meta: in.Meta}, nil
}

// DecodeUnknown decodes the fields of a durable event of the core that every program knows, for an event that Decode refuses with [ErrUnknownType] or
// [ErrNewerVersion]: all versions of the core write the common fields and chatId alike. The event is a [domain.Unknown].
func (c *Codec) DecodeUnknown(payload []byte) (ports.Record, error) {
	r := &reader{}
	if err := r.fields.open(payload); err != nil {
		return ports.Record{}, err
	}
	r.readType()
	r.v = r.integer("v", true)
	record := ports.Record{
		ID: id(r, "eventId", domain.ParseEventID), Seq: domain.Seq(r.unsigned("seq", 1, true)), Ordinal: domain.Ordinal(r.unsigned("ordinal", 0, true)),
	}
	record.Meta.CorrelationID, _ = r.string("correlationId", false)
	cause, _ := r.string("causationId", false)
	record.Meta.CausationID = domain.CommandID(cause)
	record.Meta.TraceParent, _ = r.string("traceparent", false)
	event := domain.Unknown{
		Chat: id(r, "chatId", domain.ParseChatID), Type: r.typ, Version: r.v, Newer: c.knows(r.typ), Sent: r.typ == TypeMessageNew, Data: string(payload),
		At: r.instant("timestamp", time.Time{}),
	}
	raw, _ := r.fields.get("messageId")
	if message, ok := r.fields.unquote(raw); ok {
		event.Message = domain.MessageID(r.kept(message))
	}
	record.Event = event
	return record, r.err
}

// DecodeLenient reads an event from a live channel or from a stream that others write to. typ is the name of the channel, or the type in the stream
// entry; "" if only the payload has it. A payload with an eventId is the core's. Any other is foreign: missing fields get defaults (version 1, the
// present time, a typing's end in five seconds), and its ids and texts must meet the rules of the domain.
func (c *Codec) DecodeLenient(typ string, payload []byte, now time.Time) (Incoming, error) {
	r := &reader{}
	if err := r.fields.open(payload); err != nil {
		return Incoming{}, err
	}
	if _, ours := r.fields.get("eventId"); ours {
		return c.own(r, false)
	}
	r.typ, r.v, r.foreign = typ, 1, true
	if typ == "" {
		r.readType()
	}
	if !c.knows(r.typ) {
		return Incoming{}, unknown(r.typ, LiveTypes())
	}
	if err := c.upcast(r); err != nil {
		return Incoming{}, err
	}
	now = domain.Instant(now)
	event := r.event(r.instant("timestamp", now), now)
	traceparent, _ := r.string("traceparent", false)
	return Incoming{Event: event, Meta: ports.Meta{TraceParent: traceparent}, Foreign: true}, r.err
}

// own reads an event that this codec, or that of another version, wrote.
func (c *Codec) own(r *reader, placed bool) (Incoming, error) {
	r.readType()
	own := r.err == nil && !c.knows(r.typ) && r.isOwn()
	if r.err == nil && !c.knows(r.typ) && !own {
		return Incoming{}, unknown(r.typ, LiveTypes())
	}
	r.v = r.integer("v", true)
	if r.err != nil {
		return Incoming{}, r.err
	}
	if !own { // a team brings the data of its events up to date where it reads them
		if err := c.upcast(r); err != nil {
			return Incoming{}, err
		}
	}
	in := Incoming{ID: id(r, "eventId", domain.ParseEventID)}
	if own || durable(r.typ) {
		least := uint64(0)
		if placed {
			least = 1
		}
		in.Seq = domain.Seq(r.unsigned("seq", least, placed))
		in.Ordinal = domain.Ordinal(r.unsigned("ordinal", 0, placed))
	}
	at := r.instant("timestamp", time.Time{})
	in.Event = r.event(at, at)
	in.Meta.CorrelationID, _ = r.string("correlationId", false)
	cause, _ := r.string("causationId", false)
	in.Meta.CausationID = domain.CommandID(cause)
	in.Meta.TraceParent, _ = r.string("traceparent", false)
	return in, r.err
}

// upcast brings the fields up to the version that this codec writes.
func (c *Codec) upcast(r *reader) error {
	current := c.version(r.typ)
	if r.v > current {
		return &Error{
			Reason: ErrNewerVersion, Type: r.typ, Version: r.v, Field: "v", Problem: "is of a later program", Allowed: fmt.Sprintf("1 to %d", current),
		}
	}
	for ; r.v < current; r.v++ {
		up := c.upcasters[r.typ][r.v]
		if up == nil {
			return r.wrong("v", "has no way to the present version", fmt.Sprintf("one from which upcasters lead to %d", current))
		}
		fields := r.fields.mapped()
		if err := guarded(up, fields); err != nil {
			e := r.wrong("v", "did not come up to the next version", "")
			e.Cause = err
			return e
		}
		r.fields.set(fields)
	}
	return nil
}

// guarded makes an error of an upcaster's panic.
func guarded(up Upcaster, fields map[string]json.RawMessage) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the upcaster panicked: %v", r)
		}
	}()
	return up(fields)
}

// Upcast brings fields from one version to another, a step at a time. A step that is missing, fails or panics is an error.
func Upcast(fields map[string]json.RawMessage, from, to int, steps map[int]Upcaster) error {
	for v := from; v < to; v++ {
		up := steps[v]
		if up == nil {
			return fmt.Errorf("no upcaster leads from version %d to %d", v, v+1)
		}
		if err := guarded(up, fields); err != nil {
			return fmt.Errorf("from version %d: %w", v, err)
		}
	}
	return nil
}
