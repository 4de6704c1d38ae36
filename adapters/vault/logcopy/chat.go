package logcopy

import (
	"context"
	"iter"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
)

// Part is the part of a chat in one segment of the log, sealed or not.
type Part struct {
	First    domain.Seq // a multiple of [object.SegmentEvents], and 1
	Events   []object.Event
	Commands []object.Command // of which the vault knows the fingerprint, ordered by their last seq
	Root     object.Root      // of a sealed segment; zero for others
	Unlisted []domain.Seq     // of events that the segment has as erased, and no list of erasures
}

// Chat yields the events of a chat up to its head, a segment at a time. It checks the sums and roots of sealed segments, and that every copy of an event is
// the same. The error of an event that is missing, or has different copies, is a [*ports.CorruptError].
func (p *Partition) Chat(ctx context.Context, chat domain.ChatID) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		head := p.heads[chat]
		n := int((head + object.SegmentEvents - 1) / object.SegmentEvents) //nolint:gosec // a count
		sealed := min(n, len(p.sealed[chat]))
		root := object.Root{}
		for s, err := range inOrder(ctx, sealed, func(ctx context.Context, i int) (segment, error) { return p.segment(ctx, chat, i) }) {
			var part Part
			if err == nil {
				part, err = p.sealedPart(s, root, head)
				root = s.root
			}
			if !yield(part, err) || err != nil {
				return
			}
		}
		for i := sealed; i < n; i++ {
			if part, err := p.openPart(chat, domain.Seq(i)*object.SegmentEvents+1, head); !yield(part, err) || err != nil { //nolint:gosec // a count
				return
			}
		}
	}
}

// segment is a sealed segment that was decoded.
type segment struct {
	*object.SealedSegment
	root object.Root
}

func (p *Partition) segment(ctx context.Context, chat domain.ChatID, i int) (segment, error) {
	name := object.Segment(p.copy.manifest.Log, p.number, chat, uint64(i), p.sealed[chat][i]) //nolint:gosec // a count
	data, err := p.copy.get(ctx, name)
	if err != nil {
		return segment{}, err
	}
	s, err := p.copy.codec.DecodeSegment(name, data)
	if err != nil {
		return segment{}, err
	}
	f, err := object.DecodeFooter(name, data)
	if err != nil {
		return segment{}, err
	}
	return segment{s, f.Root()}, nil
}

// sealedPart returns the part of a chat that is a sealed segment, up to the head. root is that of the segment before.
func (p *Partition) sealedPart(s segment, root object.Root, head domain.Seq) (Part, error) {
	chat := s.Name.Chat
	if s.Previous != root {
		return Part{}, &object.Error{Name: s.Name.String(), Reason: object.ErrDamaged, Problem: "the root of the segment before is another one"}
	}
	part := Part{First: s.Name.FirstSeq(), Events: s.Events, Root: s.root}
	for _, seq := range s.Erased() {
		if !p.copy.erasure(chat, seq, s.Events[seq-part.First].ID) {
			part.Unlisted = append(part.Unlisted, seq)
		}
	}
	for i := range part.Events {
		seq := part.First + domain.Seq(i) //nolint:gosec // an index
		var err error
		if part.Events[i], err = p.copy.withoutErased(chat, seq, part.Events[i]); err != nil {
			return Part{}, err
		}
		if other, twice := p.unsealed(chat, seq); twice && !same(other, part.Events[i]) {
			return Part{}, corrupt(chat, seq, "segment %s has event %s, and a tail or journal has event %s, with other bytes", s.Name, part.Events[i].ID, other.ID)
		}
	}
	var err error
	if part.Commands, err = object.DecodeIndex(s.Index); err != nil {
		return Part{}, &object.Error{Name: s.Name.String(), Reason: object.ErrDamaged, Problem: err.Error()}
	}
	return part.upTo(head), nil
}

// upTo returns the part without what is above a head.
func (p Part) upTo(head domain.Seq) Part {
	if end := p.First + domain.Seq(len(p.Events)) - 1; end <= head {
		return p
	}
	p.Events = p.Events[:head-p.First+1]
	for len(p.Commands) > 0 && p.Commands[len(p.Commands)-1].Last > head {
		p.Commands = p.Commands[:len(p.Commands)-1]
	}
	p.Root = object.Root{}
	return p
}

// unsealed returns the copy of an event in a tail or a journal. That of a journal is the newer one if they differ.
func (p *Partition) unsealed(chat domain.ChatID, seq domain.Seq) (object.Event, bool) {
	if e, found := p.entries[chat][seq]; found {
		return e.Event, true
	}
	if t := p.tails[chat]; seq >= t.first && seq-t.first < domain.Seq(len(t.events)) {
		return t.events[seq-t.first], true
	}
	return object.Event{}, false
}

// openPart returns the part of a chat from a seq on that is in no sealed segment.
func (p *Partition) openPart(chat domain.ChatID, first, head domain.Seq) (Part, error) {
	last := min(head, first+object.SegmentEvents-1)
	part := Part{First: first, Events: make([]object.Event, 0, last-first+1)}
	for seq := first; seq <= last; seq++ {
		e, found := p.unsealed(chat, seq)
		if !found {
			return Part{}, corrupt(chat, seq, "the vault has no copy of the event, and the chat ends with seq %d", head)
		}
		part.Events = append(part.Events, e)
	}
	part.Commands = p.openCommands(chat, first, last)
	return part, nil
}

// openCommands returns the commands of a chat whose last event is from first to last: those of journals, and those of the tail.
func (p *Partition) openCommands(chat domain.ChatID, first, last domain.Seq) (commands []object.Command) {
	tailed, entries := p.tails[chat].commands, p.entries[chat]
	for seq := first; seq <= last; seq++ {
		for len(tailed) > 0 && tailed[0].Last < seq {
			tailed = tailed[1:]
		}
		fingerprint := entries[seq].fingerprint
		if fingerprint == 0 && len(tailed) > 0 && tailed[0].Last == seq {
			fingerprint = tailed[0].Fingerprint
		}
		if fingerprint != 0 {
			commands = append(commands, object.Command{Last: seq, Fingerprint: fingerprint})
		}
	}
	return commands
}
