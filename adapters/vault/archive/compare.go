package archive

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// comparison compares what a vault has of a partition with the log, after the log's history has changed.
type comparison struct {
	archiver  *Archiver
	partition *partition
	history   string // of the log now
	noted     string // that was noted last

	forks      []*object.ForkObject
	gone       map[domain.EventID]bool // the events in them
	superseded map[string]bool         // all histories that were seen, but the present one

	chats      map[domain.ChatID]*archivedChat
	candidates map[domain.ChatID]map[domain.Seq][]object.Event // events of the vault, of chats that may have lost some
}

// archivedChat is the last event of a chat in a vault.
type archivedChat struct {
	seq     domain.Seq
	id      domain.EventID // "" if it is in a segment
	flushed uint64
	doubted bool // the journals have events with one seq or with falling seqs
}

// compareAll compares partitions, notes the history, and remembers that.
func (a *Archiver) compareAll(ctx context.Context, history string, all []*comparison) error {
	if len(all) == 0 {
		return nil
	}
	for _, c := range all {
		c.partition.sealing.Lock()
		defer c.partition.sealing.Unlock()
		a.config.Logger.WarnContext(ctx, "the log has another history: comparing the vault with it", "partition", c.partition.number)
	}
	if err := a.findLost(ctx, all); err != nil {
		return err
	}
	for _, c := range all {
		if err := c.settle(ctx); err != nil {
			return err
		}
		if err := a.noteHistory(ctx, c.partition, history); err != nil {
			return err
		}
		a.followed(c.partition, history)
	}
	return nil
}

// findLost finds the chats that may have lost events, and collects the events that the vault has of them.
func (a *Archiver) findLost(ctx context.Context, all []*comparison) error {
	since := uint64(math.MaxUint64)
	for _, c := range all {
		began, err := c.readTails(ctx)
		if err != nil {
			return err
		}
		since = min(since, began)
	}
	if err := a.eachBlock(ctx, since, all, (*comparison).seen); err != nil {
		return err
	}
	collect := false
	for _, c := range all {
		if err := c.ask(ctx); err != nil {
			return err
		}
		collect = collect || len(c.candidates) > 0
	}
	if !collect {
		return nil
	}
	for _, c := range all {
		if err := c.collectTails(ctx); err != nil {
			return err
		}
	}
	return a.eachBlock(ctx, since, all, (*comparison).collect)
}

// readForks reads the forks of the partition.
func (c *comparison) readForks(ctx context.Context) error {
	c.superseded, c.gone = make(map[string]bool), make(map[domain.EventID]bool)
	c.meet(c.noted)
	for name, err := range c.archiver.list(ctx, object.Fork(c.archiver.config.LogID, c.partition.number, 0).Siblings()) {
		if err != nil {
			return err
		}
		data, err := c.archiver.get(ctx, name)
		if err != nil {
			return err
		}
		f, err := c.archiver.codec.DecodeFork(name, data)
		if err != nil {
			return err
		}
		c.addFork(f)
		for _, history := range append(f.Superseded, f.History) {
			c.meet(history)
		}
	}
	return nil
}

func (c *comparison) addFork(f *object.ForkObject) {
	c.forks = append(c.forks, f)
	for _, chat := range f.Chats {
		for _, e := range chat.Lost {
			c.gone[e.ID] = true
		}
	}
}

// meet remembers a history that is superseded.
func (c *comparison) meet(history string) {
	if history != c.history && history != "" {
		c.superseded[history] = true
	}
}

// clockMargin bounds the difference of two processes' clocks of the log in milliseconds, many times over.
const clockMargin = 60_000

// earlier returns a time before which no process can have flushed what a tail that began at a time does not have.
func earlier(time uint64) uint64 { return time - min(time, clockMargin) }

// counts reports whether a block has an effect: see [object.ForkObject].
func (c *comparison) counts(flushed uint64, history string) bool {
	return !slices.ContainsFunc(c.forks, func(f *object.ForkObject) bool { return flushed > f.At && slices.Contains(f.Superseded, history) })
}

