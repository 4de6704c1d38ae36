package pubsub

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Info describes a delivery of a [Subscriber] beyond the message itself.
type Info struct {
	Chat        domain.ChatID // "" for an entry of another program
	Seq         domain.Seq    // 0 for an entry of another program
	Attempt     int           // handler starts, from 1; counted from the first failure on, over all processes
	Redelivered bool          // whether a handler may have been started for it before
	Epoch       uint64        // of the lease under which it is delivered; grows with every owner
	Appended    time.Time     // by Redis's clock; zero if it was read from the log
}

// InfoOf returns the Info of a message by its context. It returns false for a message of another subscriber.
func InfoOf(ctx context.Context) (Info, bool) {
	p := recordOf(ctx)
	if p == nil {
		return Info{}, false
	}
	info := Info{Chat: domain.ChatID(p.queue.chat), Seq: p.seq, Attempt: p.attempts + 1, Redelivered: p.attempts > 0 || p.redelivered, Epoch: p.owned.epoch}
	if p.id.ms > 0 {
		info.Appended = time.UnixMilli(int64(p.id.ms)).UTC() //nolint:gosec // a time
	}
	return info, true
}

// record is a record on its way to a handler, and the context of its message.
type record struct {
	context.Context // of the member's handlers; set when it is dispatched

	owned *ownedPartition
	queue *chatQueue
	next  *record // in its chat queue

	id          streamID // zero if it was read from the log
	uuid        string
	event       string           // the uuid of a dispatched record of the log; the member's mutex guards it
	metadata    string           // packed; "" if it follows from the payload
	headers     message.Metadata // the same unpacked, for the first dispatch
	payload     []byte
	seq         domain.Seq // 0 for an entry of another program
	broken      string
	letter      string // id of the dead letter that it is, redelivered out of order
	ordered     string // id of the dead letter that is retried with it, in order; "" if none is
	earlier     int    // handler starts before the retry
	redelivered bool   // a handler of another owner may have been started for it
	tried       bool   // a handler of this owner failed transiently
	attempts    int    // handler starts that failed, in any process
	reserved    uint64 // epoch of the earlier owner that reserved the last of these starts and did not record its end; 0 if there is none
	resolved    bool   // of an entry of another program: the position may pass it; of a dead letter: its retry failed, and it remains
	inFlight    bool
	dispatchID  int // number of its dispatches

	record *ports.Record                 // the decoded payload of a record of the log
	result atomic.Pointer[handlerResult] // of the present start, if middlewares surround it
	msg    message.Message
}

// Value returns the record itself for a startKey, so that message and delivery find each other without an allocation.
func (p *record) Value(key any) any {
	if _, mine := key.(startKey); mine {
		return p
	}
	return p.Context.Value(key)
}

// decoded returns the payload's event. A message from the log was decoded before.
func decoded(codec *wireformat.Codec, msg *message.Message) (ports.Record, error) {
	if p := recordOf(msg.Context()); p != nil && p.record != nil && len(msg.Payload) > 0 && &msg.Payload[0] == &p.payload[0] {
		return *p.record, nil
	}
	return codec.Decode(msg.Payload)
}

func recordOf(ctx context.Context) *record {
	p, _ := ctx.Value(startKey{}).(*record)
	return p
}

// message returns the record's message. Without acks only [member.report] settles it.
func (p *record) message(handlers context.Context, withAcks bool, codec *wireformat.Codec) (*message.Message, error) {
	metadata, err := p.unpack(codec)
	if err != nil {
		return nil, err
	}
	msg := &p.msg
	if withAcks || p.dispatchID > 1 { // a nacked message remains nacked
		msg = message.NewMessage(p.uuid, p.payload)
	} else {
		msg.UUID, msg.Payload = p.uuid, p.payload
	}
	msg.Metadata = metadata
	if withAcks { // its context ends with this message, not with the next one of the record
		msg.SetContext(context.WithValue(handlers, startKey{}, p))
		return msg, nil
	}
	if p.Context == nil {
		p.Context = handlers
	}
	msg.SetContext(p) //nolint:contextcheck // the record is the handlers' context
	return msg, nil
}

// ofLog reports whether a record was read from the log, not from the stream or the dead letters.
func (p *record) ofLog() bool { return p.id.isZero() && p.letter == "" }

// open fills in an entry of the stream. It unpacks the metadata here and not at the dispatch, which may run on a handler's goroutine: growing that
// goroutine's stack takes longer than everything else.
func (p *record) open(e *entry) {
	p.id, p.uuid, p.metadata, p.payload, p.seq, p.broken = e.id, e.uuid, e.metadata, e.payload, e.seq, e.broken
	if p.broken != "" {
		return
	}
	headers, err := wireformat.ParseMetadata(p.metadata)
	if err != nil {
		p.broken = err.Error()
		return
	}
	p.headers = headers
}

// unpack returns the metadata. A record of the log has none: it follows from the event.
func (p *record) unpack(codec *wireformat.Codec) (message.Metadata, error) {
	switch headers := p.headers; {
	case p.broken != "":
		return nil, errors.New(p.broken)
	case headers != nil:
		p.headers = nil
		return headers, nil
	case p.ofLog():
		return p.decode(codec)
	}
	return wireformat.ParseMetadata(p.metadata)
}

// decode is a separate function because the frame of a decoded event is large.
//
//go:noinline
func (p *record) decode(codec *wireformat.Codec) (message.Metadata, error) {
	r, err := codec.Decode(p.payload)
	if err != nil {
		return nil, err
	}
	p.uuid, p.record = string(r.ID), &r
	return wireformat.Metadata(r.ID, r.Event, r.Meta), nil
}
