package group

import (
	"fmt"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// Filtered returns a handler that starts h for the events of which wants returns true. The others are finished without a handler, in their place in the
// order, and counted in [Counters].Ignored. Of these only the type is read, so that a group finishes events that this version of the program cannot read. The
// chat of another program's entry is that of its metadata, "" if it has none.
//
// Entries that cannot be read at all and dead letters that are retried reach h whatever wants returns. wants is called by one goroutine at a time, and must
// not wait. An event for which it panics becomes a dead letter.
func Filtered(h Handler, wants func(chat domain.ChatID, typ string) bool) Handler {
	return filtered{h, wants}
}

type filtered struct {
	Handler
	wants func(chat domain.ChatID, typ string) bool
}

// Handle implements [Handler].
func (f filtered) Handle(d Delivery) {
	switch wanted, err := f.judge(d); {
	case err != nil:
		d.Done(err)
	case wanted:
		f.Handler.Handle(d)
	default:
		d.item.member.ignore(d)
	}
}

// judge reports whether the handler is to have a delivery.
func (f filtered) judge(d Delivery) (wanted bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Permanent(fmt.Errorf("%w: in the filter of the group: %v", ErrPanicked, r))
		}
	}()
	r := &d.item.record
	if r.Broken != "" || r.IsRetried() {
		return true, nil
	}
	if r.Seq > 0 {
		typ := wireformat.PeekType(r.Payload)
		return typ == nil || f.wants(domain.ChatID(r.Chat), string(typ)), nil
	}
	metadata, err := wireformat.ParseMetadata(r.Metadata)
	if err != nil {
		return true, nil //nolint:nilerr // the handler's side reports it
	}
	return f.wants(domain.ChatID(metadata[wireformat.MetaChatID]), metadata[wireformat.MetaType]), nil
}