// readTails reads forks and tails. It returns the time from which on journals have events that no tail has.
func (c *comparison) readTails(ctx context.Context) (since uint64, err error) {
	a, p := c.archiver, c.partition
	if err := c.readForks(ctx); err != nil {
		return 0, err
	}
	tails, err := a.tailsOf(ctx, p.number)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	p.tails = tails
	a.mu.Unlock()
	if chain := chainOf(tails); len(chain) > 0 {
		since = earlier(chain[len(chain)-1].time)
	}
	c.chats = make(map[domain.ChatID]*archivedChat)
	err = a.tailChats(ctx, p, func(part *object.TailPart, t *object.TailChat) {
		c.meet(part.History)
		last := &archivedChat{seq: t.Head, flushed: part.Name.Time}
		for _, e := range slices.Backward(t.Events) {
			if !c.gone[e.ID] {
				last.id = e.ID
				break
			}
			last.seq--
		}
		c.chats[t.Chat] = last
	})
	return since, err
}

// seen takes the last event of each chat in a block.
func (c *comparison) seen(flushed uint64, b *object.Block) {
	c.meet(b.History)
	for _, e := range b.Entries {
		if c.gone[e.ID] {
			continue
		}
		last := c.chats[e.Chat]
		switch {
		case last == nil:
			c.chats[e.Chat] = &archivedChat{seq: e.Seq, id: e.ID, flushed: flushed}
			continue
		case e.Seq == last.seq && e.ID == last.id:
			continue
		case (e.Seq <= last.seq) == (flushed >= last.flushed):
			last.doubted = true
		}
		if e.Seq > last.seq || e.Seq == last.seq && flushed >= last.flushed {
			last.seq, last.id, last.flushed = e.Seq, e.ID, flushed
		}
	}
}

// ask compares the last events with the log, and notes the chats for which events are collected.
func (c *comparison) ask(ctx context.Context) error {
	c.candidates = make(map[domain.ChatID]map[domain.Seq][]object.Event)
	names := make([]domain.ChatID, 0, len(c.chats))
	for chat, last := range c.chats {
		if last.seq > 0 {
			names = append(names, chat)
		}
	}
	slices.Sort(names)
	for some := range slices.Chunk(names, readChats) {
		wanted := make([]stretch, len(some))
		for i, chat := range some {
			wanted[i] = stretch{chat, c.chats[chat].seq, c.chats[chat].seq}
		}
		found, err := c.archiver.read(ctx, c.partition, wanted...)
		if err != nil {
			return err
		}
		for i, chat := range some {
			last := c.chats[chat]
			if last.id == "" && len(found[i]) > 0 {
				e, err := c.sealedEvent(ctx, chat, last.seq)
				if err != nil && !errors.Is(err, ports.ErrObjectNotFound) { // deleted, because it had lost events
					return err
				}
				last.id = e.ID
			}
			if last.doubted || len(found[i]) == 0 || found[i][0].ID != last.id {
				c.candidates[chat] = make(map[domain.Seq][]object.Event)
			}
		}
	}
	return nil
}

// sealedEvent returns an event of a sealed segment. It returns [ports.ErrObjectNotFound] if there is none.
func (c *comparison) sealedEvent(ctx context.Context, chat domain.ChatID, seq domain.Seq) (object.Event, error) {
	segment, err := c.sealedSegment(ctx, chat, seq)
	if err != nil {
		return object.Event{}, err
	}
	return segment.Events[seq-segment.Name.FirstSeq()], nil
}

func (c *comparison) sealedSegment(ctx context.Context, chat domain.ChatID, seq domain.Seq) (*object.SealedSegment, error) {
	a := c.archiver
	name, err := a.lastGeneration(ctx, object.Segment(a.config.LogID, c.partition.number, chat, uint64(seq-1)/object.SegmentEvents, 0))
	if err != nil {
		return nil, err
	}
	data, err := a.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return a.codec.DecodeSegment(name, data)
}

