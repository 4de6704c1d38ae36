package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Stored reads the events of a log as they are stored, without opening it: to copy or to compare them. Programs may append meanwhile. It is safe for concurrent
// use.
type Stored struct {
	client goredis.UniversalClient
	keys   keyspace.Log
	found  logIdentity
	record record
}

// FindStored finds the log of a namespace, which may have other partitions and names than keys. It returns a [*domain.InvalidError] if there is no log, and a
// [*ports.LogLevelError] if it is above the levels that this program knows.
func FindStored(ctx context.Context, client goredis.UniversalClient, all keyspace.Keys) (*Stored, error) {
	client = conn.Unwrap(client)
	seen, keys, err := find(ctx, client, all.Log())
	if err != nil {
		return nil, err
	}
	if keys.IsZero() {
		return nil, noLog()
	}
	found, _, err := agreed(seen.values, Level)
	return &Stored{client: client, keys: keys, found: found, record: seen.record}, err
}

// ID returns the id of the log.
func (s *Stored) ID() string { return s.found.id }

// Partitions returns the number of the log's partitions.
func (s *Stored) Partitions() int { return s.keys.PartitionCount() }

// Hash returns the name of the hash that assigns chats to partitions.
func (s *Stored) Hash() string { return keyspace.HashName }

// Ancestors returns the logs that this one continues, the youngest first.
func (s *Stored) Ancestors() ([]Ancestor, error) {
	return parseAncestors(s.keys.Record(), s.record.ancestors)
}

// Check returns [ports.ErrLogLost] if the namespace has another log by now: then what was read is of no use.
func (s *Stored) Check(ctx context.Context) error {
	seen, err := look(ctx, s.client, s.keys)
	if err != nil {
		return err
	}
	if found, _, err := agreed(seen.values, Level); err != nil || found.id != s.found.id {
		return errors.Join(err, fmt.Errorf("%w: log %s was replaced while it was read", ports.ErrLogLost, s.found.id))
	}
	return nil
}

// Chats yields the chats of a partition. It returns a [*ports.CorruptError] if the partition's set has lost some.
func (s *Stored) Chats(ctx context.Context, partition int) iter.Seq2[domain.ChatID, error] {
	return func(yield func(domain.ChatID, error) bool) {
		l := &Log{client: s.client, keys: s.keys}
		if _, err := l.countChats(ctx, partition); err != nil {
			yield("", err)
			return
		}
		step := func(cursor uint64) ([]string, uint64, error) {
			return s.client.SScan(ctx, s.keys.Chats(partition), cursor, "", rediscmd.ScanCount).Result()
		}
		seen := make(map[string]struct{}) // a scan may return a chat twice
		for chat, err := range rediscmd.Scan(ctx, step) {
			if _, twice := seen[chat]; twice {
				continue
			}
			seen[chat] = struct{}{}
			if !yield(domain.ChatID(chat), err) || err != nil {
				return
			}
		}
	}
}

// Head returns the last seq of a chat, 0 if it does not exist.
func (s *Stored) Head(ctx context.Context, chat domain.ChatID) (domain.Seq, error) {
	text, err := s.client.HGet(ctx, s.keys.Chat(chat, "x"), headField).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, rediscmd.ReadError(ctx, chat, err)
	}
	head, err := parseHead(text)
	if err != nil {
		return 0, &ports.CorruptError{Chat: chat, Cause: err}
	}
	return head.last, nil
}

// Chat yields the parts of a chat up to a head. The error of a part that is not complete is a [*ports.CorruptError].
func (s *Stored) Chat(ctx context.Context, chat domain.ChatID, head domain.Seq) iter.Seq2[ports.ChatPart, error] {
	return func(yield func(ports.ChatPart, error) bool) {
		commands, err := s.commands(ctx, chat, head)
		if err != nil {
			yield(ports.ChatPart{}, err)
			return
		}
		for read, err := range s.Events(ctx, chat, head) {
			part := read.ChatPart
			n, _ := slices.BinarySearchFunc(commands, part.First+segmentSize, func(c ports.CopiedCommand, seq domain.Seq) int { return int(c.Last) - int(seq) }) //nolint:gosec // seqs are below 2^53
			part.Commands, commands = commands[:n], commands[n:]
			if !yield(part, err) {
				return
			}
		}
	}
}

// StoredPart is a part of a chat with what its events are.
type StoredPart struct {
	ports.ChatPart

	Records []ports.Record // of the events that are stored in the compact form; the zero record of others
}

// Events yields what Chat does without the commands, in one round trip for each part.
func (s *Stored) Events(ctx context.Context, chat domain.ChatID, head domain.Seq) iter.Seq2[StoredPart, error] {
	return func(yield func(StoredPart, error) bool) {
		for first := domain.Seq(1); first <= head; first += segmentSize {
			if part, err := s.part(ctx, chat, first, min(head, first+segmentSize-1)); !yield(part, err) || err != nil {
				return
			}
		}
	}
}

func (s *Stored) part(ctx context.Context, chat domain.ChatID, first, last domain.Seq) (StoredPart, error) {
	part := StoredPart{ChatPart: ports.ChatPart{First: first}}
	key := s.keys.Chat(chat, strconv.FormatUint(uint64(first-1)/segmentSize, 10))
	entries, err := s.client.LRange(ctx, key, 0, int64(last-first)).Result() //nolint:gosec // below segmentSize
	if err != nil {
		return part, rediscmd.ReadError(ctx, chat, err)
	}
	part.Events, part.Records = make([][]byte, 0, len(entries)), make([]ports.Record, 0, len(entries))
	for i, entry := range entries {
		seq := first + domain.Seq(i) //nolint:gosec // an index
		record, json, err := recordIn(chat, seq, entry)
		if err != nil {
			return part, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
		}
		part.Events, part.Records = append(part.Events, json), append(part.Records, record)
	}
	if n := domain.Seq(len(entries)); n != last-first+1 {
		return part, &ports.CorruptError{Chat: chat, Seq: first + n, Key: key, Cause: fmt.Errorf("the segment has %d entries up to seq %d", n, last)}
	}
	return part, nil
}

// commands returns the commands with events up to a head, ordered by their last seq.
func (s *Stored) commands(ctx context.Context, chat domain.ChatID, head domain.Seq) (commands []ports.CopiedCommand, err error) {
	const page = 1000
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var pairs []string
		if pairs, cursor, err = s.client.HScan(ctx, s.keys.Chat(chat, "x"), cursor, " k*", page).Result(); err != nil {
			return nil, rediscmd.ReadError(ctx, chat, err)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			parts := strings.Split(pairs[i+1], ":")
			if len(parts) != 3 || parts[1] == "0" {
				continue
			}
			last, err1 := strconv.ParseUint(parts[0], 10, 64)
			fingerprint, err2 := strconv.ParseUint(parts[2], 16, 64)
			if err := errors.Join(err1, err2); err != nil {
				return nil, &ports.CorruptError{Chat: chat, Key: s.keys.Chat(chat, "x"), Cause: err}
			}
			if domain.Seq(last) <= head && fingerprint != 0 {
				commands = append(commands, ports.CopiedCommand{Last: domain.Seq(last), Fingerprint: fingerprint})
			}
		}
	}
	slices.SortFunc(commands, func(a, b ports.CopiedCommand) int { return int(a.Last) - int(b.Last) }) //nolint:gosec // seqs are below 2^53
	return slices.CompactFunc(commands, func(a, b ports.CopiedCommand) bool { return a.Last == b.Last }), nil
}
