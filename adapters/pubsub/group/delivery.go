package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// item is an event or entry on its way to a handler.
type item struct {
	record   delivery.Record
	member   *Member
	metadata map[string]string
	decoded  *ports.Record // the decoded payload of an event of the log
	fault    error         // of the key
}

// Delivery is one start of a handler with an event or entry. Its methods are safe for concurrent use.
type Delivery struct {
	item  *item
	start int
	until time.Time // deadline of the lease as of the start
}

// Info describes a delivery beyond the event itself.
type Info struct {
	Group       string
	Chat        domain.ChatID // "" for an entry of another program
	Seq         domain.Seq    // 0 for an entry of another program
	Attempt     int           // handler starts, from 1; counted from the first failure on, over all processes
	Redelivered bool          // whether a handler may have been started for it before
	Epoch       uint64        // of the lease under which it is delivered; grows with every owner
	Appended    time.Time     // by the store's clock; zero if it was read from the log
}

// Info returns the description of the present start.
func (d Delivery) Info() Info {
	r := &d.item.record
	info := Info{Group: d.item.member.config.Group, Seq: r.Seq, Attempt: r.Attempt(), Redelivered: r.Redelivered(), Epoch: r.Partition().Epoch()}
	if r.Seq > 0 {
		info.Chat = domain.ChatID(r.Chat)
	}
	if r.ID.Milliseconds > 0 {
		info.Appended = time.UnixMilli(int64(r.ID.Milliseconds)).UTC() //nolint:gosec // a time
	}
	return info
}

// Context returns the context of the member's handlers. It ends shortly before the drain does.
func (d Delivery) Context() context.Context { return d.item.member.handlers }

// Payload returns the event as JSON. It must not be changed.
func (d Delivery) Payload() []byte { return d.item.record.Payload }

// Message returns the UUID and the metadata of the entry's message. The caller owns the metadata.
func (d Delivery) Message() (uuid string, metadata map[string]string, err error) {
	if d.item.record.Broken != "" {
		return "", nil, d.item.unreadable(errors.New(d.item.record.Broken))
	}
	if d.item.metadata != nil {
		metadata, d.item.metadata = d.item.metadata, nil
		return d.item.record.UUID, metadata, nil
	}
	if d.item.record.FromLog() { // its metadata follows from the event
		r, err := d.item.event()
		if err != nil {
			return "", nil, d.item.unreadable(err)
		}
		return string(r.ID), wireformat.Metadata(r.ID, r.Event, r.Meta), nil
	}
	metadata, err = wireformat.ParseMetadata(d.item.record.Metadata)
	if err != nil {
		return "", nil, d.item.unreadable(err)
	}
	return d.item.record.UUID, metadata, nil
}

// Read returns the event as a typed handler gets it. It returns [ErrNewerEvent] for an event of the log that a later version of the program wrote, and a
// permanent [ErrBroken] for any other entry that cannot be read.
func (d Delivery) Read() (ports.Delivery, error) {
	i := d.item
	if i.record.Seq > 0 {
		return d.ReadAs("", nil, i.record.Payload)
	}
	uuid, metadata, err := d.Message()
	if err != nil {
		return ports.Delivery{}, err
	}
	return d.ReadAs(uuid, metadata, i.record.Payload)
}

// ReadAs is Read with the UUID, the metadata and the payload of a message, which may differ from those of the delivery.
func (d Delivery) ReadAs(uuid string, metadata map[string]string, payload []byte) (ports.Delivery, error) {
	i, info := d.item, d.Info()
	out := ports.Delivery{Attempt: info.Attempt, Redelivered: info.Redelivered, Epoch: info.Epoch, Appended: info.Appended}
	switch {
	case i.fault != nil:
		return out, i.fault
	case i.record.Broken != "":
		return out, i.unreadable(errors.New(i.record.Broken))
	case info.Seq == 0:
		if err := ReadForeign(i.member.config.Codec, uuid, metadata, payload, time.Now(), &out); err != nil {
			return out, i.unreadable(err)
		}
		return out, nil
	}
	r := i.decoded
	if r == nil || len(payload) == 0 || &payload[0] != &i.record.Payload[0] {
		decoded, err := i.member.config.Codec.Decode(payload)
		if err != nil {
			return out, i.unreadable(err)
		}
		i.member.fill(&out, &decoded)
		return out, nil
	}
	i.member.fill(&out, r)
	return out, nil
}

