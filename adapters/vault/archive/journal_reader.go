package archive

import (
	"context"
	"errors"

	"chatcore/adapters/vault/object"
	"chatcore/ports"
)

// eachBlock calls fn with the blocks of the compared partitions in journals from a time on.
func (a *Archiver) eachBlock(ctx context.Context, since uint64, all []*comparison, fn func(c *comparison, flushed uint64, b *object.Block)) error {
	epochs, err := a.epochs(ctx)
	if err != nil {
		return err
	}
	for _, names := range epochs {
		from, err := a.flushedSince(ctx, names, since)
		if err != nil {
			return err
		}
		for _, name := range names[from:] {
			j, err := a.readJournal(ctx, name)
			if errors.Is(err, ports.ErrObjectNotFound) { // deleted since
				continue
			}
			if err != nil {
				return err
			}
			for i := range j.Blocks {
				for _, c := range all {
					if c.partition.number == j.Blocks[i].Partition && c.counts(j.Flushed, j.Blocks[i].History) {
						fn(c, j.Flushed, &j.Blocks[i])
					}
				}
			}
		}
	}
	return nil
}

// epochs returns the names of all journals, by epoch and number.
func (a *Archiver) epochs(ctx context.Context) (epochs [][]object.Name, err error) {
	for name, err := range a.list(ctx, object.Journal(a.config.LogID, 0, 0).Siblings()) {
		if err != nil {
			return nil, err
		}
		if n := len(epochs); n == 0 || epochs[n-1][0].Epoch != name.Epoch {
			epochs = append(epochs, nil)
		}
		epochs[len(epochs)-1] = append(epochs[len(epochs)-1], name)
	}
	return epochs, nil
}

// flushedSince returns the place of the first journal of an epoch that was flushed at a time or later. It reads about log2(n) of them.
func (a *Archiver) flushedSince(ctx context.Context, names []object.Name, since uint64) (place int, err error) {
	low, high := 0, len(names)
	for low < high && since > 0 {
		middle := (low + high) / 2
		j, err := a.readJournal(ctx, names[middle])
		switch {
		case errors.Is(err, ports.ErrObjectNotFound): // deleted since, so it is old
			low = middle + 1
		case err != nil:
			return 0, err
		case j.Flushed < since:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, nil
}

func (a *Archiver) readJournal(ctx context.Context, name object.Name) (*object.JournalObject, error) {
	data, err := a.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return a.codec.DecodeJournal(name, data)
}
