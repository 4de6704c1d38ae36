package memgroup

import (
	"context"
	"errors"
	"slices"

	"chatcore/ports"
	"chatcore/ports/groups"
)

// Backlog returns the log by partition, as members read it. Unlike the log itself it knows which entries the streams have lost.
func (g *Groups) Backlog() ports.Backlog { return backlog{g} }

type backlog struct{ *Groups }

// ListHeads implements [ports.Backlog].
func (b backlog) ListHeads(ctx context.Context, partition int, cursor uint64) (heads []ports.ChatHead, next uint64, total int, err error) {
	heads, next, total, err = b.log.ListHeads(ctx, partition, cursor)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.partitions) > 1 {
		before := len(heads)
		heads = slices.DeleteFunc(heads, func(h ports.ChatHead) bool { return b.partitionOf(h.Chat).Number != partition })
		if before > 0 {
			total = total * len(heads) / before
		}
	}
	return heads, next, total, err
}

// ReadRaw implements [ports.Backlog].
func (b backlog) ReadRaw(ctx context.Context, partition int, earlier string, ranges []ports.EventRange) (pages []ports.EncodedPage, witness string, err error) {
	pages, _, err = b.log.ReadRaw(ctx, partition, "", ranges)
	if err != nil {
		return nil, "", err
	}
	if err := b.begin(ctx); err != nil { // every event of these pages has its entry by now
		return nil, "", err
	}
	defer b.mu.Unlock()
	s := &b.partitions[partition].stream
	if earlier != "" {
		id, err := groups.ParseStreamID(earlier)
		if err != nil {
			return nil, "", err
		}
		if !s.has(id) {
			return nil, "", nil
		}
	}
	if last := s.last(); !last.IsZero() {
		witness = last.String()
	}
	return pages, witness, nil
}

// CompareHeads implements [ports.Backlog]. Stores compare heads themselves.
func (b backlog) CompareHeads(ctx context.Context, _ int, _ string, _ uint64, _ int) (ports.HeadPage, error) {
	return ports.HeadPage{}, ctx.Err()
}

func isCorrupt(err error) bool { return errors.Is(err, ports.ErrCorrupt) }
