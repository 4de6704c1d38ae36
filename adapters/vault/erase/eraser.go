package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Config configures [New].
type Config struct {
	Vault     ports.Vault
	Codec     *object.Codec
	Log       string                       // the log id, the prefix of its objects
	Partition func(chat domain.ChatID) int // of a chat
	Now       func() time.Time             // by the clock of the log

	// Grace is how long the generation before stays in the vault: readers that have listed it can still get it. Defaults to 1 h.
	Grace time.Duration
	// Journals is how long the archiver keeps journal objects, and Tails how long it keeps tails. They default to 7 and 14 days.
	Journals, Tails time.Duration
}

// Defaults of a [Config].
const (
	DefaultGrace    = time.Hour
	DefaultJournals = 7 * 24 * time.Hour
	DefaultTails    = 14 * 24 * time.Hour
)

// Eraser erases events in a vault. It is safe for concurrent use, and for use by several processes on one vault.
type Eraser struct {
	c Config

	// mu guards: listed, last, next, superseded.
	mu         sync.Mutex
	listed     map[key]struct{}     // erasures in lists of the vault, as far as it has read them
	last       string               // name of the last list that it has read
	next       uint64               // number of the next list
	superseded map[string]time.Time // names of earlier generations, and when they may be deleted
}

// key identifies an erasure.
type key struct {
	chat domain.ChatID
	by   domain.Seq
}

// New returns an eraser of a log's vault.
func New(c Config) *Eraser {
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Journals == 0 {
		c.Journals = DefaultJournals
	}
	if c.Tails == 0 {
		c.Tails = DefaultTails
	}
	return &Eraser{c: c, listed: make(map[key]struct{}), superseded: make(map[string]time.Time)}
}

// Erase lists erasures and rewrites the sealed segments of their events. It may be called again with the same erasures, after an error too: what is done is
// not repeated. A segment that is sealed later has the erased form, because the archiver reads it from the log. Errors are those of the vault, an
// [*object.Error] for a damaged object, and a [*ports.CorruptError] if a segment has another event at a seq.
func (e *Eraser) Erase(ctx context.Context, erasures ...object.Erasure) error {
	if err := e.List(ctx, erasures...); err != nil {
		return err
	}
	events := make(map[domain.ChatID][]object.ErasedEvent)
	for _, erasure := range erasures {
		events[erasure.Chat] = append(events[erasure.Chat], erasure.Events...)
	}
	for chat, of := range events { // each segment once
		for number, some := range bySegment(of) {
			if err := e.rewrite(ctx, chat, number, some); err != nil {
				return err
			}
		}
	}
	return e.Sweep(ctx)
}

// bySegment groups events by the number of their segment.
func bySegment(events []object.ErasedEvent) map[uint64][]object.ErasedEvent {
	of := make(map[uint64][]object.ErasedEvent)
	for _, event := range events {
		number := uint64(event.Seq-1) / object.SegmentEvents
		of[number] = append(of[number], event)
	}
	return of
}

// List adds the erasures that no list has to a new list: from then on no reader of the vault returns the content of their events. Their segments keep it until
// [Eraser.Erase] or [Eraser.Follow]. Errors are those of the vault, and an [*object.Error] for a damaged list.
func (e *Eraser) List(ctx context.Context, erasures ...object.Erasure) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		if err := e.readLists(ctx); err != nil {
			return err
		}
		fresh := &object.ErasureList{Name: object.Erasures(e.c.Log, e.next)}
		for _, erasure := range erasures {
			if _, known := e.listed[key{erasure.Chat, erasure.By}]; !known {
				fresh.Erasures = append(fresh.Erasures, erasure)
			}
		}
		if len(fresh.Erasures) == 0 {
			return nil
		}
		data, err := object.EncodeErasures(fresh)
		if err != nil {
			return err
		}
		if err := e.c.Vault.Put(ctx, fresh.Name.String(), data); !errors.Is(err, ports.ErrExists) {
			return err
		}
	}
}

// readLists reads the lists that the vault has since the last call. The caller holds mu.
func (e *Eraser) readLists(ctx context.Context) error {
	for found, err := range e.c.Vault.List(ctx, object.Erasures(e.c.Log, 0).Siblings(), e.last) {
		if err != nil {
			return err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return err
		}
		data, err := e.c.Vault.Get(ctx, found.Name, 0, ports.WholeObject)
		if err != nil {
			return err
		}
		list, err := object.DecodeErasures(name, data)
		if err != nil {
			return err
		}
		for _, erasure := range list.Erasures {
			e.listed[key{erasure.Chat, erasure.By}] = struct{}{}
		}
		e.last, e.next = found.Name, name.Number+1
	}
	return nil
}

