package rediscmd

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// Call is one call of a script.
type Call struct {
	Keys []string
	Args []any
}

// RunEach runs a script for each call in one round trip, and by its text in a second one for the calls on servers that do not have it. The replies are in
// the order of the calls, each with its own error. beside, unless it is nil, queues further commands in the first round trip.
func RunEach(ctx context.Context, client goredis.UniversalClient, script *goredis.Script, calls []Call, beside func(goredis.Pipeliner)) []*goredis.Cmd {
	replies := make([]*goredis.Cmd, len(calls))
	unknown := 0
	_, _ = client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, c := range calls {
			replies[i] = script.EvalSha(ctx, p, c.Keys, c.Args...)
		}
		if beside != nil {
			beside(p)
		}
		return nil
	})
	for _, reply := range replies {
		if UnknownScript(reply.Err()) {
			unknown++
		}
	}
	if unknown == 0 {
		return replies
	}
	_, _ = client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, c := range calls {
			if UnknownScript(replies[i].Err()) {
				replies[i] = script.Eval(ctx, p, c.Keys, c.Args...)
			}
		}
		return nil
	})
	return replies
}

// UnknownScript reports whether Redis does not have the script of an EVALSHA: it was never sent there, or Redis has restarted since.
func UnknownScript(err error) bool { return err != nil && Answered(err) && HasCode(err, "NOSCRIPT") }
