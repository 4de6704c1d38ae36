package eventlog

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// partition checks the chats of a partition, their count, and the delivery stream.
func (f *fsck) partition(ctx context.Context, p int) error {
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var chats []string
		err := f.step(ctx, func() (err error) {
			chats, cursor, err = f.client.SScan(ctx, f.keys.Chats(p), cursor, "", fsckPage).Result()
			return err
		})
		if err != nil {
			return err
		}
		for _, chat := range chats {
			if err := f.chat(ctx, domain.ChatID(chat)); err != nil {
				return err
			}
		}
	}
	if err := f.counted(ctx, p); err != nil {
		return err
	}
	return f.phantoms(ctx, p)
}

// counted compares the number of chats of a partition with the stored count.
func (f *fsck) counted(ctx context.Context, p int) error {
	n, err := f.countChats(ctx, p)
	if !isCorrupt(err) {
		return err
	}
	return f.found(ctx, ports.Contradiction{
		Kind: "chat_count", Key: f.keys.Count(p), What: err.Error(), Repair: fmt.Sprintf("the count becomes %d", n),
	}, func() (bool, error) { return f.script(ctx, f.list, p, "", "1") })
}

// listed checks that a chat with a head or a first segment is in its partition's set.
func (f *fsck) listed(ctx context.Context, p int, chat domain.ChatID) error {
	var listed *goredis.BoolCmd
	var exists *goredis.IntCmd
	err := f.pipelined(ctx, func(pipe goredis.Pipeliner) {
		exists = pipe.Exists(ctx, f.keys.Chat(chat, "0"), f.keys.Chat(chat, "x"))
		listed = pipe.SIsMember(ctx, f.keys.Chats(p), string(chat))
	})
	if err != nil || listed.Val() || exists.Val() == 0 {
		return err
	}
	return f.found(ctx, ports.Contradiction{
		Kind: "chat_unlisted", Chat: chat, Key: f.keys.Chats(p), What: "the chat has a log and is not among the partition's chats", Repair: "it is added to them",
	}, func() (bool, error) { return f.script(ctx, f.list, p, string(chat), "") })
}

