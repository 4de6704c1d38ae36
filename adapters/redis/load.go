package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	segmentSize = 1024 // events of a chat in one list; as in the scripts
	walkLimit   = 256  // links that one script call walks; 1,000 hold up every other client for 1.9 ms
	scanCount   = 500  // fields or members that one scan step looks at
)

// Load implements [ports.EventLog]: one round trip, and one more for each 256 events beyond the first. The log only grows, so
// the later steps see what the first saw.
func (l *Log) Load(ctx context.Context, chat domain.ChatID, wants ...ports.Want) (ports.Loaded, error) {
	loaded := ports.Loaded{Entities: make([]ports.EntityHistory, len(wants))}
	pending := make([]int, len(wants))
	cursors := make([]string, len(wants))
	for i := range wants {
		pending[i] = i
	}
	for first := true; first || len(pending) > 0; first = false {
		args := make([]any, 0, 4+5*len(pending))
		args = append(args, l.id, escape(string(chat)), walkLimit, len(pending))
		for _, i := range pending {
			w, latest := wants[i], ""
			if w.Latest {
				latest = "1"
			}
			args = append(args, kindCode(w.Entity.Kind), w.Entity.ID, uint64(w.After), latest, cursors[i])
		}
		reply, err := l.ask(ctx, l.scripts.load, chat, args)
		if err != nil {
			return ports.Loaded{}, err
		}
		if first {
			loaded.Head = seqOf(reply[0])
		}
		var open []int
		for n, i := range pending {
			entity, _ := reply[n+1].([]any)
			cursor, err := l.readEntity(chat, entity, &loaded.Entities[i], first)
			if err != nil {
				return ports.Loaded{}, err
			}
			if cursor > 0 {
				cursors[i] = strconv.FormatUint(uint64(cursor), 10)
				open = append(open, i)
			}
		}
		pending = open
	}
	for i := range loaded.Entities {
		slices.Reverse(loaded.Entities[i].Events)
	}
	return loaded, nil
}

// readEntity adds one step of a walk, newest first, and gives the seq at which the next step goes on.
func (l *Log) readEntity(chat domain.ChatID, reply []any, into *ports.EntityHistory, first bool) (domain.Seq, error) {
	if first {
		into.Version = seqOf(reply[0])
	}
	for i := 2; i+1 < len(reply); i += 2 {
		record, err := l.decode(chat, seqOf(reply[i]), reply[i+1])
		if err != nil {
			return 0, err
		}
		into.Events = append(into.Events, record)
	}
	return seqOf(reply[1]), nil
}

// Read implements [ports.EventLog] in one round trip.
func (l *Log) Read(ctx context.Context, chat domain.ChatID, r ports.Range) (ports.Page, error) {
	if err := r.Check(); err != nil {
		return ports.Page{}, err
	}
	backward := ""
	if r.Backward {
		backward = "1"
	}
	reply, err := l.ask(ctx, l.scripts.read, chat, []any{l.id, escape(string(chat)), uint64(r.From), backward, r.Limit})
	if err != nil {
		return ports.Page{}, err
	}
	page := ports.Page{Head: seqOf(reply[0])}
	for i, element := range reply[2:] {
		record, err := l.decode(chat, seqOf(reply[1])+domain.Seq(i), element) //nolint:gosec // an index
		if err != nil {
			return ports.Page{}, err
		}
		page.Records = append(page.Records, record)
	}
	if r.Backward {
		slices.Reverse(page.Records)
	}
	return page, nil
}

// ask runs a script that reads one chat.
func (l *Log) ask(ctx context.Context, script *goredis.Script, chat domain.ChatID, args []any) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := l.keys.partition(chat)
	reply, err := script.Run(ctx, l.client, []string{l.keys.id(p)}, args...).Slice()
	switch {
	case err != nil && answered(err) && hasCode(err, "WRONGTYPE"):
		return nil, &ports.CorruptError{Chat: chat, Cause: err}
	case err != nil:
		return nil, unavailable(ctx, err)
	}
	if head, _ := reply[0].(int64); head < 0 {
		return nil, l.lost(p)
	}
	return reply, nil
}

