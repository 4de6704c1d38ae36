package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
)

// knowledge is what presence_ends.lua says of a user.
type knowledge struct {
	state int64
	end   time.Time // of the last heartbeat; zero if there is none
}

// The states of presence_ends.lua that mean that a user is not online, whatever is stored elsewhere.
const (
	stateEnded   = 2
	stateOffline = 3
)

// apply corrects a stored status: a user whose last heartbeat has ended is offline though nobody has published it yet. The last heartbeat
// is a sign of life that the stored status may lack.
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
	places []int // of its users in the question
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

// known returns what is known of the users' heartbeats, in their order and in one round trip, which carries what beside queues too. The caller looks at
// the errors of those commands itself.
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

// gone reports for each user whether it is known not to be online or to be hidden, whatever the set of who is online says. On a Cluster this
// includes users of whom a core put them there and nothing else is known any more: the set is another slot's, and may have been left behind.
func (p *Presence) gone(ctx context.Context, users []domain.UserID, beside func(goredis.Pipeliner)) ([]bool, error) {
	var added *goredis.BoolSliceCmd
	known, err := p.known(ctx, users, func(pipe goredis.Pipeliner) {
		if p.keys.cluster && len(users) > 0 {
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