// generations returns the names of all generations of a segment, in order.
func (e *Eraser) generations(ctx context.Context, chat domain.ChatID, number uint64) (names []object.Name, err error) {
	first := object.Segment(e.c.Log, e.c.Partition(chat), chat, number, 0)
	text := first.String()
	for found, err := range e.c.Vault.List(ctx, text[:len(text)-len(generationDigits)], "") {
		if err != nil {
			return nil, err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// generationDigits is how the name of a segment ends for its first generation.
const generationDigits = "0000000000000000"

// rewrite writes the next generation of a segment, unless the segment is not sealed or its events are erased already.
func (e *Eraser) rewrite(ctx context.Context, chat domain.ChatID, number uint64, events []object.ErasedEvent) error {
	for {
		names, err := e.generations(ctx, chat, number)
		if err != nil || len(names) == 0 {
			return err
		}
		last := names[len(names)-1]
		e.supersede(names[:len(names)-1])
		segment, err := e.read(ctx, last)
		if err != nil {
			return err
		}
		replacements, err := replacementsOf(segment, events)
		if err != nil || len(replacements) == 0 {
			return err
		}
		next, err := segment.Erase(replacements, segment.Index)
		if err != nil {
			return err
		}
		switch err := e.write(ctx, next); {
		case errors.Is(err, ports.ErrExists): // by another process: it may lack these erasures
			continue
		case err != nil:
			return err
		}
		e.supersede(names)
		return nil
	}
}

func (e *Eraser) read(ctx context.Context, name object.Name) (*object.SealedSegment, error) {
	data, err := e.c.Vault.Get(ctx, name.String(), 0, ports.WholeObject)
	if err != nil {
		return nil, err
	}
	return e.c.Codec.DecodeSegment(name, data)
}

// replacementsOf returns the erased form of those events that have content.
func replacementsOf(s *object.SealedSegment, events []object.ErasedEvent) (map[domain.Seq][]byte, error) {
	replacements := make(map[domain.Seq][]byte)
	for _, event := range events {
		at := int(event.Seq - s.Name.FirstSeq()) //nolint:gosec // in the segment
		found := s.Events[at]
		if found.ID != event.ID {
			return nil, &ports.CorruptError{Chat: s.Name.Chat, Seq: event.Seq, Key: s.Name.String(), Cause: fmt.Errorf("the event is %q, and %q was erased", found.ID, event.ID)}
		}
		erased, err := wireformat.Erased(found.JSON)
		if err != nil {
			return nil, &ports.CorruptError{Chat: s.Name.Chat, Seq: event.Seq, Key: s.Name.String(), Cause: err}
		}
		if !bytes.Equal(erased, found.JSON) {
			replacements[event.Seq] = erased
		}
	}
	return replacements, nil
}

// write stores a segment and reads it back.
func (e *Eraser) write(ctx context.Context, s *object.SealedSegment) error {
	data, err := e.c.Codec.EncodeSegment(s)
	if err != nil {
		return err
	}
	if err := e.c.Vault.Put(ctx, s.Name.String(), data); err != nil {
		return err
	}
	back, err := e.c.Vault.Get(ctx, s.Name.String(), 0, ports.WholeObject)
	if err == nil && !bytes.Equal(back, data) {
		err = &ports.CorruptError{Chat: s.Name.Chat, Key: s.Name.String(), Cause: errors.New("the vault has other bytes than were written")}
	}
	return err
}

// supersede notes generations that a later one replaces.
func (e *Eraser) supersede(names []object.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range names {
		if _, known := e.superseded[name.String()]; !known {
			e.superseded[name.String()] = e.c.Now().Add(e.c.Grace)
		}
	}
}

// Collect finds the earlier generations of all segments of a partition, also those that another process has left, and deletes those whose grace has ended. The grace of
// one that this eraser has not met before begins now. It lists the segments; errors are those of the vault.
func (e *Eraser) Collect(ctx context.Context, partition int) error {
	var last object.Name
	for found, err := range e.c.Vault.List(ctx, object.Segments(e.c.Log, partition), "") {
		if err != nil {
			return err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return err
		}
		if last.Chat == name.Chat && last.Number == name.Number && last.Log != "" {
			e.supersede([]object.Name{last})
		}
		last = name
	}
	return e.Sweep(ctx)
}

// Sweep deletes the generations whose grace has ended, as far as this eraser has met them.
func (e *Eraser) Sweep(ctx context.Context) error {
	e.mu.Lock()
	var due []string
	for name, at := range e.superseded {
		if !e.c.Now().Before(at) {
			due = append(due, name)
		}
	}
	e.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	if err := e.c.Vault.Delete(ctx, due...); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range due {
		delete(e.superseded, name)
	}
	return nil
}
