package eventlog

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/rediscmd"
)

// Probe implements [ports.Prober]. It checks the servers first: it returns [ErrEvicting] like an append, and [ErrFull] if a server has been at its
// memory limit and is not below 95 % of it again. Then it proves all rights, and may return [ErrNoPermission].
func (l *Log) Probe(ctx context.Context) error {
	if err := l.monitor.Look(ctx); err != nil {
		return err
	}
	if err := l.monitor.Refusal(); err != nil {
		return err
	}
	if err := l.monitor.Full(); err != nil {
		return err
	}
	if err := l.rights.Check(ctx, l.client); err != nil {
		return err
	}
	err := l.probe(ctx)
	if errors.Is(err, rediscmd.ErrFull) {
		l.monitor.Refused()
	}
	return err
}

// probe makes a small write in every partition.
func (l *Log) probe(ctx context.Context) error {
	for range rediscmd.Routes {
		again, err := l.probeOnce(ctx)
		if err != nil || !again {
			return err
		}
	}
	return errIdentityMoves
}

// probeOnce probes every partition once. It returns true if the log is at another level than this process had stored and the caller must probe again.
func (l *Log) probeOnce(ctx context.Context) (again bool, err error) {
	probes, held := make([]*goredis.Cmd, l.keys.PartitionCount()), make([]string, l.keys.PartitionCount())
	const lives = time.Minute
	_, err = l.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range probes {
			held[i] = l.Guard(i)
			probes[i] = p.Eval(ctx, probeSource, []string{l.keys.ID(i), l.keys.Confirm(i)}, held[i], lives.Milliseconds())
		}
		return nil
	})
	if err != nil {
		return false, rediscmd.Unavailable(ctx, err)
	}
	for i, probe := range probes {
		taken, err := probe.Int()
		if err != nil {
			return false, rediscmd.Unavailable(ctx, err)
		}
		if taken == 0 {
			again = true
			if err := l.Recheck(ctx, i, held[i]); err != nil {
				return false, err
			}
		}
	}
	return again, nil
}

// Memory returns the memory of the log's servers at the last check, which is at most a second old while they answer. It sends no request.
func (l *Log) Memory() []health.ServerMemory { return l.monitor.Memory() }
