package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.VaultNotes = (*Log)(nil)

// historyNote is the field of the noted history. No chat has it as its id.
const historyNote = ""

// ArchivedHistory implements [ports.VaultNotes] in one round trip.
func (l *Log) ArchivedHistory(ctx context.Context, partition int) (string, error) {
	history, err := l.client.HGet(ctx, l.keys.Vault(partition), historyNote).Result()
	if errors.Is(err, goredis.Nil) {
		return "", nil
	}
	return history, rediscmd.ReadError(ctx, "", err)
}

// CheckHistory implements [ports.VaultNotes] in one round trip.
func (l *Log) CheckHistory(ctx context.Context, partition int, history string) error {
	return l.note(ctx, partition, history, historyNote, "", "", "", 0)
}

// NoteHistory implements [ports.VaultNotes] in one round trip.
func (l *Log) NoteHistory(ctx context.Context, partition int, history string) error {
	return l.note(ctx, partition, history, historyNote, "", history, "", 0)
}

// SealedSegments implements [ports.VaultNotes] in one round trip.
func (l *Log) SealedSegments(ctx context.Context, partition int, chats []domain.ChatID) ([]uint64, error) {
	if len(chats) == 0 {
		return nil, ctx.Err()
	}
	fields, sealed := make([]string, len(chats)), make([]uint64, len(chats))
	for i, chat := range chats {
		fields[i] = string(chat)
	}
	values, err := l.client.HMGet(ctx, l.keys.Vault(partition), fields...).Result()
	if err != nil {
		return nil, rediscmd.ReadError(ctx, "", err)
	}
	for i, value := range values {
		if text, noted := value.(string); noted {
			if sealed[i], err = l.parseSealed(partition, text); err != nil {
				return nil, err
			}
		}
	}
	return sealed, nil
}

// parseSealed parses a number of sealed segments.
func (l *Log) parseSealed(partition int, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &ports.CorruptError{Key: l.keys.Vault(partition), Cause: fmt.Errorf("it has a number of sealed segments that is %.40q", text)}
	}
	return n, nil
}

// NoteSealed implements [ports.VaultNotes] in one round trip.
func (l *Log) NoteSealed(ctx context.Context, partition int, history string, chat domain.ChatID, from, to uint64) error {
	return l.note(ctx, partition, history, string(chat), strconv.FormatUint(from, 10), strconv.FormatUint(to, 10), keyspace.Escape(string(chat)), to*segmentEvents)
}

// segmentEvents is the number of events of a segment, as the scripts have it.
const segmentEvents = 1024

// CountSealed implements [ports.VaultNotes] in a round trip for each thousand chats with sealed segments.
func (l *Log) CountSealed(ctx context.Context, partition int) (total uint64, err error) {
	seen := make(map[string]struct{})
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var pairs []string
		if pairs, cursor, err = l.client.HScan(ctx, l.keys.Vault(partition), cursor, "", rediscmd.ScanCount).Result(); err != nil {
			return 0, rediscmd.ReadError(ctx, "", err)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if _, twice := seen[pairs[i]]; twice || pairs[i] == historyNote {
				continue
			}
			seen[pairs[i]] = struct{}{}
			n, err := l.parseSealed(partition, pairs[i+1])
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// note changes a note if the log is at a history.
func (l *Log) note(ctx context.Context, partition int, history, name, from, to, chat string, least uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	replication, ok := l.replicationOf(partition, history)
	if !ok {
		return fmt.Errorf("%w: the log is no longer at history %s", ports.ErrConflict, history)
	}
	reply, err := l.guarded(ctx, partition, func(held *field) ([]any, error) {
		noted, err := l.run(ctx, l.scripts.vaultNote, partition, []string{l.keys.Vault(partition)}, held, replication, name, from, to, chat, least).Int64()
		return []any{noted}, err
	})
	if err != nil {
		return err
	}
	if noted, _ := reply[0].(int64); noted != 1 {
		return fmt.Errorf("%w: a note of the vault is not what was expected, or the log is no longer at history %s", ports.ErrConflict, history)
	}
	return nil
}

// replicationOf returns the replication ID of a partition's server at a history. It returns false if that is not the present one.
func (l *Log) replicationOf(partition int, history string) (string, bool) {
	l.observing.Lock()
	defer l.observing.Unlock()
	return string(l.queueOf(partition).history.Load().bytes), *l.historyName.name.Load() == history
}
