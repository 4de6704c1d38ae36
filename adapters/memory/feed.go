package memory

import (
	"context"
	"fmt"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// Next implements [ports.Feed]. A position beyond the end waits until the log has grown past it.
func (l *Log) Next(ctx context.Context, after uint64, limit int) ([]ports.Record, uint64, error) {
	if limit < 1 {
		return nil, after, &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %d", limit), Allowed: "a number from 1"}
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, after, err
		}
		records, grown := l.after(after, limit)
		if len(records) > 0 {
			return records, after + uint64(len(records)), nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}

// End implements [ports.Feed].
func (l *Log) End() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.feed))
}

// after returns a copy of the records after the position, and a channel that is closed when there are more.
func (l *Log) after(position uint64, limit int) ([]ports.Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := uint64(len(l.feed))
	if position >= end {
		return nil, l.grown
	}
	return slices.Clone(l.feed[position : position+min(uint64(limit), end-position)]), l.grown
}
