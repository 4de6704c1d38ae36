package eventlog

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	viewedTogether = 500 // chats that one script call writes, and one HMGET reads
	rowsTogether   = 64  // chats of one script call: about 1 ms of Redis
)

var _ ports.ChatView = (*Log)(nil)

// PutLastMessages implements [ports.ChatView] with one script call for each partition and 500 chats.
func (l *Log) PutLastMessages(ctx context.Context, entries ...ports.ChatViewEntry) error {
	chats := make([]domain.ChatID, len(entries))
	for i, e := range entries {
		chats[i] = e.Chat
	}
	for _, c := range l.chatsByPartition(chats, viewedTogether) {
		if err := ctx.Err(); err != nil {
			return err
		}
		args := make([]any, 1, 1+5*len(c.places))
		for _, place := range c.places {
			e := entries[place]
			args = append(args, keyspace.Escape(string(e.Chat)), uint64(e.Seq), uint64(e.Version), string(e.Message), previewText(e))
		}
		_, err := l.guarded(ctx, c.partition, func(held *field) ([]any, error) {
			args[0] = held
			return l.run(ctx, l.scripts.previews, c.partition, []string{l.keys.Previews(c.partition)}, args...).Slice()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// partitionChats is some chats of one partition, by their places among others.
type partitionChats struct {
	partition int
	places    []int
}

// chatsByPartition divides chats into parts of one partition and at most so many chats.
func (l *Log) chatsByPartition(chats []domain.ChatID, most int) (parts []partitionChats) {
	open := make(map[int]int) // index of the part with room, by partition
	for i, chat := range chats {
		p := l.keys.Partition(chat)
		at, known := open[p]
		if !known || len(parts[at].places) == most {
			at = len(parts)
			parts, open[p] = append(parts, partitionChats{partition: p}), at
		}
		parts[at].places = append(parts[at].places, i)
	}
	return parts
}

// ListedLastMessages implements [ports.ChatView] in one pipeline. An invalid entry counts as missing.
func (l *Log) ListedLastMessages(ctx context.Context, chats ...domain.ChatID) ([]ports.ChatViewEntry, error) {
	found := make([]ports.ChatViewEntry, len(chats))
	for i, chat := range chats {
		found[i].Chat = chat
	}
	if err := ctx.Err(); err != nil || len(chats) == 0 {
		return found, err
	}
	parts := l.chatsByPartition(chats, viewedTogether)
	replies := make([]*goredis.SliceCmd, len(parts))
	_, _ = l.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
		for i, c := range parts {
			fields := make([]string, len(c.places))
			for k, place := range c.places {
				fields[k] = keyspace.Escape(string(chats[place]))
			}
			replies[i] = pipe.HMGet(ctx, l.keys.Previews(c.partition), fields...)
		}
		return nil
	})
	for i, c := range parts {
		values, err := replies[i].Result()
		if err != nil && rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
			continue
		}
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		for k, value := range values {
			text, _ := value.(string)
			if e, valid := parsePreview(text); valid {
				e.Chat = chats[c.places[k]]
				found[c.places[k]] = e
			}
		}
	}
	return found, nil
}

// LoadRows implements [ports.ChatView]: its first round trip has one more script call for each partition.
func (l *Log) LoadRows(ctx context.Context, user domain.UserID, loads ...ports.ChatLoad) ([]ports.ChatRow, error) {
	chats := make([]domain.ChatID, len(loads))
	for i, load := range loads {
		chats[i] = load.Chat
	}
	parts := l.chatsByPartition(chats, rowsTogether)
	questions := make([]question, len(parts))
	for i, c := range parts {
		args := append([]any{nil, string(user)}, l.readVersions()...)
		for _, place := range c.places {
			args = append(args, keyspace.Escape(string(chats[place])))
		}
		questions[i] = question{script: l.scripts.rows, partition: c.partition, more: []string{l.keys.Previews(c.partition)}, args: args}
	}
	loaded, answers, err := l.loadChats(ctx, loads, questions)
	if err != nil {
		return nil, err
	}
	rows := make([]ports.ChatRow, len(loads))
	for i := range rows {
		rows[i].Loaded = loaded[i]
	}
	for i, c := range parts {
		if err := rowsIn(answers[i], c.places, rows); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// rowsIn sets the rows of the chats at some places from a reply of rows.lua. A chat whose keys are of other types is left to the caller, who reads it separately.
func rowsIn(a answer, places []int, rows []ports.ChatRow) error {
	var refused goredis.Error
	if errors.As(a.err, &refused) && rediscmd.HasCode(refused, "WRONGTYPE") {
		return nil
	}
	if a.err != nil || len(a.reply) != 1+2*len(places) {
		return a.err
	}
	for k, place := range places {
		n, _ := a.reply[1+2*k].(int64)
		text, _ := a.reply[2+2*k].(string)
		rows[place].Unread = unreadCount(n)
		if text == noMessage {
			rows[place].Current = true
			continue
		}
		e, current := parsePreview(text)
		rows[place].Last, rows[place].Current = e.LastPreview, current
	}
	return nil
}

// noMessage is the text of a chat without a message in a reply of rows.lua.
const noMessage = "-"

// previewText returns the entry of a message, see previews.lua.
func previewText(p ports.ChatViewEntry) string {
	deleted := byte('0')
	if p.Deleted {
		deleted = '1'
	}
	b := make([]byte, 0, 64+len(p.Message)+len(p.Sender)+len(p.Preview))
	b = append(strconv.AppendUint(b, uint64(p.Version), 10), ':')
	b = append(strconv.AppendUint(b, uint64(p.Seq), 10), ':')
	b = append(strconv.AppendInt(b, int64(len(p.Message)), 10), ':')
	b = append(b, p.Message...)
	b = append(strconv.AppendInt(b, p.At.UnixMilli(), 10), ':')
	b = append(strconv.AppendInt(b, int64(p.Attachments), 10), ':', deleted, ':')
	b = append(strconv.AppendInt(b, int64(len(p.Sender)), 10), ':')
	return string(append(append(b, p.Sender...), p.Preview...))
}

// parsePreview parses an entry, and reports whether it is valid.
func parsePreview(text string) (p ports.ChatViewEntry, valid bool) {
	r := previewReader{rest: text}
	p.Version, p.Seq = domain.Seq(r.number()), domain.Seq(r.number()) //nolint:gosec // a seq, or invalid
	p.Message = domain.MessageID(r.text())
	p.At = time.UnixMilli(r.number()).UTC()
	p.Attachments, p.Deleted = int(r.number()), r.number() == 1
	p.Sender = domain.UserID(r.text())
	p.Preview = r.rest
	if r.failed || p.Version == 0 || p.Message == "" {
		return ports.ChatViewEntry{}, false
	}
	return p, true
}

// previewReader reads the parts of an entry.
type previewReader struct {
	rest   string
	failed bool
}

// number reads a number and the colon after it.
func (r *previewReader) number() int64 {
	digits, rest, found := strings.Cut(r.rest, ":")
	n, err := strconv.ParseInt(digits, 10, 64)
	r.rest, r.failed = rest, r.failed || !found || err != nil
	return n
}

// text reads a length and as many bytes.
func (r *previewReader) text() string {
	n := r.number()
	if n < 0 || n > int64(len(r.rest)) {
		r.failed = true
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
