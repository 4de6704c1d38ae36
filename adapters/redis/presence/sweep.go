package presence

import (
	"context"
	"errors"
	"time"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// AcquireLease implements [ports.PresenceSweep] with a key that expires.
func (p *Store) AcquireLease(ctx context.Context, lease time.Duration) (bool, error) {
	leads, err := p.lead.Run(ctx, p.client, []string{p.keys.Sweeper()}, p.token, lease.Milliseconds()).Int()
	if err != nil && rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
		return false, &ports.ForeignValueError{Key: p.keys.Sweeper(), Holds: "no string", For: "a lease"}
	}
	return leads == 1, rediscmd.Unavailable(ctx, err)
}

// Expire implements [ports.PresenceSweep] in two round trips: it reads the due users of every shard and then makes a step for each of them. A shard
// that does not answer does not block the others.
func (p *Store) Expire(ctx context.Context, limit int) (published []domain.UserStatus, more bool, err error) {
	found, more, err := p.dueUsers(ctx, max(1, limit/p.keys.Shards()))
	if len(found) == 0 {
		return nil, false, err
	}
	published, failed := p.sweep(ctx, found)
	return published, more, errors.Join(err, failed)
}

// dueUsers returns at most limit due users of each shard. more is true if a shard has reached limit. With an error, the users are those of the shards
// that answered.
func (p *Store) dueUsers(ctx context.Context, limit int) (users []domain.UserID, more bool, err error) {
	calls := make([]rediscmd.Call, p.keys.Shards())
	for shard := range calls {
		calls[shard] = rediscmd.Call{Keys: []string{p.keys.Due(shard)}, Args: []any{p.ttl.Heartbeat.Milliseconds(), limit}}
	}
	var errs []error
	for shard, cmd := range rediscmd.RunEach(ctx, p.client, p.due, calls, nil) {
		members, err := cmd.StringSlice()
		switch {
		case err == nil:
			var valid []domain.UserID
			more = more || len(members) >= limit
			valid, err = p.valid(ctx, shard, members)
			users = append(users, valid...)
		case rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE"):
			err = &ports.ForeignValueError{Key: p.keys.Due(shard), Holds: "no sorted set", For: "the index of heartbeats"}
		default:
			err = rediscmd.Unavailable(ctx, err)
		}
		if err != nil && len(errs) < maxTroubles {
			errs = append(errs, err)
		}
	}
	return users, more, errors.Join(errs...)
}

// valid returns the members of a due index that are users of its shard, and removes others, which another program added.
func (p *Store) valid(ctx context.Context, shard int, members []string) ([]domain.UserID, error) {
	users := make([]domain.UserID, 0, len(members))
	var foreign []any
	for _, member := range members {
		if user, err := domain.ParseUserID(member); err == nil && p.keys.Shard(user) == shard {
			users = append(users, user)
		} else {
			foreign = append(foreign, member)
		}
	}
	if len(foreign) == 0 {
		return users, nil
	}
	return users, rediscmd.Unavailable(ctx, p.client.ZRem(ctx, p.keys.Due(shard), foreign...).Err())
}

// sweep expires the users' heartbeats, and on a Cluster aligns the set of online users.
func (p *Store) sweep(ctx context.Context, users []domain.UserID) ([]domain.UserStatus, error) {
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
