package logcopy

import (
	"context"
	"maps"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
)

// Partition is a partition of a log at the moment of its copy. Its memory holds all events that are in no sealed segment. It is safe for concurrent use.
type Partition struct {
	copy    *Copy
	number  int
	groups  []object.TailGroup
	sealed  map[domain.ChatID][]uint64 // generations of the segments, from the first one on
	tails   map[domain.ChatID]tailChat
	entries map[domain.ChatID]map[domain.Seq]entry // of journals
	heads   map[domain.ChatID]domain.Seq
}

// tailChat is the newest part of a chat in a tail.
type tailChat struct {
	head     domain.Seq
	first    domain.Seq // of the events
	events   []object.Event
	commands []object.Command
	history  string // of the log when the tail was written
}

// Partition reads a partition of the log: tails and journals.
func (l *Copy) Partition(ctx context.Context, number int) (*Partition, error) {
	p := &Partition{copy: l, number: number, sealed: make(map[domain.ChatID][]uint64), tails: make(map[domain.ChatID]tailChat), heads: make(map[domain.ChatID]domain.Seq)}
	entries, err := l.journals.of(ctx, number)
	if err != nil {
		return nil, err
	}
	p.entries = entries
	if err := p.listSegments(ctx); err != nil {
		return nil, err
	}
	if err := p.readTails(ctx); err != nil {
		return nil, err
	}
	return p, p.findHeads()
}

// Chats returns the chats of the partition, sorted.
func (p *Partition) Chats() []domain.ChatID { return slices.Sorted(maps.Keys(p.heads)) }

// Head returns the last seq of a chat, 0 if the partition does not have the chat.
func (p *Partition) Head(chat domain.ChatID) domain.Seq { return p.heads[chat] }

// Groups returns the checkpoints of the consumer groups, none of which is above the head of its chat.
func (p *Partition) Groups() []object.TailGroup { return p.groups }

// listSegments finds the sealed segments, and the generation of each that holds.
func (p *Partition) listSegments(ctx context.Context) error {
	var gap error
	err := p.copy.list(ctx, object.Segments(p.copy.manifest.Log, p.number), func(name object.Name, _ int64) {
		generations := p.sealed[name.Chat]
		switch n := uint64(len(generations)); {
		case name.Number == n:
			p.sealed[name.Chat] = append(generations, name.Generation)
		case name.Number+1 == n:
			generations[name.Number] = name.Generation // names are sorted
		case gap == nil:
			before := name
			before.Number, before.Generation = n, 0
			gap = missing(before.String())
		}
	})
	if err != nil {
		return err
	}
	return gap
}

func (p *Partition) readTails(ctx context.Context) error {
	f, err := p.copy.forksOf(ctx, p.number)
	if err != nil {
		return err
	}
	for _, t := range p.copy.tails[p.number] {
		groups := make(map[string]map[domain.ChatID]domain.Seq)
		for n := range t.parts {
			part, err := p.copy.tailPart(ctx, t, n)
			if err != nil {
				return err
			}
			for _, c := range part.Chats {
				if err := p.addTail(f, part.History, c); err != nil {
					return err
				}
			}
			for _, g := range part.Groups {
				if groups[g.Group] == nil {
					groups[g.Group] = make(map[domain.ChatID]domain.Seq)
				}
				for _, c := range g.Checkpoints {
					groups[g.Group][c.Chat] = c.Seq
				}
			}
		}
		p.groups = nil // each tail has all groups
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			group := object.TailGroup{Group: name}
			for _, chat := range slices.Sorted(maps.Keys(groups[name])) {
				group.Checkpoints = append(group.Checkpoints, object.Checkpoint{Chat: chat, Seq: groups[name][chat]})
			}
			p.groups = append(p.groups, group)
		}
	}
	return p.compareCopies(f)
}

// compareCopies compares the events of tails with those of journals. Of two different ones that of the newer history stays.
func (p *Partition) compareCopies(f forks) error {
	for chat, entries := range p.entries {
		t := p.tails[chat]
		for i, event := range t.events {
			seq := t.first + domain.Seq(i) //nolint:gosec // an index
			e, twice := entries[seq]
			switch {
			case !twice, same(e.Event, event):
			case f.newer(e.history, t.history):
				t.events[i] = e.Event
				t.commands = slices.DeleteFunc(t.commands, func(command object.Command) bool { return command.Last == seq })
			case f.newer(t.history, e.history):
				e.Event, e.fingerprint = event, 0
				entries[seq] = e
			default:
				return corrupt(chat, seq, "a tail has event %s and a journal event %s, with other bytes", event.ID, e.ID)
			}
		}
		if len(t.events) > 0 {
			p.tails[chat] = t
		}
	}
	return nil
}

// addTail adds the part of a chat in a tail that was written under a history.
func (p *Partition) addTail(f forks, history string, c object.TailChat) error {
	t := tailChat{head: c.Head, first: c.Head - domain.Seq(len(c.Events)) + 1, events: slices.Clone(c.Events), history: history}
	for i, e := range t.events {
		e, err := p.copy.withoutErased(c.Chat, t.first+domain.Seq(i), e) //nolint:gosec // an index
		if err != nil {
			return err
		}
		t.events[i] = e
	}
	var err error
	if t.commands, err = object.DecodeIndex(c.Index); err != nil {
		return corrupt(c.Chat, c.Head, "the index of a tail: %w", err)
	}
	if keeps := f.keeps(c.Chat, history); t.head > keeps {
		t.head = keeps
		t.events = t.events[:max(int(keeps)-int(t.first)+1, 0)] //nolint:gosec // seqs of a tail
		t.commands = slices.DeleteFunc(t.commands, func(command object.Command) bool { return command.Last > keeps })
	}
	p.tails[c.Chat] = t
	return nil
}

// findHeads finds the last seq of each chat.
func (p *Partition) findHeads() error {
	end := p.copy.at == 0
	for chat, t := range p.tails {
		p.heads[chat] = t.head
	}
	if end {
		for chat, generations := range p.sealed {
			p.heads[chat] = max(p.heads[chat], domain.Seq(len(generations))*object.SegmentEvents)
		}
	}
	for chat, entries := range p.entries {
		head := p.heads[chat]
		for {
			e, found := entries[head+1]
			if !found || !end && e.at > p.copy.at {
				break
			}
			head++
		}
		for seq, e := range entries {
			if seq > head+1 && entries[head+1].at == 0 && (end || e.at <= p.copy.at) {
				return corrupt(chat, head+1, "the vault has no copy of the event, and has event %s of seq %d", e.ID, seq)
			}
		}
		p.heads[chat] = head
	}
	for chat, head := range p.heads {
		if head == 0 {
			delete(p.heads, chat)
		}
	}
	for i := range p.groups {
		g := &p.groups[i]
		g.Checkpoints = slices.DeleteFunc(g.Checkpoints, func(c object.Checkpoint) bool { return p.heads[c.Chat] == 0 })
		for k := range g.Checkpoints {
			c := &g.Checkpoints[k]
			c.Seq = min(c.Seq, p.heads[c.Chat])
		}
	}
	return nil
}
