package archive

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// settle stores the lost events in a fork, and makes the vault go on as the log does. An attempt that ended before is finished.
func (c *comparison) settle(ctx context.Context) error {
	lost, err := c.lost(ctx)
	if err != nil {
		return err
	}
	if len(lost) == 0 && len(c.superseded) > 0 && !slices.ContainsFunc(c.forks, func(f *object.ForkObject) bool { return f.History == c.history }) {
		lost = [][]object.ForkedChat{nil} // a process that was frozen may yet journal events of before: they are to have no effect
	}
	for _, chats := range lost {
		if err := c.putFork(ctx, chats); err != nil {
			return err
		}
	}
	for _, f := range c.unfinished() {
		if err := c.journalAgain(ctx, f.Chats); err != nil {
			return err
		}
		for _, chat := range f.Chats {
			if err := c.unseal(ctx, chat.Chat, chat.Head); err != nil {
				return err
			}
		}
	}
	return nil
}

// unfinished returns the forks after the history that was noted last, which is noted once its forks are finished.
func (c *comparison) unfinished() []*object.ForkObject {
	for i, f := range slices.Backward(c.forks) {
		if f.History == c.noted {
			return c.forks[i+1:]
		}
	}
	return c.forks
}

// putFork stores a fork, under the next free number. The chats were read from the log before, and the log must still have the history.
func (c *comparison) putFork(ctx context.Context, chats []object.ForkedChat) error {
	a := c.archiver
	if err := moved(a.config.Log.CheckHistory(ctx, c.partition.number, c.history)); err != nil {
		return err
	}
	slices.SortFunc(chats, func(x, y object.ForkedChat) int { return cmp.Compare(x.Chat, y.Chat) })
	f := &object.ForkObject{
		Name: object.Fork(a.config.LogID, c.partition.number, 0), At: a.journal.last(), History: c.history, Superseded: slices.Sorted(maps.Keys(c.superseded)), Chats: chats,
	}
	if n := len(c.forks); n > 0 {
		f.Name.Number = c.forks[n-1].Name.Number + 1
	}
	for {
		data, err := a.codec.EncodeFork(f)
		if err != nil {
			return err
		}
		err = a.put(ctx, f.Name, data)
		if errors.Is(err, ports.ErrExists) {
			f.Name.Number++
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	events := 0
	for _, chat := range chats {
		events += len(chat.Lost)
	}
	c.addFork(f)
	if events == 0 {
		return nil
	}
	a.counts.lost.Add(uint64(events)) //nolint:gosec // a count
	a.config.Logger.ErrorContext(ctx, "the log has lost events that it acknowledged; the vault keeps them", "partition", c.partition.number, "chats", len(chats), "events", events, "object", f.Name.String())
	return nil
}

// journalAgain journals the events that the log has of forked chats now: those above the forks' heads do not count as they were journaled before, and neither do
// the segments that are deleted.
func (c *comparison) journalAgain(ctx context.Context, chats []object.ForkedChat) error {
	block := object.Block{Partition: c.partition.number, History: c.history}
	size := 0
	flush := func() error {
		if len(block.Entries) == 0 {
			return nil
		}
		err := c.archiver.writeJournal(ctx, []object.Block{block})
		block.Entries, size = nil, 0
		return err
	}
	for _, chat := range chats {
		for from := firstOfSegment(chat.Head); ; from += object.SegmentEvents {
			found, err := c.archiver.read(ctx, c.partition, stretch{chat.Chat, from, from + object.SegmentEvents - 1})
			if err != nil {
				return err
			}
			for i, e := range found[0] {
				placed, _ := wireformat.PeekPlaced(e.JSON)                                                                              // it was read before
				at := uint64(max(placed.At.UnixMilli(), 0))                                                                             //nolint:gosec // from 0
				block.Entries = append(block.Entries, object.Entry{Appended: at, Chat: chat.Chat, Seq: from + domain.Seq(i), Event: e}) //nolint:gosec // an index
				size += len(e.JSON)
			}
			if size >= maxFlush {
				if err := flush(); err != nil {
					return err
				}
			}
			if len(found[0]) < object.SegmentEvents {
				break
			}
		}
	}
	return flush()
}

// firstOfSegment returns the first seq of the segment that the event after a head belongs to.
func firstOfSegment(head domain.Seq) domain.Seq {
	return domain.Seq(uint64(head)/object.SegmentEvents)*object.SegmentEvents + 1
}

// unseal deletes the segments of a chat that reach beyond a head.
func (c *comparison) unseal(ctx context.Context, chat domain.ChatID, head domain.Seq) error {
	a, left := c.archiver, uint64(head)/object.SegmentEvents
	noted, err := a.config.Log.SealedSegments(ctx, c.partition.number, []domain.ChatID{chat})
	if err != nil {
		return err
	}
	if noted[0] > left {
		if err := a.config.Log.NoteSealed(ctx, c.partition.number, c.history, chat, noted[0], left); err != nil {
			return moved(err)
		}
	}
	var beyond []object.Name
	for name, err := range a.list(ctx, object.Segment(a.config.LogID, c.partition.number, chat, 0, 0).Siblings()) {
		if err != nil {
			return err
		}
		if name.Number >= left {
			beyond = append(beyond, name)
		}
	}
	if len(beyond) == 0 {
		return nil
	}
	a.mu.Lock()
	c.partition.grow(chat, left+1) // which is not sealed any more
	a.mu.Unlock()
	return a.remove(ctx, beyond)
}
