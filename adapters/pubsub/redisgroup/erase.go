package redisgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
)

// searchTogether is the number of entries that one call of the script searches.
const searchTogether = 500

// EraseEntries removes the entries of erased events of a chat from the stream of its partition, with all entries before them. Groups that have not passed
// these read them from the log: without the erased content. It reports false if the entries have to wait until every group has passed them, because other
// programs add entries to the stream, which no log has. It takes one round trip for each 500 entries that are newer than the erased ones. If at most 500 entries are
// left, Redis has no byte of the removed ones afterwards; otherwise they go with the next 100 entries that are trimmed, see [Groups.HidesEntries].
func (g *Groups) EraseEntries(ctx context.Context, partition int, chat domain.ChatID, seqs []domain.Seq) (done bool, err error) {
	at := slices.IndexFunc(g.partitions, func(p Partition) bool { return p.Number == partition })
	if at < 0 || partition < 0 {
		return false, &domain.InvalidError{Field: "partition", Problem: fmt.Sprintf("is %d", partition), Allowed: "one of the log's"}
	}
	if len(seqs) == 0 {
		return true, nil
	}
	p := g.partitions[at]
	keys := p.group("")
	shared := ""
	if len(g.partitions) == 1 {
		shared = "1"
	}
	args := []any{nil, p.Base + "g:state:", shared, "", searchTogether, string(chat)}
	seqs = slices.Sorted(slices.Values(seqs))
	for _, seq := range seqs {
		args = append(args, uint64(seq))
	}
	s := g.store("")
	for status := int64(2); status == 2; {
		err = s.guarded(ctx, p.bare(), func(log string) (int64, error) {
			args[0] = log
			reply, err := g.scripts.erase.Run(ctx, g.commands, []string{keys.id, p.Stream, keys.groups, p.Base + "g:erase", p.hiding()}, args...).Slice()
			if err != nil {
				return 0, rediscmd.Unavailable(ctx, err)
			}
			if status, _ = reply[0].(int64); status == 2 {
				args[3] = reply[1]
			}
			return min(status, 0), nil
		})
		if err != nil {
			return false, err
		}
		done = status != 3
	}
	return done, nil
}

// HasEntries reports whether the stream of a chat's partition has an entry of one of the events. It reads the whole stream, a page at a time.
func (g *Groups) HasEntries(ctx context.Context, partition int, chat domain.ChatID, seqs []domain.Seq) (bool, error) {
	at := slices.IndexFunc(g.partitions, func(p Partition) bool { return p.Number == partition })
	if at < 0 {
		return false, nil
	}
	wanted := make(map[domain.Seq]struct{}, len(seqs))
	for _, seq := range seqs {
		wanted[seq] = struct{}{}
	}
	for from := "-"; ; {
		entries, err := g.commands.XRangeN(ctx, g.partitions[at].Stream, from, "+", searchTogether).Result()
		if err != nil {
			return false, rediscmd.Unavailable(ctx, err)
		}
		for _, entry := range entries {
			l := parseLetter(entry.Values)
			if _, is := wanted[l.Seq]; is && l.Chat == string(chat) {
				return true, nil
			}
		}
		if len(entries) < searchTogether {
			return false, nil
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

// HidesEntries reports whether the memory of Redis may have bytes of erased entries that the stream of a partition no longer returns. They go with the next 100
// entries that are trimmed. One round trip.
func (g *Groups) HidesEntries(ctx context.Context, partition int) (bool, error) {
	at := slices.IndexFunc(g.partitions, func(p Partition) bool { return p.Number == partition })
	if at < 0 {
		return false, nil
	}
	p := g.partitions[at]
	var hiding *goredis.StringCmd
	var first *goredis.XMessageSliceCmd
	_, err := g.commands.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		hiding, first = pipe.Get(ctx, p.hiding()), pipe.XRangeN(ctx, p.Stream, "-", "+", 1)
		return nil
	})
	if errors.Is(err, goredis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, rediscmd.Unavailable(ctx, err)
	}
	entries := first.Val()
	return len(entries) > 0 && entries[0].ID == hiding.Val(), nil
}

// hiding returns the key of the first entry behind bytes of erased ones.
func (p Partition) hiding() string { return p.Base + "g:hiding" }