// readEncoded returns an event of the log with its JSON, and without decoding it. It returns a transient [ErrBroken] for an entry that is no event of the log:
// its chat waits until the log is repaired.
func (d Delivery) readEncoded() (ports.Delivery, error) {
	r, info := &d.item.record, d.Info()
	placed, err := wireformat.PeekPlaced(r.Payload)
	if err == nil && placed.Seq != r.Seq {
		err = fmt.Errorf("it has seq %d, not %d", placed.Seq, r.Seq)
	}
	if err != nil {
		return ports.Delivery{}, Transient(fmt.Errorf("%w: %w", ErrBroken, err))
	}
	if info.Appended.IsZero() {
		info.Appended = placed.At
	}
	return ports.Delivery{
		ID: ports.DeliveryID{Log: d.item.member.config.LogID, Chat: info.Chat, Seq: r.Seq, Event: placed.ID}, Ordinal: placed.Ordinal, JSON: r.Payload,
		Attempt: info.Attempt, Redelivered: info.Redelivered, Epoch: info.Epoch, Appended: info.Appended,
	}, nil
}

// fill adds an event of the log to a delivery.
func (m *Member) fill(out *ports.Delivery, r *ports.Record) {
	out.ID = ports.DeliveryID{Log: m.config.LogID, Chat: r.Event.ChatID(), Seq: r.Seq, Event: r.ID}
	out.Event, out.Ordinal, out.Meta = r.Event, r.Ordinal, r.Meta
	if out.Appended.IsZero() {
		out.Appended = r.Event.OccurredAt()
	}
}

// ReadForeign adds the event of another program's entry to a delivery.
func ReadForeign(codec *wireformat.Codec, uuid string, metadata map[string]string, payload []byte, now time.Time, out *ports.Delivery) error {
	in, err := codec.DecodeLenient(metadata[wireformat.MetaType], payload, now)
	if err != nil {
		return err
	}
	event, ok := in.Event.(domain.Durable)
	if !ok {
		return fmt.Errorf("%s is not a durable event", wireformat.Type(in.Event))
	}
	out.ID = ports.DeliveryID{Chat: event.ChatID(), Event: domain.EventID(uuid)}
	out.Event, out.Meta = event, in.Meta
	return nil
}

// event returns the decoded event of the log.
func (i *item) event() (*ports.Record, error) {
	if i.decoded != nil {
		return i.decoded, nil
	}
	return i.decode()
}

// decode is a separate function because the frame of a decoded event is large.
//
//go:noinline
func (i *item) decode() (*ports.Record, error) {
	r, err := i.member.config.Codec.Decode(i.record.Payload)
	if err != nil {
		return nil, err
	}
	i.decoded = &r
	return &r, nil
}

// unreadable returns the error for an entry that does not decode.
func (i *item) unreadable(err error) error { return Unreadable(i.record.Seq > 0, err) }

// MayBegin reports whether the handler may still be called: the member still owns the partition. A handler that waits before it begins asks again.
func (d Delivery) MayBegin() bool {
	m := d.item.member
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.core.MayBegin(&d.item.record, time.Now())
}

// IsTimely reports whether the handler may be called just after the start: the process was not suspended beyond the lease that it had then.
func (d Delivery) IsTimely() bool { return time.Now().Before(d.until) || d.MayBegin() }

// Done ends the start: nil finishes the delivery, an error has it started again or makes it a dead letter. Only the first call for a start counts. It
// may start the handlers of other deliveries before it returns. Done reports whether the outcome counts: it is the first one of the start, and the member still
// owns the partition. The next commit stores it. A member whose lease could not be renewed returns false: the outcome counts only if no other member has acquired
// the partition since.
func (d Delivery) Done(err error) (counts bool) { return d.item.member.complete(d, err) }

// read does what is done as soon as an entry is read, and not by a handler's goroutine: growing that goroutine's stack takes longer than everything else.
func (i *item) read() {
	c := &i.member.config
	if c.Order == delivery.ByKey {
		i.order(c.Key)
	}
	if !c.Metadata || i.record.Broken != "" || i.record.FromLog() {
		return
	}
	metadata, err := wireformat.ParseMetadata(i.record.Metadata)
	if err != nil {
		i.record.Broken = err.Error()
		return
	}
	i.metadata = metadata
}

// order calls the group's function of keys. An event that cannot be read, or for which the function panics, has no key and fails at its delivery.
func (i *item) order(key func(ports.Delivery) string) {
	defer func() {
		if r := recover(); r != nil {
			i.fault = Permanent(fmt.Errorf("%w: in the function of the order: %v", ErrPanicked, r))
		}
	}()
	var in ports.Delivery
	if i.record.Seq > 0 && i.record.Broken == "" {
		r, err := i.event()
		if err != nil {
			return
		}
		i.decoded = r
		i.member.fill(&in, r)
	} else if i.record.Broken != "" {
		return
	} else {
		metadata, err := wireformat.ParseMetadata(i.record.Metadata)
		if err != nil || ReadForeign(i.member.config.Codec, i.record.UUID, metadata, i.record.Payload, time.Now(), &in) != nil {
			return
		}
	}
	i.record.Key = key(in)
}