// unlisted scans all keys for chats that are missing from their partition's set, and for segments beyond the end of their chat.
func (f *fsck) unlisted(ctx context.Context) error {
	pattern := rediscmd.EscapePattern(f.keys.Prefix()) + "cc:{*}:*:*"
	scan := func(ctx context.Context, node goredis.Cmdable) error {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			var keys []string
			err := f.step(ctx, func() (err error) {
				keys, cursor, err = node.Scan(ctx, cursor, pattern, fsckPage).Result()
				return err
			})
			if err != nil {
				return err
			}
			seen := make(map[domain.ChatID]struct{})
			for _, key := range keys {
				chat, p, part, ok := f.ofChat(key)
				if !ok {
					continue
				}
				if _, twice := seen[chat]; !twice {
					seen[chat] = struct{}{}
					if err := f.listed(ctx, p, chat); err != nil {
						return err
					}
				}
				if err := f.stray(ctx, chat, key, part); err != nil {
					return err
				}
			}
		}
		return nil
	}
	nodes, err := rediscmd.Masters(ctx, f.client)
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	for _, node := range nodes {
		if err := scan(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// ofChat parses the key of a chat's index, members, tombstones, snapshots or segment.
func (f *fsck) ofChat(key string) (chat domain.ChatID, partition int, part string, ok bool) {
	rest, ours := strings.CutPrefix(key, f.keys.Prefix()+"cc:{")
	tag, rest, closed := strings.Cut(rest, "}:")
	escaped, part, two := strings.Cut(rest, ":")
	if !ours || !closed || !two {
		return "", 0, "", false
	}
	_, numberErr := strconv.ParseUint(part, 10, 32)
	if numberErr != nil && part != "x" && part != "u" && part != "d" && part != "s" || escaped == "fence" && numberErr == nil {
		return "", 0, "", false
	}
	name, err := url.PathUnescape(escaped)
	chat = domain.ChatID(name)
	if err != nil || keyspace.Escape(name) != escaped || f.keys.Tag(f.keys.Partition(chat)) != tag {
		return "", 0, "", false
	}
	return chat, f.keys.Partition(chat), part, true
}

// stray reports a segment that is beyond the one after a chat's last.
func (f *fsck) stray(ctx context.Context, chat domain.ChatID, key, part string) error {
	segment, err := strconv.ParseUint(part, 10, 32)
	if err != nil || segment == 0 {
		return nil //nolint:nilerr // not a segment
	}
	var head *goredis.StringCmd
	if err := f.pipelined(ctx, func(p goredis.Pipeliner) { head = p.HGet(ctx, f.keys.Chat(chat, "x"), headField) }); err != nil {
		return err
	}
	found, err := parseHead(head.Val())
	if err != nil || uint64(found.last-1)/segmentSize+1 >= segment { // a missing head and an interrupted append are other contradictions
		return nil
	}
	return f.found(ctx, ports.Contradiction{
		Kind: "segment", Chat: chat, Key: key, What: fmt.Sprintf("the segment is beyond the chat's end, seq %d", found.last),
		Lost: "its events are not read; the segments in between are missing, or an older index was restored",
	}, nil)
}

// phantoms scans a delivery stream for entries whose events are missing from the log or differ from it.
func (f *fsck) phantoms(ctx context.Context, p int) error {
	for from := "-"; ; {
		var entries []goredis.XMessage
		err := f.step(ctx, func() (err error) {
			entries, err = f.client.XRangeN(ctx, f.keys.Stream(p), from, "+", fsckPage).Result()
			return err
		})
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := f.phantomsOf(ctx, p, entries); err != nil {
			return err
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

// entryOf returns the chat and the seq of a stream entry. It returns false for entries of other programs.
func (f *fsck) entryOf(p int, m goredis.XMessage) (chat domain.ChatID, seq domain.Seq, ok bool) {
	name, _ := m.Values[wireformat.FieldChat].(string)
	number, _ := m.Values[wireformat.FieldSeq].(string)
	n, err := strconv.ParseUint(number, 10, 64)
	chat = domain.ChatID(name)
	return chat, domain.Seq(n), err == nil && n > 0 && name != "" && f.keys.Partition(chat) == p
}

// compactOf returns the compact form of a payload, with its ordinal, or "" if it has none.
func (f *fsck) compactOf(payload string) string {
	r, err := f.codec.Decode([]byte(payload))
	if err != nil {
		return ""
	}
	compact, ok := f.codec.AppendCompact(nil, r.ID, r.Event, r.Meta)
	if !ok {
		return ""
	}
	return wireformat.StoredCompact(compact, r.Ordinal)
}

func (f *fsck) phantomsOf(ctx context.Context, p int, entries []goredis.XMessage) error {
	heads, events := make([]*goredis.StringCmd, len(entries)), make([]*goredis.StringCmd, len(entries))
	err := f.pipelined(ctx, func(pipe goredis.Pipeliner) {
		for i, m := range entries {
			if chat, seq, ok := f.entryOf(p, m); ok {
				segment := strconv.FormatUint(uint64(seq-1)/segmentSize, 10)
				heads[i] = pipe.HGet(ctx, f.keys.Chat(chat, "x"), headField)
				events[i] = pipe.LIndex(ctx, f.keys.Chat(chat, segment), int64(uint64(seq-1)%segmentSize)) //nolint:gosec // below segmentSize
			}
		}
	})
	if err != nil && !isCorrupt(err) {
		return err
	}
	for i, m := range entries {
		chat, seq, ok := f.entryOf(p, m)
		if !ok {
			continue
		}
		head, err := parseHead(heads[i].Val())
		event, payload := events[i].Val(), rediscmd.Text(m.Values[wireformat.FieldPayload])
		what := ""
		switch {
		case err != nil: // a missing head is another contradiction
		case seq > head.last:
			what = fmt.Sprintf("it is of seq %d, and the chat ends with %d", seq, head.last)
		case event != "":
			if json, err := jsonIn(chat, seq, event); err != nil || string(json) != payload {
				what = fmt.Sprintf("the log has another event at seq %d", seq)
			}
		}
		if what == "" {
			continue
		}
		err = f.found(ctx, ports.Contradiction{
			Kind: "phantom", Chat: chat, Seq: seq, Key: f.keys.Stream(p), What: "entry " + m.ID + ": " + what, Repair: "it is removed from the stream",
		}, func() (bool, error) {
			return f.script(ctx, f.stream, p, keyspace.Escape(string(chat)), uint64(seq-1)/segmentSize, uint64(seq-1)%segmentSize, uint64(seq), m.ID, payload, f.compactOf(payload))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
