package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// AcquireLease implements [ports.PresenceSweep] with a key that expires.
func (p *Presence) AcquireLease(ctx context.Context, lease time.Duration) (bool, error) {
	leads, err := p.lead.Run(ctx, p.client, []string{p.keys.sweeper()}, p.token, lease.Milliseconds()).Int()
	if err != nil && answered(err) && hasCode(err, "WRONGTYPE") {
		return false, &ports.ForeignValueError{Key: p.keys.sweeper(), Holds: "no string", For: "a lease"}
	}
	return leads == 1, unavailable(ctx, err)
}

// Expire implements [ports.PresenceSweep] in two round trips: it reads the due users of every shard and then makes a step for each of them. A shard
// that does not answer does not block the others.
func (p *Presence) Expire(ctx context.Context, limit int) (published []domain.UserStatus, more bool, err error) {
	found, more, err := p.dueUsers(ctx, max(1, limit/p.keys.shards()))
	if len(found) == 0 {
		return nil, false, err
	}
	published, failed := p.sweep(ctx, found)
	return published, more, errors.Join(err, failed)
}

// dueUsers returns at most limit due users of each shard. more is true if a shard has reached limit. With an error, the users are those of the shards
// that answered.
func (p *Presence) dueUsers(ctx context.Context, limit int) (users []domain.UserID, more bool, err error) {
	shards := p.keys.shards()
	ask := func(run func(context.Context, goredis.Scripter, []string, ...any) *goredis.Cmd) []*goredis.Cmd {
		cmds := make([]*goredis.Cmd, shards)
		_, _ = p.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
			for shard := range shards {
				cmds[shard] = run(ctx, pipe, []string{p.keys.due(shard)}, p.ttl.Heartbeat.Milliseconds(), limit)
			}
			return nil
		})
		return cmds
	}
	cmds := ask(p.due.EvalSha)
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && answered(err) && hasCode(err, "NOSCRIPT") {
			cmds = ask(p.due.Eval)
			break
		}
	}
	var errs []error
	for shard, cmd := range cmds {
		members, err := cmd.StringSlice()
		switch {
		case err == nil:
			var valid []domain.UserID
			more = more || len(members) >= limit
			valid, err = p.valid(ctx, shard, members)
			users = append(users, valid...)
		case answered(err) && hasCode(err, "WRONGTYPE"):
			err = &ports.ForeignValueError{Key: p.keys.due(shard), Holds: "no sorted set", For: "the index of heartbeats"}
		default:
			err = unavailable(ctx, err)
		}
		if err != nil && len(errs) < maxTroubles {
			errs = append(errs, err)
		}
	}
	return users, more, errors.Join(errs...)
}

// valid returns the members of a due index that are users of its shard, and removes others, which another program added.
func (p *Presence) valid(ctx context.Context, shard int, members []string) ([]domain.UserID, error) {
	users := make([]domain.UserID, 0, len(members))
	var foreign []any
	for _, member := range members {
		if user, err := domain.ParseUserID(member); err == nil && p.keys.shard(user) == shard {
			users = append(users, user)
		} else {
			foreign = append(foreign, member)
		}
	}
	if len(foreign) == 0 {
		return users, nil
	}
	return users, unavailable(ctx, p.client.ZRem(ctx, p.keys.due(shard), foreign...).Err())
}

// sweep expires the users' heartbeats, and on a Cluster aligns the set of online users.
func (p *Presence) sweep(ctx context.Context, users []domain.UserID) ([]domain.UserStatus, error) {
	outcomes, err := p.settle(ctx, users)
	if err != nil {
		return nil, err
	}
	published, err := transitionsOf(outcomes)
	if !p.keys.Cluster() {
		return published, err
	}
	statuses := make(map[domain.UserID]domain.Status, len(users))
	for i, o := range outcomes {
		if o.err == nil {
			statuses[users[i]] = o.status.Status // offline if there is no record: the record is lost
		}
	}
	return published, errors.Join(err, p.align(ctx, statuses))
}
