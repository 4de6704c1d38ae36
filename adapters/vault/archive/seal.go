package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// errHistoryMoved is returned while the log has another history than the vault was compared with. The next attempt compares it.
var errHistoryMoved = fmt.Errorf("%w: the log has another history since", ports.ErrUnavailable)

// findGrown looks for chats with full segments that are not sealed. It reads the heads of all chats of a partition.
func (a *Archiver) findGrown(ctx context.Context, p *partition) error {
	return a.heads(ctx, p, func(heads []ports.ChatHead) error {
		heads = slices.DeleteFunc(heads, func(h ports.ChatHead) bool { return fullSegments(h.Head) == 0 })
		sealed, err := a.config.Log.SealedSegments(ctx, p.number, chatsOf(heads))
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for i, h := range heads {
			if full := fullSegments(h.Head); full > sealed[i] {
				p.grow(h.Chat, full)
			}
		}
		return nil
	})
}

func chatsOf(heads []ports.ChatHead) []domain.ChatID {
	chats := make([]domain.ChatID, len(heads))
	for i, h := range heads {
		chats[i] = h.Chat
	}
	return chats
}

// seal seals the full segments of a partition that the archiver's group has passed.
func (a *Archiver) seal(ctx context.Context, p *partition) error {
	chats := a.grownChats(p)
	if len(chats) == 0 {
		return nil
	}
	store := a.config.Groups.Store(a.config.Group)
	defer func() { _ = store.Close() }()
	for some := range slices.Chunk(chats, ports.MaxPage) {
		names := make([]string, len(some))
		for i, chat := range some {
			names[i] = string(chat)
		}
		checkpoints, err := store.Checkpoints(ctx, p.group, names)
		if err != nil {
			return err
		}
		for i, chat := range some {
			if full := fullSegments(checkpoints[i]); full > 0 {
				if err := a.sealChat(ctx, p, chat, full); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *Archiver) grownChats(p *partition) (chats []domain.ChatID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for chat := range p.grown {
		chats = append(chats, chat)
	}
	slices.Sort(chats)
	return chats
}

// sealChat seals the segments of a chat that are not sealed, as many as are full.
func (a *Archiver) sealChat(ctx context.Context, p *partition, chat domain.ChatID, full uint64) error {
	p.sealing.Lock()
	defer p.sealing.Unlock()
	sealed, err := a.config.Log.SealedSegments(ctx, p.number, []domain.ChatID{chat})
	if err != nil {
		return err
	}
	for number := sealed[0]; number < full; number++ {
		if err := a.sealSegment(ctx, p, object.Segment(a.config.LogID, p.number, chat, number, 0)); err != nil {
			return fmt.Errorf("sealing segment %d of chat %q: %w", number, chat, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.grown[chat] <= full {
		delete(p.grown, chat)
	}
	return nil
}

// sealSegment stores a segment, reads it back, compares it and notes it.
func (a *Archiver) sealSegment(ctx context.Context, p *partition, name object.Name) error {
	history, err := a.sameHistory(ctx, p)
	if err != nil {
		return err
	}
	segment, err := a.segment(ctx, p, name)
	if err != nil {
		return err
	}
	data, err := a.codec.EncodeSegment(segment)
	if err != nil {
		return err
	}
	if err := a.storeSegment(ctx, segment, data); err != nil {
		return err
	}
	if err := a.stillSame(ctx, p, segment); err != nil {
		return err
	}
	if err := a.config.Log.NoteSealed(ctx, p.number, history, name.Chat, name.Number, name.Number+1); err != nil {
		return moved(err) // or another archiver has noted it
	}
	a.counts.segments.Add(1)
	return nil
}

// errErasedMeanwhile is returned if events of a segment were erased while it was sealed. The next attempt seals their erased form.
var errErasedMeanwhile = fmt.Errorf("%w: events of the segment were erased meanwhile", ports.ErrUnavailable)

// stillSame compares the log with a segment that was stored. An erasure that was handled before the segment was in the vault has not found it there: the segment then goes again.
// A later erasure finds it.
func (a *Archiver) stillSame(ctx context.Context, p *partition, segment *object.SealedSegment) error {
	first := segment.Name.FirstSeq()
	found, err := a.read(ctx, p, stretch{segment.Name.Chat, first, first + object.SegmentEvents - 1})
	if err != nil {
		return err
	}
	if slices.EqualFunc(found[0], segment.Events, sameEvent) {
		return nil
	}
	if err := a.remove(ctx, []object.Name{segment.Name}); err != nil {
		return err
	}
	return errErasedMeanwhile
}

// sameHistory returns the history of the log. It returns errHistoryMoved if the vault was not compared with that.
func (a *Archiver) sameHistory(ctx context.Context, p *partition) (string, error) {
	history := a.config.Histories.History(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.history != history {
		return "", errHistoryMoved
	}
	return history, nil
}

// segment reads a full segment from the log.
func (a *Archiver) segment(ctx context.Context, p *partition, name object.Name) (*object.SealedSegment, error) {
	first := name.FirstSeq()
	found, err := a.read(ctx, p, stretch{name.Chat, first, first + object.SegmentEvents - 1})
	if err != nil {
		return nil, err
	}
	events := found[0]
	if len(events) < object.SegmentEvents { // lost since
		return nil, errHistoryMoved
	}
	index, err := a.index(ctx, name.Chat, first, events)
	if err != nil {
		return nil, err
	}
	previous, err := a.rootBefore(ctx, name)
	if err != nil {
		return nil, err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	return object.Seal(name, events, index, previous, random)
}

// rootBefore returns the root of the segment before another one: that of its last generation.
func (a *Archiver) rootBefore(ctx context.Context, name object.Name) (root object.Root, err error) {
	if name.Number == 0 {
		return root, nil
	}
	before := name
	before.Number--
	last, err := a.lastGeneration(ctx, before)
	if err != nil {
		return root, err
	}
	tail, err := a.config.Vault.Get(ctx, last.String(), -object.FooterHint, ports.WholeObject)
	if err != nil {
		return root, err
	}
	size, err := object.FooterSize(last, tail)
	if err == nil && size > int64(len(tail)) {
		tail, err = a.config.Vault.Get(ctx, last.String(), -size, ports.WholeObject)
	}
	if err != nil {
		return root, err
	}
	footer, err := object.DecodeFooter(last, tail)
	if err != nil {
		return root, err
	}
	return footer.Root(), nil
}

// lastGeneration returns the name of the last generation of a segment. It returns [ports.ErrObjectNotFound] if there is none.
func (a *Archiver) lastGeneration(ctx context.Context, name object.Name) (last object.Name, err error) {
	text := name.String()
	for found, err := range a.list(ctx, text[:strings.LastIndexByte(text, '.')+1]) {
		if err != nil {
			return last, err
		}
		last = found
	}
	if last.Log == "" {
		return last, fmt.Errorf("%w: %s", ports.ErrObjectNotFound, text)
	}
	return last, nil
}

// storeSegment stores a segment, and compares what the vault has with it. An object with other events under the name is from a history of the log that lost its
// last events: nothing has noted it, and its events are in the forks. It is replaced.
func (a *Archiver) storeSegment(ctx context.Context, segment *object.SealedSegment, data []byte) error {
	err := a.put(ctx, segment.Name, data)
	if err != nil && !errors.Is(err, ports.ErrExists) {
		return err
	}
	differs := a.compareSegment(ctx, segment)
	if differs == nil || err == nil || errors.Is(differs, ports.ErrUnavailable) {
		return differs
	}
	a.config.Logger.WarnContext(ctx, "segment of lost events replaced", "object", segment.Name.String(), "error", differs)
	if err := a.remove(ctx, []object.Name{segment.Name}); err != nil {
		return err
	}
	if err := a.put(ctx, segment.Name, data); err != nil {
		return err
	}
	return a.compareSegment(ctx, segment)
}

// compareSegment returns an error unless the vault has a segment with the same events. Its salts may be others: they are random.
func (a *Archiver) compareSegment(ctx context.Context, segment *object.SealedSegment) error {
	data, err := a.get(ctx, segment.Name)
	if err != nil {
		return err
	}
	stored, err := a.codec.DecodeSegment(segment.Name, data)
	if err != nil {
		return err
	}
	same := stored.Previous == segment.Previous && string(stored.Index) == string(segment.Index) && slices.EqualFunc(stored.Events, segment.Events, sameEvent)
	if !same {
		return &object.Error{Name: segment.Name.String(), Reason: object.ErrDamaged, Problem: "its events are not those of the log"}
	}
	return nil
}

func sameEvent(x, y object.Event) bool {
	return x.ID == y.ID && x.Ordinal == y.Ordinal && string(x.JSON) == string(y.JSON)
}
