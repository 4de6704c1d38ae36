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

// Info is what a subscriber here knows of a message beside what the message itself says.
type Info struct {
	Chat        domain.ChatID // "" for an entry of another program
	Seq         domain.Seq    // 0 for such
	Attempt     int           // handler starts, from 1; counted from the first failure on, over all processes
	Redelivered bool          // whether a handler may have been started for it before
	Epoch       uint64        // of the lease under which it is delivered; grows with every owner
	Appended    time.Time     // by Redis's clock; zero where it was read back from the log
}

// InfoOf gives what is known of a message by its context; false for a message of another subscriber.
func InfoOf(ctx context.Context) (Info, bool) {
	p := parcelOf(ctx)
	if p == nil {
		return Info{}, false
	}
	info := Info{Chat: domain.ChatID(p.line.chat), Seq: p.seq, Attempt: p.starts + 1, Redelivered: p.starts > 0 || p.again, Epoch: p.term.epoch}
	if p.id.ms > 0 {
		info.Appended = time.UnixMilli(int64(p.id.ms)).UTC() //nolint:gosec // a time
	}
	return info, true
}

// parcel is an event on its way to a handler, and the context of its message.
type parcel struct {
	context.Context // of the subscription's handlers; set when it is handed out

	term *term
	line *line
	next *parcel // in its line

	id       streamID // zero if it was read from the log
	uuid     string
	event    string           // the uuid, of one that was read from the log and handed out; the subscription\'s mutex guards it
	metadata string           // packed; "" if it follows from the payload
	headers  message.Metadata // the same unpacked, for the first time that it is handed out
	payload  []byte
	seq      domain.Seq // 0: of another program
	broken   string
	letter   string // id of the dead letter that it is, out of order
	ordered  string // id of the dead letter that is retried with it, in order; "" if none is
	earlier  int    // handler starts before the retry
	again    bool   // may have been given to a handler under another owner
	tried    bool   // a handler of this owner failed transiently; again then
	starts   int    // of handlers that have failed, in whatever process
	reserved uint64 // epoch of an earlier owner of which the last of these starts was, and who did not say how it ended; 0 if there is none
	settled  bool   // it holds up the position no longer, of other programs' entries; of a dead letter: its retry has failed, and it stays
	flying   bool
	flight   int // how often it was handed out

	record *ports.Record                 // the payload, where it had to be decoded before
	result atomic.Pointer[handlerResult] // of the present start, if middlewares surround it
	msg    message.Message
}

// Value gives the parcel itself, so that message and delivery find each other without an allocation.
func (p *parcel) Value(key any) any {
	if _, mine := key.(startKey); mine {
		return p
	}
	return p.Context.Value(key)
}

// decoded gives the payload's event, which was decoded before if the message comes from the log.
func decoded(codec *wireformat.Codec, msg *message.Message) (ports.Record, error) {
	if p := parcelOf(msg.Context()); p != nil && p.record != nil && len(msg.Payload) > 0 && &msg.Payload[0] == &p.payload[0] {
		return *p.record, nil
	}
	return codec.Decode(msg.Payload)
}

func parcelOf(ctx context.Context) *parcel {
	p, _ := ctx.Value(startKey{}).(*parcel)
	return p
}

// message makes the parcel's message. Without acks it is settled by [subscription.outcome] only.
func (p *parcel) message(handlers context.Context, withAcks bool, codec *wireformat.Codec) (*message.Message, error) {
	metadata, err := p.unpack(codec)
	if err != nil {
		return nil, err
	}
	msg := &p.msg
	if withAcks || p.flight > 1 { // one that was refused stays refused
		msg = message.NewMessage(p.uuid, p.payload)
	} else {
		msg.UUID, msg.Payload = p.uuid, p.payload
	}
	msg.Metadata = metadata
	if withAcks { // its context ends with it, and not with the next one of the same parcel
		msg.SetContext(context.WithValue(handlers, startKey{}, p))
		return msg, nil
	}
	if p.Context == nil {
		p.Context = handlers
	}
	msg.SetContext(p) //nolint:contextcheck // the parcel is the handlers' context
	return msg, nil
}

// ofLog reports whether a parcel was read from the log, not from the stream or the dead letters.
func (p *parcel) ofLog() bool { return p.id.isZero() && p.letter == "" }

// open takes what a stream's entry says. The metadata is unpacked here and not when it is handed out, because that may be done by a handler's
// goroutine, and copying its stack to a larger one takes longer than everything else.
func (p *parcel) open(e *entry) {
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

// unpack gives the metadata. What was read from the log has none of its own: it follows from the event.
func (p *parcel) unpack(codec *wireformat.Codec) (message.Metadata, error) {
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

// decode stands apart for its frame: that of a decoded event is large.
//
//go:noinline
func (p *parcel) decode(codec *wireformat.Codec) (message.Metadata, error) {
	r, err := codec.Decode(p.payload)
	if err != nil {
		return nil, err
	}
	p.uuid, p.record = string(r.ID), &r
	return wireformat.Metadata(r.ID, r.Event, r.Meta), nil
}
