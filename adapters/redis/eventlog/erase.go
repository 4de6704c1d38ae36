package eventlog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // Redis has no other digest; it detects changes and is no signature
	"encoding/hex"
	"fmt"
	"slices"

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

// Erase implements [ports.Eraser] in two round trips, and one more for each 256 events of the message beyond the first. The append compares each entry
// with the one that was read, and returns [ports.ErrConflict] if one has changed its form meanwhile. It returns the errors of Append, and of Load.
func (l *Log) Erase(ctx context.Context, e ports.Erasure) (ports.Erased, error) {
	if err := e.Check(); err != nil {
		return ports.Erased{}, err
	}
	if err := l.writable(ctx); err != nil {
		return ports.Erased{}, err
	}
	entity := domain.MessageEntity(e.Message)
	ld := l.newLoading(e.Chat, []ports.LoadRequest{{Entity: entity, Whole: true}})
	ld.entries = make(map[domain.Seq]string)
	if err := ld.run(ctx); err != nil {
		return ports.Erased{}, err
	}
	found := ld.loaded.Entities[0]
	if found.Version == 0 {
		return ports.Erased{}, fmt.Errorf("%w: chat %q has no message %q", ports.ErrConflict, e.Chat, e.Message)
	}
	entries, err := l.erasedEntries(e.Chat, ld.entries)
	if err != nil {
		return ports.Erased{}, err
	}
	e.Conditions = append(slices.Clone(e.Conditions), domain.Condition{Entity: entity, Version: found.Version})
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

// erasedEntries returns the replacements of entries that are not erased yet, in the order of their seqs.
func (l *Log) erasedEntries(chat domain.ChatID, stored map[domain.Seq]string) ([]erasedEntry, error) {
	var entries []erasedEntry
	level := l.levelOf(l.keys.Partition(chat))
	for seq, entry := range stored {
		event, err := eventIn(entry)
		if err != nil {
			return nil, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
		}
		json, err := jsonIn(chat, seq, event)
		if err != nil {
			return nil, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
		}
		erased, err := wireformat.Erased(json)
		if err != nil {
			return nil, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
		}
		if bytes.Equal(erased, json) {
			continue
		}
		digest := sha1.Sum([]byte(event)) //nolint:gosec // see the import
		entries = append(entries, erasedEntry{seq, hex.EncodeToString(digest[:]), compacted(l.codec, level, chat, seq, string(erased))})
	}
	slices.SortFunc(entries, func(a, b erasedEntry) int { return cmp.Compare(a.seq, b.seq) })
	return entries, nil
}
