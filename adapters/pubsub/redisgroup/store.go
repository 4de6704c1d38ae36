package redisgroup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// store is the state of one consumer group in Redis. Each change is one script, which checks the log and the owner's epoch.
type store struct {
	shared *Groups
	group  string
	states map[string]*groupPartition // by stream
	reads  reads
	args   sync.Pool // of *commitArgs
}

var _ groups.Store = (*store)(nil)

// state returns a partition with the group's keys on it. The keys of a stream that is none of the partitions follow from its name.
func (s *store) state(p groups.Partition) *groupPartition {
	if state := s.states[p.Stream]; state != nil {
		return state
	}
	return NewPartition(p.Stream).of(s.group)
}

// parseID parses the id of an entry in a reply or a state of Redis.
func parseID(text string) (groups.StreamID, error) {
	id, err := groups.ParseStreamID(text)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
	}
	return id, nil
}

func parseSeq(text string) domain.Seq {
	n, _ := strconv.ParseUint(text, 10, 64)
	return domain.Seq(n)
}

// Create implements [groups.Store]. One round trip, and with [groups.Start.At] one more for every 1,000 entries that the new group will read: they are
// counted, so that its lag is exact.
func (s *store) Create(ctx context.Context, p groups.Partition, at groups.Start) (fresh bool, err error) {
	k, beginning, before, counted, rest := s.state(p), "", "", "", ""
	switch {
	case at.Beginning:
		beginning = "1"
	case !at.At.IsZero():
		ms := max(at.At.UnixMilli(), 1)
		before = strconv.FormatInt(ms-1, 10)
		if counted, rest, err = s.countFrom(ctx, k, ms); err != nil {
			return false, err
		}
	}
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	err = s.guarded(ctx, p, func(log string) (int64, error) {
		keys := []string{k.id, k.group, k.groups, k.Stream}
		status, err := s.shared.scripts.create.Run(bounded, s.shared.commands, keys, log, s.group, beginning, before, counted, rest).Int64Slice()
		if err != nil {
			return 0, rediscmd.Unavailable(ctx, err)
		}
		fresh = status[0] == 2
		return status[0], nil
	})
	return fresh, err
}

// countFrom counts the entries of a stream from a ms on, unless the group exists. It returns their number, "" if it exists, and the beginning of the range
// that it has not counted.
func (s *store) countFrom(ctx context.Context, k *groupPartition, ms int64) (counted, rest string, err error) {
	const page = 1000
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	exists, err := s.shared.commands.Exists(bounded, k.group).Result()
	if err != nil || exists > 0 {
		return "", "", rediscmd.Unavailable(ctx, err)
	}
	n, rest := 0, strconv.FormatInt(ms, 10)
	for {
		bounded, cancel := s.shared.timely(ctx)
		entries, err := s.shared.commands.XRangeN(bounded, k.Stream, rest, "+", page).Result()
		cancel()
		if err != nil {
			return "", "", rediscmd.Unavailable(ctx, err)
		}
		n += len(entries)
		if len(entries) > 0 {
			rest = "(" + entries[len(entries)-1].ID
		}
		if len(entries) < page {
			return strconv.Itoa(n), rest, nil
		}
	}
}

// Seed implements [groups.Store]. One round trip.
func (s *store) Seed(ctx context.Context, p groups.Partition, checkpoints []groups.Checkpoint, last bool) (more bool, err error) {
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	k, end := s.state(p), ""
	if last {
		end = "1"
	}
	args := make([]any, 2, 2+2*len(checkpoints))
	args[1] = end
	args = appendCheckpoints(args, checkpoints)
	err = s.guarded(ctx, p, func(log string) (int64, error) {
		args[0] = log
		status, err := s.shared.scripts.seedCheckpoints.Run(bounded, s.shared.commands, []string{k.id, k.group, k.chats}, args...).Int64()
		if err != nil {
			return 0, rediscmd.Unavailable(ctx, err)
		}
		more = status == 1 && !last
		return status, nil
	})
	return more, err
}

// Heartbeat implements [groups.Store]. One round trip.
func (s *store) Heartbeat(ctx context.Context, member string, ttl time.Duration, declined []groups.Partition, coolDown time.Duration) (groups.Members, error) {
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	first := s.shared.partitions[0]
	k := first.group(s.group)
	args := []any{member, ttl.Milliseconds(), coolDown.Milliseconds()}
	for _, p := range declined {
		args = append(args, p.Stream)
	}
	reply, err := s.shared.scripts.heartbeat.Run(bounded, s.shared.commands, []string{k.members, k.group, k.declined}, args...).Slice()
	if err != nil {
		return groups.Members{}, rediscmd.Unavailable(ctx, err)
	}
	members := groups.Members{Living: texts(reply[0])}
	if len(members.Living) == 0 && ttl > 0 { // not even this member
		return groups.Members{}, s.missing(ctx, first.bare())
	}
	for _, entry := range texts(reply[1]) {
		member, stream, _ := strings.Cut(entry, " ")
		if members.Declined == nil {
			members.Declined = make(map[string][]string)
		}
		members.Declined[stream] = append(members.Declined[stream], member)
	}
	return members, nil
}

// Release implements [groups.Store]. One round trip.
func (s *store) Release(ctx context.Context, held []groups.Release) error {
	calls := make([]rediscmd.Call, len(held))
	for i, r := range held {
		calls[i] = rediscmd.Call{Keys: []string{s.state(r.Partition).group}, Args: []any{r.Epoch, r.Overlap.Milliseconds()}}
	}
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	for _, reply := range rediscmd.RunEach(bounded, s.shared.commands, s.shared.scripts.release, calls, nil) {
		if err := reply.Err(); err != nil {
			return rediscmd.Unavailable(ctx, err) // the other errors are the same
		}
	}
	return nil
}

