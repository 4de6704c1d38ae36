package presence

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
)

// knowledge is the reply of presence_ends.lua about a user.
type knowledge struct {
	state int64
	end   time.Time // of the last heartbeat; zero if there is none
}

// The states of presence_ends.lua in which a user is not online, regardless of the stored status.
const (
	stateEnded   = 2
	stateOffline = 3
)

// apply corrects a stored status. A user whose last heartbeat has ended is offline even if that is not yet published. The last heartbeat may be newer
// than the stored time of the last activity.
func (k knowledge) apply(s *domain.UserStatus, life time.Duration) {
	if k.state == stateEnded {
		s.Status = domain.Offline
	}
	if k.end.IsZero() {
		return
	}
	if beat := k.end.Add(-life); beat.After(s.LastSeen) {
		s.LastSeen = beat
	}
}

// endsPage is the number of users in one call of presence_ends.lua, which takes about a millisecond.
const endsPage = 256

// endsCalls returns the calls of presence_ends.lua, of which each has users of one shard, and for each call the places of its users in the list.
func (p *Store) endsCalls(users []domain.UserID) (calls []rediscmd.Call, places [][]int) {
	open := make([]int, p.keys.Shards()) // the call of each shard that takes further users, from 1
	for i, user := range users {
		shard := p.keys.Shard(user)
		if open[shard] == 0 || len(places[open[shard]-1]) == endsPage {
			calls, places = append(calls, rediscmd.Call{Keys: []string{p.keys.Due(shard)}}), append(places, nil)
			open[shard] = len(calls)
		}
		at := open[shard] - 1
		call := &calls[at]
		call.Keys, call.Args, places[at] = append(call.Keys, p.keys.Record(user)), append(call.Args, string(user)), append(places[at], i)
	}
	return calls, places
}

// known returns the knowledge about the users in their order. It takes one round trip, which also carries the commands that beside queues. The caller
// must check the errors of those commands.
func (p *Store) known(ctx context.Context, users []domain.UserID, beside func(goredis.Pipeliner)) ([]knowledge, error) {
	calls, places := p.endsCalls(users)
	cmds := rediscmd.RunEach(ctx, p.client, p.ends, calls, beside)
	known := make([]knowledge, len(users))
	for i, cmd := range cmds {
		reply, err := cmd.Int64Slice()
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		for j, place := range places[i] {
			known[place].state = reply[2*j]
			if end := reply[2*j+1]; end > 0 {
				known[place].end = time.UnixMilli(end).UTC()
			}
		}
	}
	return known, ctx.Err()
}

// gone reports for each user whether it is known to be offline or hidden, regardless of the set of online users. On a Cluster this includes users
// that a core has added to the set but that have no record any more: the set has another slot and may be outdated.
func (p *Store) gone(ctx context.Context, users []domain.UserID, beside func(goredis.Pipeliner)) ([]bool, error) {
	var added *goredis.BoolSliceCmd
	known, err := p.known(ctx, users, func(pipe goredis.Pipeliner) {
		if p.keys.Cluster() && len(users) > 0 {
			added = pipe.SMIsMember(ctx, p.keys.Added(), members(users)...)
		}
		beside(pipe)
	})
	if err != nil {
		return nil, err
	}
	gone := make([]bool, len(users))
	for i := range users {
		gone[i] = known[i].state == stateEnded || known[i].state == stateOffline
	}
	if added == nil {
		return gone, nil
	}
	if err := added.Err(); err != nil {
		return nil, p.alignment(ctx, err)
	}
	for i, ours := range added.Val() {
		gone[i] = gone[i] || ours && known[i] == (knowledge{})
	}
	return gone, nil
}

func members(users []domain.UserID) []any {
	members := make([]any, len(users))
	for i, user := range users {
		members[i] = string(user)
	}
	return members
}
