package eventlog

import (
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // Redis has no other digest; it detects changes and is no signature
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	rewriteTogether = 128 // entries of one digest; as in the script
	rewriteTTL      = 10 * time.Minute
)

// RewriteProgress is what a rewrite has done so far.
type RewriteProgress struct {
	Chats     int   // that were examined
	Segments  int   // closed segments of these chats
	Rewritten int   // of these segments
	Changed   int   // segments that another process changed meanwhile, which the next rewrite examines again
	Events    int   // that have the compact form now and had not
	Saved     int64 // bytes of entries
}

// Rewrite stores the events of closed segments in the compact form, while programs use the log. A closed segment is one of the 1,024 events before the
// segment of the head. Events whose JSON the compact form does not give byte for byte stay as they are. Each segment is replaced atomically, unless it has
// changed since it was read. Rewrite pauses after each segment for as long as the segment took. It may be interrupted at any time and started again: it
// reads rewritten segments and does not write them. report is called after each chat; if it returns an error, the rewrite ends.
//
// It returns a [*ports.LogLevelError] if the log is above the levels that this program knows, and a [*domain.InvalidError] if there is no log or it is
// below level 3.
func Rewrite(ctx context.Context, client goredis.UniversalClient, all keyspace.Keys, report func(RewriteProgress) error) (RewriteProgress, error) {
	client = conn.Unwrap(client)
	seen, keys, err := find(ctx, client, all.Log())
	if err != nil {
		return RewriteProgress{}, err
	}
	if keys.IsZero() {
		return RewriteProgress{}, noLog()
	}
	found, level, err := agreed(seen.values, Level)
	if err != nil {
		return RewriteProgress{}, err
	}
	if level < compactLevel {
		return RewriteProgress{}, &domain.InvalidError{Field: "level", Problem: fmt.Sprintf("is %d", level), Allowed: fmt.Sprintf("%d or above: raise the level first", compactLevel)}
	}
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails since Go 1.24
	r := &rewrite{client: client, keys: keys, identity: found.String(), codec: wireformat.New(), name: "rewrite:t" + hex.EncodeToString(random), script: goredis.NewScript(rewriteSource), level: level}
	for p := range keys.PartitionCount() {
		step := func(cursor uint64) ([]string, uint64, error) {
			return client.SScan(ctx, keys.Chats(p), cursor, "", rediscmd.ScanCount).Result()
		}
		for chat, err := range rediscmd.Scan(ctx, step) {
			if err == nil {
				err = r.chat(ctx, p, domain.ChatID(chat))
			}
			if err == nil && report != nil {
				err = report(r.done)
			}
			if err != nil {
				return r.done, err
			}
		}
	}
	return r.done, nil
}

// rewrite is one run of Rewrite.
type rewrite struct {
	client   goredis.UniversalClient
	keys     keyspace.Log
	identity string
	level    int // of the log when the rewrite began
	codec    *wireformat.Codec
	name     string // of the key for the new entries, in each partition
	script   *goredis.Script
	done     RewriteProgress
}

