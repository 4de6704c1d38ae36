package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// erasing is what an append erases. The zero value is no erasure.
type erasing struct {
	sender  domain.UserID // of the message; "" if a later version of the program has written it
	entries []erasedEntry
}

// erasedEntry is an entry that an append replaces.
type erasedEntry struct {
	seq    domain.Seq
	digest string // of the event as it is stored, without its links
	event  string // its erased form, as it is stored
}

// Erase implements [ports.Eraser] in two round trips, and one more for each 256 events of the message beyond the first; in one if the events are known and are
// stored in the compact form. The append compares each entry with the one that was read, and returns [ports.ErrConflict] if one has changed its form meanwhile. It
// returns the errors of Append, and of Load.
func (l *Log) Erase(ctx context.Context, e ports.Erasure) (ports.Erased, error) {
	if err := e.Check(); err != nil {
		return ports.Erased{}, err
	}
	if err := l.writable(ctx); err != nil {
		return ports.Erased{}, err
	}
	erased, err := l.erase(ctx, e)
	var other *ports.ConflictError
	if len(e.Known) > 0 && errors.As(err, &other) && other.Version == other.Condition.Version { // an entry has another form than the compact one
		e.Known = nil
		return l.erase(ctx, e)
	}
	return erased, err
}

func (l *Log) erase(ctx context.Context, e ports.Erasure) (ports.Erased, error) {
	found, stored, err := l.erasable(ctx, e)
	if err != nil {
		return ports.Erased{}, err
	}
	if found.Version == 0 {
		return ports.Erased{}, fmt.Errorf("%w: chat %q has no message %q", ports.ErrConflict, e.Chat, e.Message)
	}
	entries, err := l.erasedEntries(found.Events, stored)
	if err != nil {
		return ports.Erased{}, err
	}
	e.Conditions = append(slices.Clone(e.Conditions), domain.Condition{Entity: domain.MessageEntity(e.Message), Version: found.Version})
	var sender domain.UserID
	if sent, ok := found.Events[0].Event.(domain.MessageNew); ok {
		sender = sent.Sender
	}
	appended, err := l.appendErasing(ctx, e.Append, erasing{sender, entries})
	if err != nil {
		return ports.Erased{Appended: appended}, err
	}
	return ports.Erased{Appended: appended, Events: found.Events}, nil
}

// erasable returns all events of the message of an erasure, and their entries as they are stored.
func (l *Log) erasable(ctx context.Context, e ports.Erasure) (ports.EntityHistory, map[domain.Seq]string, error) {
	entity := domain.MessageEntity(e.Message)
	if stored, ok := l.compactEntries(e.Chat, e.Known); ok {
		return ports.EntityHistory{Version: e.Known[len(e.Known)-1].Seq, Events: e.Known}, stored, nil
	}
	if found, stored, ok := l.onlySent(ctx, e, entity); ok {
		return found, stored, nil
	}
	ld := l.newLoading(e.Chat, []ports.LoadRequest{{Entity: entity, Whole: true}})
	ld.entries = make(map[domain.Seq]string)
	if err := ld.run(ctx); err != nil {
		return ports.EntityHistory{}, nil, err
	}
	return ld.loaded.Entities[0], ld.entries, nil
}

// compactEntries returns the entries of events as they are in the compact form. ok is false if there are no events, or if one has none.
func (l *Log) compactEntries(chat domain.ChatID, events []ports.Record) (stored map[domain.Seq]string, ok bool) {
	if l.levelOf(l.keys.Partition(chat)) < compactLevel {
		return nil, false
	}
	stored = make(map[domain.Seq]string, len(events))
	for _, r := range events {
		form, ok := l.codec.AppendCompact(nil, r.ID, r.Event, r.Meta)
		if !ok {
			return nil, false
		}
		stored[r.Seq] = wireformat.StoredCompact(form, r.Ordinal)
	}
	return stored, len(events) > 0
}

// onlySent is erasable of a message that no event has changed, as most: without a script the reading costs Redis a tenth. The version that the append
// requires is then the seq of the event that sent the message, which is its first one. ok is false for any other message, and if the reading fails.
func (l *Log) onlySent(ctx context.Context, e ports.Erasure, entity domain.Entity) (found ports.EntityHistory, stored map[domain.Seq]string, ok bool) {
	seq := e.Sent()
	if seq == 0 || !slices.Contains(e.Conditions, domain.Condition{Entity: entity, Version: seq}) {
		return found, nil, false
	}
	key := l.keys.Chat(e.Chat, strconv.FormatUint(uint64(seq-1)/segmentSize, 10))
	entry, err := l.client.LIndex(ctx, key, int64(uint64(seq-1)%segmentSize)).Result() //nolint:gosec // below segmentSize
	if err != nil {
		return found, nil, false
	}
	record, err := l.decode(e.Chat, seq, entry)
	if err != nil {
		return found, nil, false
	}
	if sent, is := record.Event.(domain.MessageNew); !is || sent.Message != e.Message {
		return found, nil, false
	}
	return ports.EntityHistory{Version: seq, Events: []ports.Record{record}}, map[domain.Seq]string{seq: entry}, true
}

// erasedEntries returns the replacements of entries that are not erased yet, in the order of their events.
func (l *Log) erasedEntries(events []ports.Record, stored map[domain.Seq]string) ([]erasedEntry, error) {
	entries := make([]erasedEntry, 0, len(events))
	for _, r := range events {
		event, err := eventIn(stored[r.Seq])
		if err != nil {
			return nil, &ports.CorruptError{Chat: r.Event.ChatID(), Seq: r.Seq, Cause: err}
		}
		erased, err := l.erasedForm(r, event)
		if err != nil {
			return nil, &ports.CorruptError{Chat: r.Event.ChatID(), Seq: r.Seq, Cause: err}
		}
		if erased == "" {
			continue
		}
		entries = append(entries, erasedEntryOf(r.Seq, event, erased))
	}
	return entries, nil
}

// erasedForm returns the erased form of a stored event, or "" if the event has no content.
func (l *Log) erasedForm(r ports.Record, event string) (string, error) {
	chat := r.Event.ChatID()
	level := l.levelOf(l.keys.Partition(chat))
	if erased := domain.Erased(r.Event); wireformat.IsCompact(event) && domain.IsErased(erased) && compactAt(level, erased) {
		if domain.IsErased(r.Event) {
			return "", nil
		}
		if form, ok := l.codec.AppendCompact(nil, r.ID, erased, r.Meta); ok {
			return wireformat.StoredCompact(form, r.Ordinal), nil
		}
	}
	json, err := jsonIn(chat, r.Seq, event)
	if err != nil {
		return "", err
	}
	erased, err := wireformat.Erased(json)
	if err != nil || bytes.Equal(erased, json) {
		return "", err
	}
	return compacted(l.codec, level, chat, r.Seq, string(erased)), nil
}
