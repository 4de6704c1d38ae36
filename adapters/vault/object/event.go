package object

import (
	"bytes"

	"chatcore/domain"
)

// Event is an event of a chat as the log has it.
type Event struct {
	ID      domain.EventID
	Ordinal domain.Ordinal
	JSON    []byte // as on the delivery stream; the metadata of its entry follow from it
}

// events appends events in columns, which compress better than rows: ordinals, ids, and then the packed JSON. An id that the JSON has is written as its place
// there. seq returns the seq of the i-th event.
func (w *writer) events(events []Event, seq func(i int) domain.Seq) {
	ordinal := domain.Ordinal(0)
	for _, e := range events {
		w.step(uint64(ordinal), uint64(e.Ordinal))
		ordinal = e.Ordinal
	}
	var elsewhere []byte
	for _, e := range events {
		place := bytes.Index(e.JSON, []byte(e.ID)) + 1
		if place == 0 {
			elsewhere = append(elsewhere, e.ID...)
		}
		w.count(place)
		w.count(len(e.ID))
	}
	w.b = append(w.b, elsewhere...)
	var p packer
	for i, e := range events {
		p.add(e, seq(i))
	}
	w.b = append(append(w.b, p.text...), p.verbatim.b...)
	w.ids = append(w.ids, transposed(p.ids)...)
}

// eventColumns is the least number of bytes of an event: ordinal, place and length of its id, and the end of its JSON.
const eventColumns = 4

// events reads n events. Their JSON shares memory.
func (r *reader) events(n int, seq func(i int) domain.Seq) []Event {
	if n > len(r.rest)/eventColumns {
		r.fail("%d events are expected in %d bytes", n, len(r.rest))
		return nil
	}
	events, places, lengths := make([]Event, n), make([]uint64, n), make([]int, n)
	ordinal := uint64(0)
	for i := range events {
		ordinal = r.step(ordinal)
		events[i].Ordinal = domain.Ordinal(ordinal)
	}
	for i := range events {
		places[i], lengths[i] = r.number(), r.count()
	}
	for i := range events {
		if places[i] == 0 {
			events[i].ID = domain.EventID(r.take(lengths[i]))
		}
	}
	r.unpack(events, seq)
	for i := range events {
		e := &events[i]
		switch size := uint64(len(e.JSON)); {
		case places[i] == 0:
		case places[i]-1 > size || uint64(lengths[i]) > size-(places[i]-1): //nolint:gosec // a length
			r.fail("an event id is expected at %d of %d bytes", places[i]-1, size)
		default:
			e.ID = domain.EventID(e.JSON[places[i]-1:][:lengths[i]])
		}
	}
	return events
}
