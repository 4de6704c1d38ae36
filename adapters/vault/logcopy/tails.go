package logcopy

import (
	"context"
	"slices"

	"chatcore/adapters/vault/object"
)

// tail is a complete tail of a partition.
type tail struct {
	partition   int
	time, ended uint64
	parts       int
	full        bool
}

// findTails finds the tails that give the state of each partition at the moment.
func (l *Copy) findTails(ctx context.Context) error {
	incomplete := &IncompleteError{Log: l.manifest.Log, Journaled: len(l.journals.epochs) > 0}
	early, from := false, uint64(0) // since when all partitions have a full tail
	p := -1
	for found, err := range inOrder(ctx, l.manifest.Partitions, l.tailsOf) {
		if err != nil {
			return err
		}
		p++
		if found.oldest == 0 {
			incomplete.Partitions = append(incomplete.Partitions, p)
			continue
		}
		from = max(from, found.oldest)
		if len(found.chain) == 0 {
			early = true
			continue
		}
		last := found.chain[len(found.chain)-1]
		l.tails[p], l.reached = found.chain, max(l.reached, last.ended)
		l.later[p] = found.later
		newest := uint64(0)
		if len(found.later) > 0 {
			newest = found.later[0].ended
		}
		l.journals.need(last.time, newest)
	}
	switch {
	case len(incomplete.Partitions) > 0:
		return incomplete
	case early:
		return impossible(l.at, from, ", before the vault has the whole log")
	}
	return nil
}

// found are the tails of a partition.
type found struct {
	chain  []tail // a full one, and those after it up to the moment; empty if there is no full one before the moment
	later  []tail // complete after the moment, the newest first
	oldest uint64 // when the oldest full one that was examined was complete; 0 if there is none
}

// tailsOf finds the tails of a partition, from the newest one back to the full one that the state at the moment begins with.
func (l *Copy) tailsOf(ctx context.Context, partition int) (f found, err error) {
	tails, err := l.listTails(ctx, partition)
	if err != nil {
		return f, err
	}
	for _, t := range slices.Backward(tails) {
		whole, err := l.examine(ctx, &t)
		if err != nil {
			return f, err
		}
		if !whole {
			continue
		}
		if t.full {
			f.oldest = t.ended
		}
		if l.at > 0 && t.ended > l.at {
			f.later = append(f.later, t)
			continue
		}
		if f.chain = append(f.chain, t); t.full {
			slices.Reverse(f.chain)
			return f, nil
		}
	}
	f.chain = nil
	return f, nil
}

// listTails returns the tails of a partition, the oldest first, without whether they are complete.
func (l *Copy) listTails(ctx context.Context, partition int) (tails []tail, err error) {
	err = l.list(ctx, object.Tail(l.manifest.Log, partition, 0, 0).Siblings(), func(name object.Name, _ int64) {
		if n := len(tails); n == 0 || tails[n-1].time != name.Time {
			tails = append(tails, tail{partition: partition, time: name.Time})
		}
		t := &tails[len(tails)-1]
		if uint64(t.parts) == name.Number { //nolint:gosec // a count
			t.parts++
		}
	})
	return tails, err
}

// examine reads the last part of a tail, and reports whether the tail is complete. The state of a complete tail is decoded by those that need it.
func (l *Copy) examine(ctx context.Context, t *tail) (bool, error) {
	if t.parts == 0 {
		return false, nil
	}
	last, err := l.readTail(ctx, *t, t.parts-1, l.codec.DecodeTailHead)
	if err == nil && !last.Last {
		_, err = l.tailPart(ctx, *t, t.parts-1)
	}
	if err != nil {
		return false, err
	}
	t.ended, t.full = last.Ended, last.Full
	return last.Last, nil
}

func (l *Copy) tailPart(ctx context.Context, t tail, part int) (*object.TailPart, error) {
	return l.readTail(ctx, t, part, l.codec.DecodeTail)
}

func (l *Copy) readTail(ctx context.Context, t tail, part int, decode func(object.Name, []byte) (*object.TailPart, error)) (*object.TailPart, error) {
	name := object.Tail(l.manifest.Log, t.partition, t.time, uint64(part)) //nolint:gosec // a count
	data, err := l.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return decode(name, data)
}