// collectTails collects the events of chats that may have lost some, from tails.
func (c *comparison) collectTails(ctx context.Context) error {
	return c.archiver.tailChats(ctx, c.partition, func(_ *object.TailPart, t *object.TailChat) {
		first := t.Head - domain.Seq(len(t.Events)) + 1
		for i, e := range t.Events {
			c.add(t.Chat, first+domain.Seq(i), e) //nolint:gosec // an index
		}
	})
}

// collect collects them from a block.
func (c *comparison) collect(_ uint64, b *object.Block) {
	for _, e := range b.Entries {
		c.add(e.Chat, e.Seq, e.Event)
	}
}

func (c *comparison) add(chat domain.ChatID, seq domain.Seq, e object.Event) {
	events := c.candidates[chat]
	if events == nil || c.gone[e.ID] || slices.ContainsFunc(events[seq], func(other object.Event) bool { return other.ID == e.ID }) {
		return
	}
	events[seq] = append(events[seq], e)
}

// lost returns the events that chats have lost: in the first result of each chat one for each seq, in further ones those of seqs at which several were lost, one
// after another.
func (c *comparison) lost(ctx context.Context) (forks [][]object.ForkedChat, err error) {
	for _, chat := range slices.Sorted(maps.Keys(c.candidates)) {
		head, err := c.findLoss(ctx, chat)
		if err != nil {
			return nil, err
		}
		for n, left := 0, c.candidates[chat]; len(left) > 0; n++ {
			for ; len(left[head+1]) == 0; head++ {
			}
			forked := object.ForkedChat{Chat: chat, Head: head}
			for seq := head + 1; len(left[seq]) > 0; seq++ {
				last := len(left[seq]) - 1
				forked.Lost = append(forked.Lost, left[seq][last])
				if left[seq] = left[seq][:last]; last == 0 {
					delete(left, seq)
				}
			}
			if n == len(forks) {
				forks = append(forks, nil)
			}
			forks[n] = append(forks[n], forked)
		}
	}
	return forks, nil
}

// findLoss removes the candidates of a chat that the log has. It returns the last seq before those that are left.
func (c *comparison) findLoss(ctx context.Context, chat domain.ChatID) (head domain.Seq, err error) {
	events := c.candidates[chat]
	head = c.chats[chat].seq
	lowest := head
	for seq := range events {
		lowest = min(lowest, seq)
	}
	for high := head; high > 0; { // a segment at a time, down to one that has lost nothing
		low := domain.Seq(uint64(high-1)/object.SegmentEvents)*object.SegmentEvents + 1
		found, err := c.archiver.read(ctx, c.partition, stretch{chat, low, high})
		if err != nil {
			return 0, err
		}
		if err := c.addSegment(ctx, chat, low, high); err != nil {
			return 0, err
		}
		before := head
		for seq := low; seq <= high; seq++ {
			i := int(seq - low) //nolint:gosec // below SegmentEvents
			events[seq] = slices.DeleteFunc(events[seq], func(e object.Event) bool { return i < len(found[0]) && found[0][i].ID == e.ID })
			if len(events[seq]) > 0 {
				head = min(head, seq-1)
			} else {
				delete(events, seq)
			}
		}
		if low <= lowest && (head == before || head >= low) { // nothing was lost further down
			break
		}
		high = low - 1
	}
	return head, nil
}

// addSegment adds the events of a sealed segment, if there is one.
func (c *comparison) addSegment(ctx context.Context, chat domain.ChatID, low, high domain.Seq) error {
	segment, err := c.sealedSegment(ctx, chat, low)
	if errors.Is(err, ports.ErrObjectNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, e := range segment.Events[:high-low+1] {
		c.add(chat, low+domain.Seq(i), e) //nolint:gosec // an index
	}
	return nil
}
