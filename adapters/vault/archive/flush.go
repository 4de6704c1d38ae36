package archive

import (
	"cmp"
	"context"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// maxFlush bounds the JSON of a journal object in bytes, unless one chat has more.
const maxFlush = 8 << 20

// Handle is the batch handler of the archiver's group, of encoded events. It stores the events as journal objects, and finishes those that are stored. An error of
// a batch passes: the vault or the log did not answer, is full, or denies access. Events of one chat must not be in two calls at a time.
func (a *Archiver) Handle(ctx context.Context, batches []*ports.ChatBatch) {
	batches = slices.Clone(batches)
	slices.SortStableFunc(batches, func(x, y *ports.ChatBatch) int { return cmp.Compare(x.Partition, y.Partition) })
	err := a.flush(ctx, batches)
	a.report(ctx, flushFailure, err)
	for _, b := range batches {
		if b.Done == 0 {
			b.Err = err
		}
	}
}

// flush stores batches, which are ordered by partition, and sets Done of those that are stored.
func (a *Archiver) flush(ctx context.Context, batches []*ports.ChatBatch) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	history := a.config.Histories.History(ctx)
	if err := a.follow(ctx, history, a.partitionsOf(batches)...); err != nil {
		return err
	}
	batches, err := a.verify(ctx, history, batches)
	if err != nil {
		return err
	}
	for len(batches) > 0 {
		n, size := 0, 0
		for n < len(batches) && (n == 0 || size < maxFlush) {
			for _, d := range batches[n].Deliveries {
				size += len(d.JSON)
			}
			n++
		}
		if err := a.writeJournal(ctx, blocksOf(batches[:n], history)); err != nil {
			return err
		}
		a.stored(batches[:n])
		batches = batches[n:]
	}
	return nil
}

// writeJournal stores the blocks as the next journal object, with the fingerprints of their commands.
func (a *Archiver) writeJournal(ctx context.Context, blocks []object.Block) error {
	for _, b := range blocks {
		if err := a.addFingerprints(ctx, b.Entries); err != nil {
			return err
		}
	}
	return a.journal.write(ctx, blocks)
}

// partitionsOf returns the partitions of batches that are ordered by them.
func (a *Archiver) partitionsOf(batches []*ports.ChatBatch) (all []*partition) {
	for _, b := range batches {
		if p := a.partitions[b.Partition]; len(all) == 0 || all[len(all)-1] != p {
			all = append(all, p)
		}
	}
	return all
}

// blocksOf returns the blocks of batches that are ordered by partition.
func blocksOf(batches []*ports.ChatBatch, history string) (blocks []object.Block) {
	for _, b := range batches {
		if len(blocks) == 0 || blocks[len(blocks)-1].Partition != b.Partition {
			blocks = append(blocks, object.Block{Partition: b.Partition, History: history})
		}
		block := &blocks[len(blocks)-1]
		for _, d := range b.Deliveries {
			block.Entries = append(block.Entries, object.Entry{
				Appended: uint64(max(d.Appended.UnixMilli(), 0)), Chat: d.ID.Chat, Seq: d.ID.Seq, //nolint:gosec // from 0
				Event: object.Event{ID: d.ID.Event, Ordinal: d.Ordinal, JSON: d.JSON},
			})
		}
	}
	return blocks
}

// stored finishes batches, and remembers the chats that have begun a segment.
func (a *Archiver) stored(batches []*ports.ChatBatch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range batches {
		b.Done = len(b.Deliveries)
		a.counts.events.Add(uint64(b.Done)) //nolint:gosec // a length
		first, last := b.Deliveries[0].ID, b.Deliveries[b.Done-1].ID
		if full := fullSegments(last.Seq); full > 0 && (first.Seq == 1 || full > fullSegments(first.Seq-1)) {
			a.partitions[b.Partition].grow(first.Chat, full)
		}
	}
}

// fullSegments returns how many segments of a chat are full and followed by an event, if its last seq is head.
func fullSegments(head domain.Seq) uint64 {
	if head == 0 {
		return 0
	}
	return uint64(head-1) / object.SegmentEvents
}

// grow remembers that a chat has full segments. The mutex is held.
func (p *partition) grow(chat domain.ChatID, full uint64) {
	p.grown[chat] = max(p.grown[chat], full)
}
