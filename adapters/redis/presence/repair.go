package presence

import (
	"context"
	"errors"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// pages is the position of Repair.
type pages struct {
	online uint64 // in the set of online users
	shard  int    // number of the due index
	due    uint64 // in that index
}

// Repair implements [ports.PresenceSweep]. On a single server it scans the set of online users. Users without a record were added by another program,
// and remain. On a Cluster it scans the users that a core has added, and the due indexes for users that are missing. It reads first, which costs a
// twentieth of a step, and makes a step only for users with a contradiction.
func (p *Store) Repair(ctx context.Context, limit int) ([]domain.UserStatus, error) {
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
	if p.keys.Cluster() {
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

func (p *Store) nextOnline(ctx context.Context, limit int) (members []string, err error) {
	set := p.keys.Online()
	if p.keys.Cluster() {
		set = p.keys.Added()
	}
	members, next, err := p.client.SScan(ctx, set, p.pages.online, "", int64(limit)).Result()
	if err != nil {
		return nil, p.alignment(ctx, err)
	}
	p.pages.online = next
	return members, nil
}

func (p *Store) nextIndexed(ctx context.Context, limit int) ([]domain.UserID, error) {
	shard := p.pages.shard
	scored, next, err := p.client.ZScan(ctx, p.keys.Due(shard), p.pages.due, "", int64(limit)).Result()
	if err != nil {
		p.pages.shard = (shard + 1) % p.keys.Shards() // the next call scans the next shard
		p.pages.due = 0
		if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
			return nil, &ports.ForeignValueError{Key: p.keys.Due(shard), Holds: "no sorted set", For: "the index of heartbeats"}
		}
		return nil, rediscmd.Unavailable(ctx, err)
	}
	if p.pages.due = next; next == 0 {
		p.pages.shard = (shard + 1) % p.keys.Shards()
	}
	members := make([]string, 0, len(scored)/2)
	for i := 0; i < len(scored); i += 2 { // a member, its score
		members = append(members, scored[i])
	}
	return p.valid(ctx, shard, members)
}

// suspects returns the users whose record, due index and set of online users contradict each other or cannot be read. Reading takes one round trip.
// The result is a hint only, because the values may change meanwhile: a step decides.
func (p *Store) suspects(ctx context.Context, users []domain.UserID) (suspects []domain.UserID) {
	if len(users) == 0 {
		return nil
	}
	pipe := p.client.Pipeline()
	published, due := make([]*goredis.StringCmd, len(users)), make([]*goredis.FloatCmd, len(users))
	members := make([]any, len(users))
	for i, user := range users {
		published[i], due[i] = pipe.HGet(ctx, p.keys.Record(user), " told"), pipe.ZScore(ctx, p.keys.Due(p.keys.Shard(user)), string(user))
		members[i] = string(user)
	}
	sets := []*goredis.BoolSliceCmd{pipe.SMIsMember(ctx, p.keys.Online(), members...)}
	if p.keys.Cluster() {
		sets = append(sets, pipe.SMIsMember(ctx, p.keys.Added(), members...))
	}
	_, _ = pipe.Exec(ctx) // each reply has its own error
	for i, user := range users {
		online, known := isOnline(published[i])
		indexed := due[i].Err() == nil
		agree := known && (online == indexed || !online) && !unreadable(due[i])
		for _, set := range sets {
			agree = agree && set.Err() == nil && set.Val()[i] == online
		}
		if !p.keys.Cluster() && errors.Is(published[i].Err(), goredis.Nil) && errors.Is(due[i].Err(), goredis.Nil) {
			agree = true // no record: the user was added by another program
		}
		if !agree {
			suspects = append(suspects, user)
		}
	}
	return suspects
}

// isOnline reports whether a record says that its user is online and not hidden, and whether it has a valid status.
func isOnline(published *goredis.StringCmd) (online, known bool) {
	n, err := strconv.Atoi(published.Val())
	return n != int(domain.Offline), err == nil
}

func unreadable(cmd goredis.Cmder) bool {
	return cmd.Err() != nil && !errors.Is(cmd.Err(), goredis.Nil)
}
