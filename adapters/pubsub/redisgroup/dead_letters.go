package redisgroup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// DeadLettersAfter yields the dead letters after the one of an id, which need not exist any more, partition by partition, each in the order in which they
// were added; "" yields all. It reads none of those before. It yields [domain.ErrInvalid] if the id has not the form of one.
func (g *Groups) DeadLettersAfter(ctx context.Context, group, id string) iter.Seq2[groups.DeadLetter, error] {
	return func(yield func(groups.DeadLetter, error) bool) {
		first, from := 0, "-"
		if id != "" {
			partition, entry, err := g.place(id)
			if err != nil {
				yield(groups.DeadLetter{}, err)
				return
			}
			first, from = partition, "("+entry
		}
		if err := g.exists(ctx, group); err != nil {
			yield(groups.DeadLetter{}, err)
			return
		}
		for partition := first; partition < len(g.partitions); partition++ {
			if !g.partitionLetters(ctx, group, partition, from, yield) {
				return
			}
			from = "-"
		}
	}
}

// partitionLetters yields the dead letters of one partition, beginning with an entry. It reports whether the caller wants more.
func (g *Groups) partitionLetters(ctx context.Context, group string, partition int, from string, yield func(groups.DeadLetter, error) bool) bool {
	const page = 100
	k := g.partitions[partition].group(group)
	for {
		found, err := g.commands.XRangeN(ctx, k.dead, from, "+", page).Result()
		var marks []any
		if err == nil && len(found) > 0 {
			marks, err = g.commands.HMGet(ctx, k.again, entryIDs(found)...).Result()
		}
		if err != nil {
			yield(groups.DeadLetter{}, rediscmd.Unavailable(ctx, err))
			return false
		}
		for i, m := range found {
			mark, _ := marks[i].(string)
			if !yield(openLetter(group, partition, m, mark), nil) {
				return false
			}
		}
		if len(found) < page {
			return true
		}
		from = "(" + found[page-1].ID
	}
}

func entryIDs(entries []goredis.XMessage) []string {
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = entry.ID
	}
	return ids
}

// place returns the index of the partition and the entry that a dead letter's id names.
func (g *Groups) place(id string) (partition int, entry string, err error) {
	first, entry, ok := strings.Cut(id, "/")
	partition, numberErr := strconv.Atoi(first)
	_, entryErr := groups.ParseStreamID(entry)
	if !ok || numberErr != nil || entryErr != nil || partition < 0 || partition >= len(g.partitions) {
		return 0, "", &domain.InvalidError{Field: "letter", Problem: fmt.Sprintf("is %q", id), Allowed: "an id as the list of dead letters gives it, such as 3/1764057600000-0"}
	}
	return partition, entry, nil
}

// DeadLetter returns one dead letter. It returns [groups.ErrDeadLetterNotFound] if the group has none with that id.
func (g *Groups) DeadLetter(ctx context.Context, group, id string) (groups.DeadLetter, error) {
	partition, entry, err := g.place(id)
	if err != nil {
		return groups.DeadLetter{}, err
	}
	k := g.partitions[partition].group(group)
	found, err := g.commands.XRange(ctx, k.dead, entry, entry).Result()
	if err != nil {
		return groups.DeadLetter{}, rediscmd.Unavailable(ctx, err)
	}
	if len(found) == 0 {
		if err := g.exists(ctx, group); err != nil {
			return groups.DeadLetter{}, err
		}
		return groups.DeadLetter{}, noLetter(group, id)
	}
	mark, err := g.commands.HGet(ctx, k.again, entry).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return groups.DeadLetter{}, rediscmd.Unavailable(ctx, err)
	}
	return openLetter(group, partition, found[0], mark), nil
}

// Retry redelivers a dead letter. If its chat is parked, the chat resumes in order, beginning with it. Otherwise the delivery is out of order. It
// remains a dead letter until a handler succeeds, under the same id and with the attempts of both. An unreadable entry of another program
// ([groups.DeadLetter.Entry]) is added to the stream again, for all groups. Retry returns [domain.ErrInvalid] if not all of such an entry was kept.
func (g *Groups) Retry(ctx context.Context, group, id string) error {
	return g.decide(ctx, group, id, "retry")
}

// Drop removes a dead letter. A chat that is parked for it resumes with the event after it.
func (g *Groups) Drop(ctx context.Context, group, id string) error {
	return g.decide(ctx, group, id, "drop")
}

func (g *Groups) decide(ctx context.Context, group, id, decision string) error {
	partition, entry, err := g.place(id)
	if err != nil {
		return err
	}
	k := g.partitions[partition].of(group)
	var status int64
	err = g.store(group).guarded(ctx, k.Partition, func(log string) (_ int64, err error) {
		status, err = g.scripts.resolve.Run(ctx, g.commands, []string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead, k.Stream}, log, entry, decision).Int64()
		return min(status, 0), rediscmd.Unavailable(ctx, err)
	})
	switch {
	case err == nil && status == 0:
		return noLetter(group, id)
	case errors.Is(err, groups.ErrGroupDeleted):
		return noGroup(group)
	case err == nil && status == -5:
		return &domain.InvalidError{Field: "letter", Problem: fmt.Sprintf("%s has no whole entry: it was too large to be kept, or had no field that is known", id), Allowed: "to drop it"}
	}
	return err
}

func noLetter(group, id string) error {
	return fmt.Errorf("%w: %q of group %q", groups.ErrDeadLetterNotFound, id, group)
}
