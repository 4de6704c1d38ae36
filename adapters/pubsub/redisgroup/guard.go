package redisgroup

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// LogGuard identifies the log that the partitions belong to. Scripts that change a group's state compare the identity first.
type LogGuard interface {
	// Guard returns the value that the id key of a partition must have.
	Guard(partition int) string
	// Recheck is called when a partition has another value than held. It returns nil if the present value of Guard is worth a try. Otherwise it
	// returns why the partition must not be used: [ports.ErrLogLost], [ports.ErrNewerLog] or [ports.ErrUnavailable].
	Recheck(ctx context.Context, partition int, held string) error
}

// errGuardMoves is returned for a partition that belongs to another log at each try.
var errGuardMoves = fmt.Errorf("%w: the log's identity changes", ports.ErrUnavailable)

// log returns the id that a partition's scripts check, "" for one without a log.
func (s *store) log(p groups.Partition) string {
	if p.Logged() {
		return s.shared.guard.Guard(p.Number)
	}
	return ""
}

// guarded runs a script on a partition. If the partition does not carry the expected log (status -1), it finds out why, and runs the script again if
// only the log's level has changed. It returns the errors of run unchanged.
func (s *store) guarded(ctx context.Context, p groups.Partition, run func(log string) (status int64, err error)) error {
	for range 2 {
		held := s.log(p)
		status, err := run(held)
		if err != nil {
			return err
		}
		if status != -1 {
			return s.verdict(ctx, p, status)
		}
		if err := s.shared.recheck(ctx, p.Number, held); err != nil {
			return err
		}
	}
	return errGuardMoves
}

// runGuarded runs a script once for each partition, in one round trip. build returns the call for the partition at an index. runGuarded returns the
// replies, and an error for each partition as guarded does. A partition whose log has only changed its level gets [ports.ErrUnavailable] this once:
// callers try again.
func (s *store) runGuarded(ctx context.Context, script *goredis.Script, partitions []groups.Partition, build func(i int, log string) rediscmd.Call) ([][]any, []error) {
	replies, errs := make([][]any, len(partitions)), make([]error, len(partitions))
	calls, held := make([]rediscmd.Call, len(partitions)), make([]string, len(partitions))
	for i, p := range partitions {
		held[i] = s.log(p)
		calls[i] = build(i, held[i])
	}
	bounded, cancel := s.shared.timely(ctx)
	defer cancel()
	for i, reply := range rediscmd.RunEach(bounded, s.shared.commands, script, calls, nil) {
		values, err := reply.Slice()
		if err != nil {
			errs[i] = rediscmd.Unavailable(ctx, err)
			continue
		}
		replies[i] = values
		if status, _ := values[0].(int64); status != -1 {
			errs[i] = s.verdict(ctx, partitions[i], status)
		} else if errs[i] = s.shared.recheck(ctx, partitions[i].Number, held[i]); errs[i] == nil {
			errs[i] = errGuardMoves
		}
	}
	return replies, errs
}

// recheck calls [LogGuard.Recheck].
func (g *Groups) recheck(ctx context.Context, partition int, held string) error {
	bounded, cancel := g.timely(ctx)
	defer cancel()
	return stepError(ctx, g.guard.Recheck(bounded, partition, held))
}

// verdict returns the error of a script's negative status.
func (s *store) verdict(ctx context.Context, p groups.Partition, status int64) error {
	switch status {
	case -2:
		return groups.ErrFenced
	case -3:
		return s.missing(ctx, p)
	case -4:
		return groups.ErrLostWrites
	}
	return nil
}

// missing returns why a group is gone from a partition: it was deleted, or the whole log is lost.
func (s *store) missing(ctx context.Context, p groups.Partition) error {
	if err := s.shared.intact(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q on %s", groups.ErrGroupDeleted, s.group, p.Stream)
}

// intact checks that every partition still carries the log. It ignores those without a log.
func (g *Groups) intact(ctx context.Context) error {
	ids, held := make([]*goredis.StringCmd, len(g.partitions)), make([]string, len(g.partitions))
	bounded, cancel := g.timely(ctx)
	defer cancel()
	_, err := g.commands.Pipelined(bounded, func(pipe goredis.Pipeliner) error {
		for i, p := range g.partitions {
			if p.Number >= 0 {
				held[i], ids[i] = g.guard.Guard(p.Number), pipe.Get(bounded, p.group("").id)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return rediscmd.Unavailable(ctx, err)
	}
	for i, p := range g.partitions {
		if ids[i] != nil && ids[i].Val() != held[i] {
			if err := g.recheck(ctx, p.Number, held[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