// chat rewrites the closed segments of a chat. A damaged chat is left to fsck.
func (r *rewrite) chat(ctx context.Context, partition int, chat domain.ChatID) error {
	r.done.Chats++
	text, err := r.client.HGet(ctx, r.keys.Chat(chat, "x"), headField).Result()
	if err != nil && !errors.Is(err, goredis.Nil) && !rediscmd.HasCode(err, "WRONGTYPE") {
		return rediscmd.Unavailable(ctx, err)
	}
	head, err := parseHead(text)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for segment := range uint64(head.last-1) / segmentSize {
		began := time.Now()
		if err := r.segment(ctx, partition, chat, segment); err != nil {
			return err
		}
		if err := pause(ctx, began); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for as long as a step took that began at a time, at most 100 ms, so that other clients get half of the server's time. It returns the error
// of ctx if that ends.
func pause(ctx context.Context, began time.Time) error {
	const longest = 100 * time.Millisecond
	timer := time.NewTimer(min(time.Since(began), longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *rewrite) segment(ctx context.Context, partition int, chat domain.ChatID, segment uint64) error {
	r.done.Segments++
	key := r.keys.Chat(chat, fmt.Sprint(segment))
	var digests []any
	var entries []any
	changed, saved := 0, 0
	for from := int64(0); from < segmentSize; from += rewriteTogether {
		stored, err := r.client.LRange(ctx, key, from, from+rewriteTogether-1).Result()
		if err != nil && !rediscmd.HasCode(err, "WRONGTYPE") {
			return rediscmd.Unavailable(ctx, err)
		}
		if len(stored) != rewriteTogether {
			return nil // damaged
		}
		digest := sha1.Sum([]byte(strings.Join(stored, ""))) //nolint:gosec // see the import
		digests = append(digests, hex.EncodeToString(digest[:]))
		for i, entry := range stored {
			compact := compacted(r.codec, r.level, chat, domain.Seq(segment*segmentSize+uint64(from)+uint64(i)+1), entry) //nolint:gosec // indexes
			if compact != entry {
				changed++
				saved += len(entry) - len(compact)
			}
			entries = append(entries, compact)
		}
	}
	if changed == 0 {
		return nil
	}
	replaced, err := r.replace(ctx, partition, chat, segment, entries, digests)
	switch {
	case err != nil:
		return err
	case !replaced:
		r.done.Changed++
	default:
		r.done.Rewritten++
		r.done.Events += changed
		r.done.Saved += int64(saved)
	}
	return nil
}

// replace writes the new entries under another key, which then becomes the segment unless that has changed.
func (r *rewrite) replace(ctx context.Context, partition int, chat domain.ChatID, segment uint64, entries, digests []any) (bool, error) {
	list := r.keys.Key(partition, r.name)
	_, err := r.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		p.Del(ctx, list)
		for from := 0; from < len(entries); from += rewriteTogether {
			p.RPush(ctx, list, entries[from:from+rewriteTogether]...)
		}
		p.Expire(ctx, list, rewriteTTL) // an interrupted rewrite leaves nothing behind
		return nil
	})
	if err != nil {
		return false, rediscmd.Unavailable(ctx, err)
	}
	args := append([]any{r.identity, keyspace.Escape(string(chat)), segment}, digests...)
	n, err := r.script.Run(ctx, r.client, []string{r.keys.ID(partition), list}, args...).Int()
	if err != nil {
		return false, rediscmd.Unavailable(ctx, err)
	}
	if n < 0 {
		return false, fmt.Errorf("%w: the identity of partition %d has changed; start the rewrite again", ports.ErrConflict, partition)
	}
	if n == 0 {
		err = rediscmd.Unavailable(ctx, r.client.Del(ctx, list).Err())
	}
	return n > 0, err
}

// compacted returns an entry of a log at a level with its event in the compact form, or the entry itself if the event has that form, has none at the level, or its
// JSON could not be rebuilt.
func compacted(codec *wireformat.Codec, level int, chat domain.ChatID, seq domain.Seq, entry string) string {
	at := strings.IndexByte(entry, '{')
	if at < 0 || wireformat.IsCompact(entry[at:]) {
		return entry
	}
	record, err := codec.Decode([]byte(entry[at:]))
	if err != nil || record.Event.ChatID() != chat || record.Seq != seq || !compactAt(level, record.Event) {
		return entry
	}
	compact, ok := compactForm(codec, record, entry[at:])
	if !ok {
		return entry
	}
	return entry[:at] + compact
}

// compactForm returns the compact form of an event, if its JSON can be rebuilt from that.
func compactForm(codec *wireformat.Codec, r ports.Record, json string) (string, bool) {
	form, ok := codec.AppendCompact(nil, r.ID, r.Event, r.Meta)
	if !ok {
		return "", false
	}
	compact := wireformat.StoredCompact(form, r.Ordinal)
	rebuilt, err := wireformat.CompactJSON(r.Event.ChatID(), r.Seq, compact)
	return compact, err == nil && string(rebuilt) == json
}
