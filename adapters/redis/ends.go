package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

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

// endsCall is one call of presence_ends.lua. Its users are of one shard.
type endsCall struct {
	keys   []string
	args   []any
	places []int // of its users in the caller's list
}

func (p *Presence) endsCalls(users []domain.UserID) []*endsCall {
	open := make([]*endsCall, p.keys.shards())
	var calls []*endsCall
	for i, user := range users {
		shard := p.keys.shard(user)
		if open[shard] == nil || len(open[shard].places) == endsPage {
			open[shard] = &endsCall{keys: []string{p.keys.due(shard)}}
			calls = append(calls, open[shard])
		}
		call := open[shard]
		call.keys, call.args, call.places = append(call.keys, p.keys.record(user)), append(call.args, string(user)), append(call.places, i)
	}
	return calls
}

// known returns the knowledge about the users in their order. It takes one round trip, which also carries the commands that beside queues. The caller
// must check the errors of those commands.
func (p *Presence) known(ctx context.Context, users []domain.UserID, beside func(goredis.Pipeliner)) ([]knowledge, error) {
	calls := p.endsCalls(users)
	run := func(script func(context.Context, goredis.Scripter, []string, ...any) *goredis.Cmd, beside func(goredis.Pipeliner)) []*goredis.Cmd {
		cmds := make([]*goredis.Cmd, len(calls))
		_, _ = p.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
			for i, call := range calls {
				cmds[i] = script(ctx, pipe, call.keys, call.args...)
			}
			beside(pipe)
			return nil
		})
		return cmds
	}
	cmds := run(p.ends.EvalSha, beside)
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && answered(err) && hasCode(err, "NOSCRIPT") {
			cmds = run(p.ends.Eval, func(goredis.Pipeliner) {})
			break
		}
	}
	known := make([]knowledge, len(users))
	for i, cmd := range cmds {
		reply, err := cmd.Int64Slice()
		if err != nil {
			return nil, unavailable(ctx, err)
		}
		for j, place := range calls[i].places {
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
func (p *Presence) gone(ctx context.Context, users []domain.UserID, beside func(goredis.Pipeliner)) ([]bool, error) {
	var added *goredis.BoolSliceCmd
	known, err := p.known(ctx, users, func(pipe goredis.Pipeliner) {
		if p.keys.Cluster() && len(users) > 0 {
			added = pipe.SMIsMember(ctx, p.keys.added(), members(users)...)
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