// decode reads one stored entry: links to the events before it, then the event's JSON.
func (l *Log) decode(chat domain.ChatID, seq domain.Seq, element any) (ports.Record, error) {
	text, _ := element.(string)
	at := strings.IndexByte(text, '{')
	if at < 0 {
		return ports.Record{}, &ports.CorruptError{Chat: chat, Seq: seq, Cause: errors.New("there is no event in the entry")}
	}
	record, err := l.codec.Decode([]byte(text[at:]))
	switch {
	case err != nil:
		return ports.Record{}, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
	case record.Seq != seq || record.Event.ChatID() != chat:
		return ports.Record{}, &ports.CorruptError{
			Chat: chat, Seq: seq, Cause: fmt.Errorf("the entry is that of seq %d of chat %q", record.Seq, record.Event.ChatID()),
		}
	}
	return record, nil
}

func seqOf(v any) domain.Seq {
	n, _ := v.(int64)
	return domain.Seq(n) //nolint:gosec // seqs are not negative
}

// Count implements [ports.MessageCounter] in one round trip, whatever the chat's length.
func (l *Log) Count(ctx context.Context, chat domain.ChatID, after domain.Seq) (ports.MessageCount, error) {
	if err := ctx.Err(); err != nil {
		return ports.MessageCount{}, err
	}
	var head, at *goredis.StringCmd
	var deleted *goredis.IntCmd
	_, err := l.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		head = p.HGet(ctx, l.keys.chat(chat, "x"), "#")
		if after > 0 {
			segment := strconv.FormatUint(uint64(after-1)/segmentSize, 10)
			at = p.LIndex(ctx, l.keys.chat(chat, segment), int64(uint64(after-1)%segmentSize)) //nolint:gosec // below segmentSize
		}
		deleted = p.ZCount(ctx, l.keys.chat(chat, "d"), "("+strconv.FormatUint(uint64(after), 10), "+inf")
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return ports.MessageCount{}, unavailable(ctx, err)
	}
	_, ordinal, _ := strings.Cut(head.Val(), ":")
	last, _ := strconv.ParseUint(ordinal, 10, 64)
	count := ports.MessageCount{Head: domain.Ordinal(last), Deleted: domain.Ordinal(deleted.Val())} //nolint:gosec // not negative
	switch {
	case after == 0:
	case at.Err() != nil: // beyond the last event
		count.At = count.Head
	default:
		record, err := l.decode(chat, after, at.Val())
		if err != nil {
			return ports.MessageCount{}, err
		}
		count.At = record.Ordinal
	}
	return count, nil
}

// Members implements [ports.EventLog] by scanning the chat's members, in steps that each look at some hundreds.
func (l *Log) Members(ctx context.Context, chat domain.ChatID) iter.Seq2[domain.UserID, error] {
	return func(yield func(domain.UserID, error) bool) {
		seen := make(map[domain.UserID]struct{}) // a scan may give a field twice
		step := func(cursor uint64) ([]string, uint64, error) {
			fields, next, err := l.client.HScan(ctx, l.keys.chat(chat, "u"), cursor, "", scanCount).Result()
			users := fields[:0] // every other one is a value
			for i := 0; i < len(fields); i += 2 {
				users = append(users, fields[i])
			}
			return users, next, err
		}
		for user, err := range scan(ctx, step) {
			id := domain.UserID(user)
			if _, twice := seen[id]; twice && err == nil {
				continue
			}
			seen[id] = struct{}{}
			if !yield(id, err) {
				return
			}
		}
	}
}

// Chats implements [ports.ChatIndex] by scanning each partition's set.
func (l *Log) Chats(ctx context.Context) iter.Seq2[domain.ChatID, error] {
	return func(yield func(domain.ChatID, error) bool) {
		for p := range l.keys.tags {
			step := func(cursor uint64) ([]string, uint64, error) {
				return l.client.SScan(ctx, l.keys.chats(p), cursor, "", scanCount).Result()
			}
			for chat, err := range scan(ctx, step) {
				if !yield(domain.ChatID(chat), err) {
					return
				}
			}
		}
	}
}

func scan(ctx context.Context, step func(cursor uint64) ([]string, uint64, error)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			var names []string
			err := ctx.Err()
			if err == nil {
				names, cursor, err = step(cursor)
				err = unavailable(ctx, err)
			}
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}
