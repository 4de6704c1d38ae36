package archive

import "context"

// Maintain does once what Run does, for all partitions. With fresh it does so as right after they were acquired.
func (a *Archiver) Maintain(ctx context.Context, fresh bool) error {
	var owned []int
	for n := range a.partitions {
		owned = append(owned, n)
	}
	before := numbers(owned)
	if fresh {
		before = nil
	}
	return a.maintain(ctx, owned, before)
}

// Retain deletes what is no longer needed.
func (a *Archiver) Retain(ctx context.Context) error { return a.retain(ctx) }
