package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Bounds of what is sent to Redis at a time.
const (
	restoreBytes  = 1 << 20 // arguments of one pipeline
	restoreCalls  = 256     // calls of one pipeline
	restoreFields = 1000    // values of one list of a call
)

// ChatWriter writes chats one after another. Its memory holds the index of one chat: about 200 bytes for each of its messages and commands. One goroutine may use
// it; several writers may write different chats at the same time.
type ChatWriter struct {
	r     *Restore
	calls []rediscmd.Call
	bytes int

	chat         domain.ChatID
	partition    int
	fold         *chatFold
	last         domain.Seq
	ordinal      domain.Ordinal
	sentAt       int64 // of the last message or, without one, of the first event; in Unix milliseconds
	fingerprints map[domain.Seq]uint64
}

// Chats returns a writer of chats. [ChatWriter.Flush] must be called at its end.
func (r *Restore) Chats() *ChatWriter { return &ChatWriter{r: r} }

// Begin begins a chat that was not written before.
func (w *ChatWriter) Begin(chat domain.ChatID) {
	w.chat, w.partition, w.fold = chat, w.r.keys.Partition(chat), newChatFold(0, 1, true)
	w.last, w.ordinal, w.sentAt, w.fingerprints = 0, 0, 0, make(map[domain.Seq]uint64)
}

// Add writes the next part of the chat. It returns a [*ports.CorruptError] for an event that is not the next one, and a [*ports.NewerVersionError] for one that
// only a newer program can read.
func (w *ChatWriter) Add(ctx context.Context, part ports.ChatPart) error {
	if part.First != w.last+1 || uint64(w.last)%segmentSize != 0 || len(part.Events) > segmentSize {
		return w.corrupt(part.First, fmt.Errorf("a part of %d events follows seq %d", len(part.Events), w.last))
	}
	entries := make([]any, len(part.Events))
	for i, json := range part.Events {
		entry, err := w.entry(string(json))
		if err != nil {
			return err
		}
		entries[i] = entry
	}
	for _, c := range part.Commands {
		w.fingerprints[c.Last] = c.Fingerprint
	}
	segment := uint64(part.First-1) / segmentSize
	for at := 0; at < len(entries); at += restoreFields {
		if err := w.send(ctx, segment, at, entries[at:min(at+restoreFields, len(entries))], nil, nil, nil, ""); err != nil {
			return err
		}
	}
	return nil
}

func (w *ChatWriter) corrupt(seq domain.Seq, cause error) error {
	return &ports.CorruptError{Chat: w.chat, Seq: seq, Cause: cause}
}

// entry returns the entry of the next event in its segment, and folds it.
func (w *ChatWriter) entry(json string) (string, error) {
	seq := w.last + 1
	record, err := w.r.codec.Decode([]byte(json))
	if newer(err) {
		unknown, _ := w.r.codec.DecodeUnknown([]byte(json))
		event, _ := unknown.Event.(domain.Unknown)
		return "", &ports.NewerVersionError{Chat: w.chat, Seq: seq, Type: event.Type, Version: event.Version}
	}
	if err != nil {
		return "", w.corrupt(seq, err)
	}
	sent := domain.InTimeline(record.Event)
	if sent {
		w.ordinal++
	}
	if sent || seq == 1 {
		w.sentAt = domain.Instant(record.Event.OccurredAt()).UnixMilli()
	}
	if record.Event.ChatID() != w.chat || record.Seq != seq || record.Ordinal != w.ordinal {
		return "", w.corrupt(seq, fmt.Errorf("the event has seq %d and ordinal %d of chat %q, ordinal %d is expected", record.Seq, record.Ordinal, record.Event.ChatID(), w.ordinal))
	}
	w.last = seq
	if compact, ok := compactForm(w.r.codec, record, json); ok {
		json = compact
	}
	return w.fold.place(record) + json, nil
}

// End writes the index of the chat. It returns its last seq.
func (w *ChatWriter) End(ctx context.Context) (domain.Seq, error) {
	if w.last == 0 {
		return 0, w.corrupt(0, errors.New("it has no events"))
	}
	head := chatHead{last: w.last, messages: w.ordinal, counts: true, deleted: int64(len(w.fold.tombstones)), sent: domain.Seq(w.fold.sent.last)}
	var index, members, tombstones []any
	for field, entry := range w.fold.entries {
		kept := ""
		switch kind := fieldKind(field); kind {
		case "k":
			kept = "0:0:" + strconv.FormatUint(w.fingerprints[domain.Seq(entry.version)], 16)
		case "u":
			members = append(members, field[2:], "")
		}
		if text := w.fold.wanted(field, kept); text != "" {
			index = append(index, field, text)
		}
	}
	for first := range w.fold.tombstones {
		tombstones = append(tombstones, first, first)
	}
	if w.last >= padEvery {
		index = append(index, padField, strings.Repeat("-", padBytes))
	}
	if len(members) > 0 {
		index = append(index, membersField, len(members)/2)
	}
	index = append(index, headField, head.String())
	for ; len(index)+len(members)+len(tombstones) > restoreFields; index, members, tombstones = afterFirst(index), afterFirst(members), afterFirst(tombstones) {
		if err := w.send(ctx, 0, 0, nil, firstOf(index), firstOf(members), firstOf(tombstones), ""); err != nil {
			return 0, err
		}
	}
	last := strconv.FormatUint(w.fold.sent.last, 10)
	if w.fold.sent.last == 0 {
		last = "1"
	}
	return w.last, w.send(ctx, 0, 0, nil, index, members, tombstones, last+":"+strconv.FormatInt(w.sentAt, 10))
}

// firstOf returns the values of a list that one call writes.
func firstOf(values []any) []any { return values[:min(len(values), restoreFields)] }

func afterFirst(values []any) []any { return values[min(len(values), restoreFields):] }

// send adds a call of the script to the next pipeline. last is the chat's value in the index of last messages if the chat ends, or "".
func (w *ChatWriter) send(ctx context.Context, segment uint64, before int, entries, index, members, tombstones []any, last string) error {
	args := make([]any, 0, 10+len(entries)+len(index)+len(members)+len(tombstones))
	args = append(args, w.r.held, keyspace.Escape(string(w.chat)), segment, before)
	for _, list := range [][]any{entries, index, members, tombstones} {
		args = append(append(args, len(list)), list...)
	}
	name := ""
	if last != "" {
		name = string(w.chat)
	}
	args = append(args, name, last)
	w.calls = append(w.calls, rediscmd.Call{Keys: []string{w.r.keys.ID(w.partition)}, Args: args})
	for _, arg := range args {
		if text, ok := arg.(string); ok {
			w.bytes += len(text)
		}
	}
	if w.bytes < restoreBytes && len(w.calls) < restoreCalls {
		return nil
	}
	return w.Flush(ctx)
}

// Flush sends what was written and not sent. It returns [ports.ErrConflict] if another restore has replaced this one.
func (w *ChatWriter) Flush(ctx context.Context) error {
	calls := w.calls
	w.calls, w.bytes = nil, 0
	if len(calls) == 0 {
		return nil
	}
	for i, reply := range rediscmd.RunEach(ctx, w.r.client, w.r.script, calls, nil) {
		switch status, err := reply.Int(); {
		case err != nil:
			return rediscmd.Unavailable(ctx, err)
		case status < 0:
			return w.r.replaced()
		case status == 0:
			return fmt.Errorf("%w: entries of a segment of %v are missing that were written", ports.ErrConflict, calls[i].Args[1])
		}
	}
	return nil
}
