package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Durability is the number of replicas that must confirm an append before it is acknowledged.
type Durability struct {
	Replicas int           // Defaults to 0: the server's own persistence decides
	Timeout  time.Duration // how long to wait for them. Defaults to 1 s
}

// Waits returns how long a command may wait for replicas.
func (d Durability) Waits() time.Duration {
	if d.Replicas == 0 {
		return 0
	}
	return cmp.Or(max(d.Timeout, 0), time.Second)
}

// process executes a command that writes, and then waits for replicas on the same connection.
func (d Durability) process(ctx context.Context, node *goredis.Client, cmd goredis.Cmder) (confirmed int, err error) {
	var wait *goredis.Cmd
	_, _ = node.Pipelined(ctx, func(p goredis.Pipeliner) error {
		_ = p.Process(ctx, cmd)
		wait = p.Do(ctx, "wait", d.Replicas, d.Timeout.Milliseconds())
		return nil
	})
	if cmd.Err() != nil {
		return 0, cmd.Err()
	}
	confirmed, err = wait.Int()
	if err != nil { // the write was executed; the number of replicas that have it is unknown
		return 0, nil //nolint:nilerr // reported as unconfirmed
	}
	return confirmed, nil
}

// Confirm implements [ports.Confirmer]. WAIT confirms only writes of its own connection. So Confirm writes a small value in the same history:
// replicas receive all writes in order.
func (l *Log) Confirm(ctx context.Context, found ports.LoadRef) error {
	d := l.durability
	if d.Replicas == 0 {
		return nil
	}
	p := l.keys.Partition(found.Chat)
	queue, away := l.queueOf(p), error(nil)
	for range rediscmd.Routes {
		node, err := l.node(ctx, p)
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		history, known := queue.history.Load(), l.witnesses.list[p].known.Load() // before the epoch, as for an append
		if l.epoch != nil && l.epoch() != found.Epoch {
			return fmt.Errorf("%w: %w", ports.ErrConflict, errHistory)
		}
		held := l.held[p].Load()
		cmd := goredis.NewCmd(ctx, "eval", confirmSource, 3, l.keys.ID(p), l.keys.Confirm(p), l.witnesses.list[p].key, held, history, known)
		confirmed, err := d.process(ctx, node, cmd)
		if away = err; l.moved(ctx, err) {
			continue
		}
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		reply, _ := cmd.Text()
		present, other := strings.CutPrefix(reply, "-3 ")
		switch {
		case other:
			queue.observe(present)
		case reply == "-5":
			l.witnesses.outdated()
		case reply == "-1":
			if err := l.Recheck(ctx, p, string(held.bytes)); err != nil {
				return err
			}
			away = errIdentityMoves
			continue
		case confirmed < d.Replicas:
			return &ports.UnconfirmedError{Appended: found.At, Confirmed: confirmed, Wanted: d.Replicas}
		default:
			return nil
		}
	}
	if away != nil {
		return rediscmd.Unavailable(ctx, away)
	}
	return fmt.Errorf("%w: %w", ports.ErrConflict, errHistory)
}
