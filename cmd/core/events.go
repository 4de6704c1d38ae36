package main

import (
	"chatcore/domain"
	"chatcore/ports"
)

func eventSeq(r ports.Record) domain.Seq { return r.Seq }

func (h *history) printEvent(r ports.Record) error {
	raw, err := rawOf(r.ID, r.Seq, r.Ordinal, r.Event, r.Meta)
	if err != nil {
		return err
	}
	h.shown++
	return h.c.print(raw, h.c.row(eventRow(r)))
}
