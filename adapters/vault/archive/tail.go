package archive

import (
	"context"
	"errors"
	"slices"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// maxTailPart is the size of a part of a tail in bytes, approximately, before compression.
const maxTailPart = 4 << 20

// tail is a tail of a partition in the vault.
type tail struct {
	time, parts    uint64
	complete, full bool
	ended          uint64
}

// name returns the name of a part.
func (t tail) name(log string, partition int, part uint64) object.Name {
	return object.Tail(log, partition, t.time, part)
}

// tailsOf returns the tails of a partition, by time. It reads the last part of each.
func (a *Archiver) tailsOf(ctx context.Context, partition int) (tails []tail, err error) {
	for name, err := range a.list(ctx, object.Tail(a.config.LogID, partition, 0, 0).Siblings()) {
		if err != nil {
			return nil, err
		}
		if len(tails) == 0 || tails[len(tails)-1].time != name.Time {
			tails = append(tails, tail{time: name.Time})
		}
		tails[len(tails)-1].parts = name.Number + 1
	}
	for i := range tails {
		t := &tails[i]
		part, err := a.tailPart(ctx, t.name(a.config.LogID, partition, t.parts-1))
		if errors.Is(err, ports.ErrObjectNotFound) { // deleted since
			continue
		}
		if err != nil {
			return nil, err
		}
		t.complete, t.full, t.ended = part.Last, part.Full, part.Ended
	}
	return tails, nil
}

func (a *Archiver) tailPart(ctx context.Context, name object.Name) (*object.TailPart, error) {
	data, err := a.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return a.codec.DecodeTail(name, data)
}

// chainOf returns the last complete full tail, and the complete ones after it.
func chainOf(tails []tail) (chain []tail) {
	for _, t := range tails {
		if t.complete && t.full {
			chain = chain[:0]
		}
		if t.complete && (t.full || len(chain) > 0) {
			chain = append(chain, t)
		}
	}
	return chain
}

// tailDue reports whether a tail of a partition is due, and whether it has to be a full one.
func (a *Archiver) tailDue(p *partition) (full, due bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	chain := chainOf(p.tails)
	if len(chain) == 0 {
		return true, true
	}
	now := a.now()
	since := func(t tail) time.Duration { return time.Duration(now-min(t.time, now)) * time.Millisecond } //nolint:gosec // years
	if since(chain[0]) >= a.config.FullTailEvery {
		return true, true
	}
	return false, since(chain[len(chain)-1]) >= a.config.TailEvery
}

// tailWriter writes the parts of one tail.
type tailWriter struct {
	a      *Archiver
	p      *partition
	tail   tail
	part   object.TailPart
	size   int
	groups []groups.Store // whose checkpoints are written, in the order of names
	names  []string
}

// writeTail writes a tail of a partition, whose tailing is locked. It fails if the log has another history at the end: what was read may be lost.
func (a *Archiver) writeTail(ctx context.Context, p *partition, full bool) error {
	history, err := a.sameHistory(ctx, p)
	if err != nil {
		return err
	}
	w, err := a.newTailWriter(ctx, p, full, history)
	if err != nil {
		return err
	}
	defer w.close()
	var before map[domain.ChatID]domain.Seq
	if !full {
		if before, err = a.tailHeads(ctx, p); err != nil {
			return err
		}
	}
	err = a.heads(ctx, p, func(heads []ports.ChatHead) error {
		for some := range slices.Chunk(heads, pageChats) {
			if err := w.addCheckpoints(ctx, some); err != nil {
				return err
			}
			changed := slices.DeleteFunc(slices.Clone(some), func(h ports.ChatHead) bool { return before[h.Chat] == h.Head })
			if err := w.addChats(ctx, changed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.noteHistory(ctx, p, history); err != nil { // the log had it all the time
		return err
	}
	return w.finish(ctx)
}

func (a *Archiver) newTailWriter(ctx context.Context, p *partition, full bool, history string) (*tailWriter, error) {
	w := &tailWriter{a: a, p: p, tail: tail{time: a.now(), full: full}}
	a.mu.Lock()
	for _, t := range p.tails {
		p.tried = max(p.tried, t.time)
	}
	w.tail.time = max(w.tail.time, p.tried+1)
	p.tried = w.tail.time // also if it fails: the vault may have a part of it
	a.mu.Unlock()
	states, err := a.config.Groups.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		if s.Group != a.config.Group {
			w.names, w.groups = append(w.names, s.Group), append(w.groups, a.config.Groups.Store(s.Group))
		}
	}
	w.part = object.TailPart{Full: full, History: history}
	w.begin()
	return w, nil
}

// begin begins the next part.
func (w *tailWriter) begin() {
	w.part.Chats, w.part.Groups, w.size = nil, make([]object.TailGroup, len(w.names)), 0
	for i, name := range w.names {
		w.part.Groups[i].Group = name
	}
}

func (w *tailWriter) close() {
	for _, store := range w.groups {
		_ = store.Close()
	}
}

// addCheckpoints adds the checkpoints of all groups for some chats.
func (w *tailWriter) addCheckpoints(ctx context.Context, heads []ports.ChatHead) error {
	names := make([]string, len(heads))
	for i, h := range heads {
		names[i] = string(h.Chat)
	}
	for i, store := range w.groups {
		seqs, err := store.Checkpoints(ctx, w.p.group, names)
		if err != nil {
			return err
		}
		for k, seq := range seqs {
			if seq > 0 {
				w.part.Groups[i].Checkpoints = append(w.part.Groups[i].Checkpoints, object.Checkpoint{Chat: heads[k].Chat, Seq: seq})
				w.size += len(names[k])
			}
		}
	}
	return nil
}

// addChats adds chats with their events that are in no sealed segment.
func (w *tailWriter) addChats(ctx context.Context, heads []ports.ChatHead) error {
	sealed, err := w.a.config.Log.SealedSegments(ctx, w.p.number, chatsOf(heads))
	if err != nil {
		return err
	}
	wanted := make([]stretch, len(heads))
	for i, h := range heads {
		wanted[i] = stretch{h.Chat, domain.Seq(sealed[i]*object.SegmentEvents) + 1, h.Head}
	}
	found, err := w.a.read(ctx, w.p, wanted...)
	if err != nil {
		return err
	}
	for i, events := range found {
		first := wanted[i].from
		if first+domain.Seq(len(events)) != heads[i].Head+1 { // lost since
			return errHistoryMoved
		}
		index, err := w.a.index(ctx, heads[i].Chat, first, events)
		if err != nil {
			return err
		}
		w.part.Chats = append(w.part.Chats, object.TailChat{Chat: heads[i].Chat, Head: heads[i].Head, Events: events, Index: index})
		for _, e := range events {
			w.size += len(e.JSON)
		}
		if w.size >= maxTailPart {
			if err := w.put(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// put stores the part.
func (w *tailWriter) put(ctx context.Context) error {
	w.part.Name = w.tail.name(w.a.config.LogID, w.p.number, w.tail.parts)
	data, err := w.a.codec.EncodeTail(&w.part)
	if err != nil {
		return err
	}
	if err := w.a.put(ctx, w.part.Name, data); err != nil {
		if errors.Is(err, ports.ErrExists) { // another archiver writes a tail with this time: the next attempt has a later one
			err = errors.Join(ports.ErrUnavailable, err)
		}
		return err
	}
	w.tail.parts++
	w.begin()
	return nil
}

// finish stores the last part.
func (w *tailWriter) finish(ctx context.Context) error {
	w.part.Last, w.part.Ended = true, max(w.a.now(), w.tail.time)
	if err := w.put(ctx); err != nil {
		return err
	}
	w.tail.complete, w.tail.ended = true, w.part.Ended
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	w.p.tails = append(w.p.tails, w.tail)
	w.a.counts.tails.Add(1)
	return nil
}

// tailHeads returns the heads of a partition's chats as the tails in the vault have them, without chats that have lost events since.
func (a *Archiver) tailHeads(ctx context.Context, p *partition) (map[domain.ChatID]domain.Seq, error) {
	c := &comparison{archiver: a, partition: p}
	if err := c.readForks(ctx); err != nil {
		return nil, err
	}
	heads, times := make(map[domain.ChatID]domain.Seq), make(map[domain.ChatID]uint64)
	err := a.tailChats(ctx, p, func(part *object.TailPart, t *object.TailChat) { heads[t.Chat], times[t.Chat] = t.Head, part.Name.Time })
	for _, f := range c.forks {
		for _, chat := range f.Chats {
			if earlier(times[chat.Chat]) <= f.At {
				delete(heads, chat.Chat)
			}
		}
	}
	return heads, err
}

// tailChats calls fn with the chats of the last full tail of a partition and of those after it, in their order.
func (a *Archiver) tailChats(ctx context.Context, p *partition, fn func(part *object.TailPart, c *object.TailChat)) error {
	a.mu.Lock()
	chain := chainOf(p.tails)
	a.mu.Unlock()
	for _, t := range chain {
		for n := range t.parts {
			part, err := a.tailPart(ctx, t.name(a.config.LogID, p.number, n))
			if err != nil {
				return err
			}
			for i := range part.Chats {
				fn(part, &part.Chats[i])
			}
		}
	}
	return nil
}