// Checkpoints implements [groups.Store]. One round trip.
func (s *store) Checkpoints(ctx context.Context, p groups.Partition, chats []string) ([]domain.Seq, error) {
	if len(chats) == 0 {
		return nil, nil
	}
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	values, err := s.shared.commands.HMGet(bounded, s.state(p).chats, chats...).Result()
	if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	seqs := make([]domain.Seq, len(chats))
	for i, v := range values {
		seqs[i] = parseSeq(rediscmd.Text(v))
	}
	return seqs, nil
}

// Changes implements [groups.Store]. It reads the hashes in pages.
func (s *store) Changes(ctx context.Context, p groups.Partition) (changes groups.Changes, err error) {
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	k := s.state(p)
	walking, err := s.shared.commands.HGet(bounded, k.group, "walk").Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return changes, rediscmd.Unavailable(ctx, err)
	}
	changes.Walk = walking != ""
	if changes.Left, err = hashMap(ctx, s.shared, k.left, parseChatState); err != nil {
		return groups.Changes{}, err
	}
	if changes.Retries, err = hashMap(ctx, s.shared, k.again, parseRetryMark); err != nil {
		return groups.Changes{}, err
	}
	return changes, nil
}

// Letters implements [groups.Store]. One round trip.
func (s *store) Letters(ctx context.Context, p groups.Partition, ids []string) ([]groups.StoredLetter, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	k, replies := s.state(p), make([]*goredis.XMessageSliceCmd, len(ids))
	_, err := s.shared.commands.Pipelined(bounded, func(pipe goredis.Pipeliner) error {
		for i, id := range ids {
			replies[i] = pipe.XRange(bounded, k.dead, id, id)
		}
		return nil
	})
	if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	var found []groups.StoredLetter
	for i, reply := range replies {
		for _, m := range reply.Val() {
			found = append(found, groups.StoredLetter{Letter: parseLetter(m.Values), ID: ids[i]})
		}
	}
	return found, nil
}

// CompareHeads implements [groups.Store]. It returns an empty page for a partition without a log.
func (s *store) CompareHeads(ctx context.Context, p groups.Partition, cursor uint64, count int) (ports.HeadPage, error) {
	if !p.Logged() || s.shared.backlog == nil {
		return ports.HeadPage{}, nil
	}
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	page, err := s.shared.backlog.CompareHeads(bounded, p.Number, s.state(p).chats, cursor, count)
	return page, stepError(ctx, err)
}

// Next implements [groups.Store].
func (s *store) Next(ctx context.Context, p groups.Partition, after groups.StreamID, wait bool) (*groups.Batch, error) {
	return s.shared.reader.next(ctx, &s.reads, p.Stream, after, wait)
}

// Forget implements [groups.Store]. The other groups of the process read the stream anew, too.
func (s *store) Forget(p groups.Partition) { s.shared.reader.drop(p.Stream) }

// Close waits for the store's reads in flight, at most [readBlock] and [readGrace]. Later reads return [ports.ErrClosed].
func (s *store) Close() error {
	s.reads.close()
	return nil
}

// Last implements [groups.Store]. One round trip.
func (s *store) Last(ctx context.Context, p groups.Partition) (groups.StreamID, error) {
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	entries, err := s.shared.commands.XRevRangeN(bounded, p.Stream, "+", "-", 1).Result()
	if err != nil {
		return groups.StreamID{}, rediscmd.Unavailable(ctx, err)
	}
	return firstID(entries)
}

// firstID returns the id of the first entry, or zero if there is none.
func firstID(entries []goredis.XMessage) (groups.StreamID, error) {
	if len(entries) == 0 {
		return groups.StreamID{}, nil
	}
	return parseID(entries[0].ID)
}

// Trimmed implements [groups.Store]. It decides as the script of a commit does. One round trip.
func (s *store) Trimmed(ctx context.Context, p groups.Partition, gone groups.StreamID) (bool, groups.StreamID, error) {
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	var fields *goredis.SliceCmd
	var entries *goredis.XMessageSliceCmd
	_, err := s.shared.commands.TxPipelined(bounded, func(pipe goredis.Pipeliner) error {
		fields, entries = pipe.HMGet(bounded, s.state(p).group, "position", "walk"), pipe.XRangeN(bounded, p.Stream, "-", "+", 1)
		return nil
	})
	if err != nil {
		return false, groups.StreamID{}, rediscmd.Unavailable(ctx, err)
	}
	first, err := firstID(entries.Val())
	if err != nil {
		return false, groups.StreamID{}, err
	}
	state := fields.Val()
	return (state[0] != "0-0" || state[1] != "") && (first.IsZero() || first.Compare(gone) > 0), first, nil
}

// Trim implements [groups.Store]. One round trip.
func (s *store) Trim(ctx context.Context, p groups.Partition, bound int) (overrun []string, err error) {
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	k := s.state(p)
	prefix := strings.TrimSuffix(k.group, s.group)
	err = s.guarded(ctx, p, func(log string) (int64, error) {
		values, err := s.shared.scripts.trim.Run(bounded, s.shared.commands, []string{k.id, p.Stream, k.groups}, log, prefix, bound).Slice()
		if err != nil {
			return 0, rediscmd.Unavailable(ctx, err)
		}
		taken, _ := values[0].(int64)
		overrun = texts(values[1:])
		return min(taken, 0), nil
	})
	if err != nil {
		return nil, err
	}
	return overrun, nil
}
