package redis

import (
	"context"
	"errors"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// pages are where Repair goes on.
type pages struct {
	online uint64 // in the set of who is online
	shard  int    // in which due index
	due    uint64 // where in it
}

// Repair implements [ports.PresenceSweep]. On a single server it goes through who is online: those of whom nothing is known were put
// there by another program, and stay. On a Cluster it goes through those whom a core has put there, and through the due indexes for
// those who are missing. It reads first, which costs a twentieth of a step, and takes a step only for those of whom something is wrong.
func (p *Presence) Repair(ctx context.Context, limit int) ([]domain.UserStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	members, err := p.nextOnline(ctx, limit)
	if err != nil {
		return nil, err
	}
	users := make([]domain.UserID, 0, len(members))
	for _, member := range members {
		if user, err := domain.ParseUserID(member); err == nil {
			users = append(users, user)
		}
	}
	if p.keys.cluster {
		indexed, err := p.nextIndexed(ctx, limit)
		if err != nil {
			return nil, err
		}
		users = append(users, indexed...)
	}
	if users = p.suspects(ctx, users); len(users) == 0 {
		return nil, ctx.Err()
	}
	return p.sweep(ctx, users)
}

func (p *Presence) nextOnline(ctx context.Context, limit int) (members []string, err error) {
	set := p.keys.online()
	if p.keys.cluster {
		set = p.keys.added()
	}
	members, next, err := p.client.SScan(ctx, set, p.pages.online, "", int64(limit)).Result()
	if err != nil {
		return nil, p.alignment(ctx, err)
	}
	p.pages.online = next
	return members, nil
}

func (p *Presence) nextIndexed(ctx context.Context, limit int) ([]domain.UserID, error) {
	shard := p.pages.shard
	scored, next, err := p.client.ZScan(ctx, p.keys.due(shard), p.pages.due, "", int64(limit)).Result()
	if err != nil {
		p.pages.shard = (shard + 1) % p.keys.shards() // the others need not wait
		p.pages.due = 0
		if answered(err) && hasCode(err, "WRONGTYPE") {
			return nil, &ports.ForeignValueError{Key: p.keys.due(shard), Holds: "no sorted set", For: "when heartbeats end"}
		}
		return nil, unavailable(ctx, err)
	}
	if p.pages.due = next; next == 0 {
		p.pages.shard = (shard + 1) % p.keys.shards()
	}
	members := make([]string, 0, len(scored)/2)
	for i := 0; i < len(scored); i += 2 { // a member, its score
		members = append(members, scored[i])
	}
	return p.valid(ctx, shard, members)
}

// suspects are the users of whom the record, the due index and who is online do not agree, or cannot be read. Reading takes one round trip. It is a
// hint only, as they may change meanwhile: what is right is for a step to say.
func (p *Presence) suspects(ctx context.Context, users []domain.UserID) (suspects []domain.UserID) {
	if len(users) == 0 {
		return nil
	}
	pipe := p.client.Pipeline()
	told, due := make([]*goredis.StringCmd, len(users)), make([]*goredis.FloatCmd, len(users))
	members := make([]any, len(users))
	for i, user := range users {
		told[i], due[i] = pipe.HGet(ctx, p.keys.record(user), " told"), pipe.ZScore(ctx, p.keys.due(p.keys.shard(user)), string(user))
		members[i] = string(user)
	}
	sets := []*goredis.BoolSliceCmd{pipe.SMIsMember(ctx, p.keys.online(), members...)}
	if p.keys.cluster {
		sets = append(sets, pipe.SMIsMember(ctx, p.keys.added(), members...))
	}
	_, _ = pipe.Exec(ctx) // each reply has its own error
	for i, user := range users {
		online, known := there(told[i])
		indexed := due[i].Err() == nil
		agree := known && (online == indexed || !online) && !unreadable(due[i])
		for _, set := range sets {
			agree = agree && set.Err() == nil && set.Val()[i] == online
		}
		if !p.keys.cluster && errors.Is(told[i].Err(), goredis.Nil) && errors.Is(due[i].Err(), goredis.Nil) {
			agree = true // nothing is known: another program's
		}
		if !agree {
			suspects = append(suspects, user)
		}
	}
	return suspects
}

// there reports whether a record says that its user is there and not hidden, and whether it says anything.
func there(told *goredis.StringCmd) (online, known bool) {
	n, err := strconv.Atoi(told.Val())
	return n != int(domain.Offline), err == nil
}

func unreadable(cmd goredis.Cmder) bool {
	return cmd.Err() != nil && !errors.Is(cmd.Err(), goredis.Nil)
}
