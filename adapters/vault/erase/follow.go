package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Follow rewrites a sealed segment if the log has the erased form of events whose content the segment has. events are those of the log, all of the segment. It
// reports whether it has found nothing to do: the segment has no other generation and no content of erased events, or is not sealed. Errors are those of
// [Eraser.Erase].
func (e *Eraser) Follow(ctx context.Context, chat domain.ChatID, number uint64, events []object.Event) (settled bool, err error) {
	names, err := e.generations(ctx, chat, number)
	if err != nil || len(names) == 0 {
		return err == nil, err
	}
	last := names[len(names)-1]
	e.supersede(names[:len(names)-1])
	segment, err := e.read(ctx, last)
	if err != nil {
		return false, err
	}
	replacements, err := differencesOf(segment, events)
	if err != nil {
		return false, err
	}
	if len(replacements) == 0 {
		return len(names) == 1, e.Sweep(ctx)
	}
	next, err := segment.Erase(replacements, segment.Index)
	if err != nil {
		return false, err
	}
	if err := e.write(ctx, next); err != nil && !errors.Is(err, ports.ErrExists) { // by another process
		return false, err
	}
	e.supersede(names)
	return false, nil
}

// differencesOf returns the events of the log that differ from those of a segment: their erased forms.
func differencesOf(s *object.SealedSegment, events []object.Event) (map[domain.Seq][]byte, error) {
	replacements := make(map[domain.Seq][]byte)
	for i, stored := range s.Events {
		seq := s.Name.FirstSeq() + domain.Seq(i) //nolint:gosec // an index
		if i < len(events) && stored.ID == events[i].ID && bytes.Equal(stored.JSON, events[i].JSON) {
			continue
		}
		erased, err := wireformat.Erased(stored.JSON)
		if err == nil && (i >= len(events) || stored.ID != events[i].ID || !bytes.Equal(erased, events[i].JSON)) {
			err = errors.New("the log has another event, which is not its erased form")
		}
		if err != nil {
			return nil, &ports.CorruptError{Chat: s.Name.Chat, Seq: seq, Key: s.Name.String(), Cause: fmt.Errorf("following the log: %w", err)}
		}
		replacements[seq] = erased
	}
	return replacements, nil
}
