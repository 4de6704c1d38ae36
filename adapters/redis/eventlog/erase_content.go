package eventlog

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis has no other digest; it detects changes and is no signature
	"encoding/hex"
	"fmt"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// contentTries is how often a call of EraseContent reads a range whose entries others replace at the same time.
const contentTries = 3

// EraseContent implements [ports.Eraser] in one round trip for a range without content, and two otherwise.
func (l *Log) EraseContent(ctx context.Context, chat domain.ChatID, r ports.ContentRange) (done ports.ContentErased, err error) {
	if err := l.writable(ctx); err != nil {
		return done, err
	}
	for range contentTries {
		found, next, err := l.contentIn(ctx, chat, r)
		if err != nil || len(found) == 0 {
			return ports.ContentErased{Next: next}, err
		}
		replaced, err := l.eraseEvents(ctx, chat, found)
		if err != nil || replaced != nil {
			return withNext(replaced, next), err
		}
	}
	return done, fmt.Errorf("%w: entries of chat %q from seq %d on were replaced at the same time", ports.ErrConflict, chat, r.From)
}

func withNext(done *ports.ContentErased, next domain.Seq) ports.ContentErased {
	if done == nil {
		return ports.ContentErased{}
	}
	done.Next = next
	return *done
}

// contentIn returns the entries of a range that have content, and the seq after those that it has read, 0 at the end of the range.
func (l *Log) contentIn(ctx context.Context, chat domain.ChatID, r ports.ContentRange) (found []contentEntry, next domain.Seq, err error) {
	if r.Until == 0 {
		return nil, 0, nil
	}
	reply, err := l.ask(ctx, l.scripts.read, chat, []any{nil, keyspace.Escape(string(chat)), uint64(r.From), "", ports.MaxPage, uint64(r.Until)})
	if err != nil {
		return nil, 0, err
	}
	head, first := seqOf(reply[0]), seqOf(reply[1])
	level := l.levelOf(l.keys.Partition(chat))
	for i, element := range reply[2:] {
		seq := first + domain.Seq(i) //nolint:gosec // an index
		record, err := l.decode(chat, seq, element)
		if err != nil {
			return nil, 0, err
		}
		if e, newer := record.Event.(domain.Unknown); newer {
			return nil, 0, &ports.NewerVersionError{Chat: chat, Seq: seq, Type: e.Type, Version: e.Version}
		}
		if _, ok := domain.ErasedWithChat(record.Event); !ok {
			continue
		}
		entry, _ := element.(string)
		event, _ := eventIn(entry) // decoded above
		json, err := jsonIn(chat, seq, event)
		if err == nil {
			json, err = wireformat.Erased(json)
		}
		if err != nil {
			return nil, 0, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
		}
		found = append(found, contentEntry{erasedEntryOf(seq, event, compacted(l.codec, level, chat, seq, string(json))), domain.Actor(record.Event)})
	}
	if next = first + domain.Seq(len(reply)-2); next > min(head, r.Until) { //nolint:gosec // two elements come before
		next = 0
	}
	return found, next, nil
}

// contentEntry is an entry whose content is erased, and the actor of its event.
type contentEntry struct {
	erasedEntry
	actor domain.UserID
}

// erasedEntryOf returns the replacement of an event, as it is stored, by its erased form.
func erasedEntryOf(seq domain.Seq, event, erased string) erasedEntry {
	digest := sha1.Sum([]byte(event)) //nolint:gosec // see the import
	return erasedEntry{seq, hex.EncodeToString(digest[:]), erased}
}

// eraseEvents replaces entries. It returns nil if another program has replaced one since it was read.
func (l *Log) eraseEvents(ctx context.Context, chat domain.ChatID, entries []contentEntry) (*ports.ContentErased, error) {
	args := []any{nil, keyspace.Escape(string(chat)), string(chat)}
	for _, e := range entries {
		args = append(args, uint64(e.seq), e.digest, e.event, string(e.actor))
	}
	p := l.keys.Partition(chat)
	reply, err := l.guarded(ctx, p, func(held *field) ([]any, error) {
		args[0] = held
		return l.run(ctx, l.scripts.eraseContent, p, []string{l.keys.Holds(p)}, args...).Slice()
	})
	if reply, err = replyOf(chat, reply, err); err != nil {
		return nil, err
	}
	done := &ports.ContentErased{}
	for i, e := range entries {
		switch result, _ := reply[i+1].(int64); result {
		case 0:
			done.Erased++
		case 1:
			return nil, nil //nolint:nilnil // see above
		default:
			done.Held++
			done.Hold = domain.SubjectsOf(chat, e.actor)[result-2]
		}
	}
	return done, nil
}
