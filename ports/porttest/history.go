package porttest

import (
	"maps"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// history is the model of a chat, in the simplest form that the port describes. The log under test is compared with it.
type history struct {
	records []ports.Record
	moved   map[domain.Entity][]domain.Seq // also of commands, whose version may differ from that of any event
	command map[domain.Entity]ports.CommandRecord
}

func newHistory() *history {
	return &history{moved: make(map[domain.Entity][]domain.Seq), command: make(map[domain.Entity]ports.CommandRecord)}
}

func (h *history) clone() *history {
	c := newHistory()
	c.records, c.command = slices.Clone(h.records), maps.Clone(h.command)
	for e, seqs := range h.moved {
		c.moved[e] = slices.Clone(seqs)
	}
	return c
}

func (h *history) head() domain.Seq { return domain.Seq(len(h.records)) }

func (h *history) version(e domain.Entity) domain.Seq { return h.versionBefore(e, h.head()+1) }

func (h *history) versionBefore(e domain.Entity, seq domain.Seq) domain.Seq {
	version := domain.Seq(0)
	for _, s := range h.moved[e] {
		if s < seq {
			version = s
		}
	}
	return version
}

func (h *history) ordinal(at domain.Seq) domain.Ordinal {
	if at = min(at, h.head()); at == 0 {
		return 0
	}
	return h.records[at-1].Ordinal
}

func (h *history) add(e ports.NewEvent) {
	r := ports.Record{ID: e.ID, Seq: h.head() + 1, Ordinal: h.ordinal(h.head()), Event: e.Event, Meta: e.Meta}
	if domain.InTimeline(e.Event) {
		r.Ordinal++
	}
	h.records = append(h.records, r)
	for _, m := range e.Moves {
		h.moved[m] = append(h.moved[m], r.Seq)
	}
}

// record adds the command of an append whose events were added.
func (h *history) record(a ports.Append) {
	if a.Command != (domain.Entity{}) {
		h.moved[a.Command] = []domain.Seq{h.head()}
		h.command[a.Command] = ports.CommandRecord{Fingerprint: a.Fingerprint, Events: len(a.Events)}
	}
}

// stale returns the conditions that do not hold, with the present versions.
func (h *history) stale(a ports.Append) map[domain.Condition]domain.Seq {
	stale := make(map[domain.Condition]domain.Seq)
	if version := h.version(a.Command); version != 0 {
		stale[domain.Condition{Entity: a.Command}] = version
		return stale
	}
	for _, c := range a.Conditions {
		if version := h.version(c.Entity); !c.Holds(version) {
			stale[c] = version
		}
	}
	return stale
}

func (h *history) page(r ports.Range) ports.Page {
	return h.selected(r, func(ports.Record) bool { return true })
}

// selected returns a page of all events in the range's order that wanted selects.
func (h *history) selected(r ports.Range, wanted func(ports.Record) bool) ports.Page {
	p := ports.Page{Head: h.head()}
	records := slices.Clone(h.records)
	if r.Backward {
		slices.Reverse(records)
	}
	for _, record := range records {
		before := record.Seq < r.From
		if r.Backward {
			before = r.From > 0 && record.Seq > r.From
		}
		if !before && (r.Until == 0 || record.Seq <= r.Until) && wanted(record) && len(p.Records) < r.Limit {
			p.Records = append(p.Records, record)
		}
	}
	return p
}

func (h *history) search(f ports.Filter, r ports.Range) ports.Page {
	deleted := make(map[domain.MessageID]bool)
	for _, record := range h.records {
		if d, ok := record.Event.(domain.MessageDelete); ok {
			deleted[d.Message] = true
		}
	}
	return h.selected(r, func(record ports.Record) bool {
		message, _ := record.Event.(domain.MessageNew)
		sent := domain.InTimeline(record.Event)
		update, _ := record.Event.(domain.ChatUpdate)
		switch {
		case f.Messages:
			return sent
		case f.Tombstones:
			return sent && deleted[message.Message]
		}
		return domain.Actor(record.Event) == f.User || update.User == f.User
	})
}

func (h *history) entity(w ports.LoadRequest) ports.EntityHistory {
	found := ports.EntityHistory{Version: h.version(w.Entity), Command: h.command[w.Entity]}
	if w.Entity.Kind == domain.KindCommand {
		return found
	}
	if w.Until > 0 {
		found.Version = h.versionBefore(w.Entity, w.Until+1)
	}
	for _, seq := range h.moved[w.Entity] {
		if seq > w.After && seq <= found.Version && (!w.Latest || h.returned(w.Entity, seq, found.Version)) {
			found.Events = append(found.Events, h.records[seq-1])
		}
	}
	return found
}

// returned reports whether a net load returns an event that moved an entity: the last one at the given version. For a read mark it also returns an
// event after all seqs that the later receipts mark as read.
func (h *history) returned(e domain.Entity, seq, version domain.Seq) bool {
	published := domain.Seq(0)
	for _, later := range h.moved[e] {
		if later <= seq || later > version {
			continue
		}
		receipt, ok := h.records[later-1].Event.(domain.ReadReceipt)
		if e.Kind != domain.KindRead || !ok {
			return false
		}
		published = max(published, receipt.ReadSeq)
	}
	return seq == version || seq > published
}

func (h *history) count(after domain.Seq) ports.MessageCount {
	tombstones := make(map[domain.MessageID]bool)
	for _, r := range h.records {
		if d, ok := r.Event.(domain.MessageDelete); ok {
			tombstones[d.Message] = true
		}
	}
	count := ports.MessageCount{Last: h.head(), Head: h.ordinal(h.head()), At: h.ordinal(after)}
	for _, r := range h.records {
		if m, ok := r.Event.(domain.MessageNew); ok && m.InTimeline() && r.Seq > after && tombstones[m.Message] {
			count.Deleted++
		}
	}
	return count
}

// members returns the members sorted by id.
func (h *history) members() []domain.UserID {
	var members []domain.UserID
	for e := range h.moved {
		if e.Kind == domain.KindMember {
			members = append(members, domain.UserID(e.ID))
		}
	}
	slices.Sort(members)
	return members
}
