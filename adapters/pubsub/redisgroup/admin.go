package redisgroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// List returns the state of every group, sorted by name.
func (g *Groups) List(ctx context.Context) ([]groups.State, error) {
	states := make(map[string]*groups.State)
	for _, p := range g.partitions {
		names, err := g.commands.SMembers(ctx, p.group("").groups).Result()
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		for _, name := range names {
			state, found, err := g.partition(ctx, p.of(name))
			if err != nil {
				return nil, err
			}
			if !found { // it was deleted meanwhile
				continue
			}
			if states[name] == nil {
				states[name] = &groups.State{Group: name}
			}
			states[name].Partitions = append(states[name].Partitions, state)
		}
	}
	if err := g.intact(ctx); err != nil { // checked last: without the whole log, the states read before may be incomplete
		return nil, err
	}
	list := make([]groups.State, 0, len(states))
	for _, s := range states {
		var err error
		if s.Members, err = g.members(ctx, s.Group); err != nil {
			return nil, err
		}
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b groups.State) int { return cmp.Compare(a.Group, b.Group) })
	return list, nil
}

// Inspect returns the state of a group on some partitions. It does not count members.
func (g *Groups) Inspect(ctx context.Context, group string, partitions []groups.Partition) (groups.State, error) {
	state, found, s := groups.State{Group: group}, false, g.store(group)
	for _, p := range partitions {
		partition, has, err := g.partition(ctx, s.state(p))
		if err != nil {
			return groups.State{}, err
		}
		state.Partitions, found = append(state.Partitions, partition), found || has
	}
	if !found {
		if err := g.exists(ctx, group); err != nil {
			return groups.State{}, err
		}
	}
	return state, nil
}

// members counts the members of a group whose heartbeats have not expired by Redis's clock.
func (g *Groups) members(ctx context.Context, group string) (n int, err error) {
	var beats *goredis.ZSliceCmd
	var now *goredis.TimeCmd
	_, err = g.commands.Pipelined(ctx, func(p goredis.Pipeliner) error {
		beats, now = p.ZRangeWithScores(ctx, g.partitions[0].group(group).members, 0, -1), p.Time(ctx)
		return nil
	})
	if err != nil {
		return 0, rediscmd.Unavailable(ctx, err)
	}
	for _, beat := range beats.Val() {
		if int64(beat.Score) > now.Val().UnixMilli() {
			n++
		}
	}
	return n, nil
}

// Exists reports whether a group exists: whether a process has run it since it was last deleted. It returns [ports.ErrLogLost] if neither the group nor
// the log exists. One round trip, or two if the group does not exist.
func (g *Groups) Exists(ctx context.Context, group string) (bool, error) {
	pipe := g.commands.Pipeline()
	for _, p := range g.partitions {
		pipe.Exists(ctx, p.group(group).group)
	}
	replies, err := pipe.Exec(ctx)
	if err != nil {
		return false, rediscmd.Unavailable(ctx, err)
	}
	for _, reply := range replies {
		if n, ok := reply.(*goredis.IntCmd); ok && n.Val() > 0 {
			return true, nil
		}
	}
	return false, g.intact(ctx)
}

// exists returns [groups.ErrGroupNotFound] if a group does not exist.
func (g *Groups) exists(ctx context.Context, group string) error {
	exists, err := g.Exists(ctx, group)
	if err != nil || exists {
		return err
	}
	return noGroup(group)
}

func noGroup(group string) error { return fmt.Errorf("%w: %q", groups.ErrGroupNotFound, group) }

// Checkpoint returns the seq of the last event of a chat that a group has finished, 0 if there is none. One round trip.
func (g *Groups) Checkpoint(ctx context.Context, group string, partition int, chat domain.ChatID) (domain.Seq, error) {
	for _, p := range g.partitions {
		if p.Number != partition {
			continue
		}
		text, err := g.commands.HGet(ctx, p.group(group).chats, string(chat)).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return 0, rediscmd.Unavailable(ctx, err)
		}
		return parseSeq(text), nil
	}
	return 0, nil
}

// Delete removes a group with its dead letters. Events that it has not finished are never delivered to it. Its members end with
// [groups.ErrGroupDeleted].
func (g *Groups) Delete(ctx context.Context, group string) error {
	if err := g.exists(ctx, group); err != nil {
		return err
	}
	for _, p := range g.partitions {
		k := p.group(group)
		if _, err := g.commands.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.Unlink(ctx, k.group, k.chats, k.left, k.failing, k.dead, k.again, k.members, k.declined)
			p.SRem(ctx, k.groups, group)
			return nil
		}); err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
	}
	return nil
}

// Rebuild restarts a group with the first event of every chat, and deletes its dead letters. Entries of other programs are not redelivered: they are in no
// log. A partition on which the group was not created yet is left out.
func (g *Groups) Rebuild(ctx context.Context, group string) error {
	if err := g.exists(ctx, group); err != nil {
		return err
	}
	s := g.store(group)
	for _, p := range g.partitions {
		if p.Number < 0 {
			continue
		}
		k := p.group(group)
		err := s.guarded(ctx, p.bare(), func(log string) (int64, error) {
			status, err := g.scripts.rebuild.Run(ctx, g.commands, []string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead}, log).Int64()
			return status, rediscmd.Unavailable(ctx, err)
		})
		if err != nil && !errors.Is(err, groups.ErrGroupDeleted) {
			return err
		}
	}
	return g.exists(ctx, group) // it may have been deleted meanwhile
}
