package redisgroup

import (
	"context"
	"errors"
	"strconv"
	"time"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports/groups"
)

// Acquire implements [groups.Store]. One round trip, and further ones for hashes that are too large for one reply.
func (s *store) Acquire(ctx context.Context, partitions []groups.Partition, lost []bool, by groups.Applicant) ([]*groups.Lease, []error) {
	leases := make([]*groups.Lease, len(partitions))
	replies, errs := s.runGuarded(ctx, s.shared.scripts.acquire, partitions, func(i int, log string) rediscmd.Call {
		k := s.state(partitions[i])
		return rediscmd.Call{
			Keys: []string{k.id, k.group, k.left, k.failing, k.again, k.Stream, k.dead},
			Args: []any{log, by.Member, by.Lease.Milliseconds(), lost[i], by.DeadLetterBound},
		}
	})
	for i, values := range replies {
		if errs[i] != nil {
			continue
		}
		if status, _ := values[0].(int64); status <= 0 {
			continue
		}
		if leases[i], errs[i] = s.readLease(ctx, s.state(partitions[i]), values); errs[i] != nil {
			leases[i] = nil
		}
	}
	return leases, errs
}

// readLease reads the reply of the script. It reads hashes that are too large for the reply in pages. Only the owner adds to these.
func (s *store) readLease(ctx context.Context, k *groupPartition, values []any) (*groups.Lease, error) {
	text := func(i int) string { return rediscmd.Text(values[i]) }
	number := func(i int) int64 {
		n, _ := values[i].(int64)
		return n
	}
	t := &groups.Lease{
		Walk: text(3) != "", Revision: text(4), HadOwner: text(5) != "", DeadLetters: int(number(7)), Overlap: time.Duration(number(11)) * time.Millisecond,
	}
	var errs [6]error
	t.Epoch, errs[0] = strconv.ParseUint(text(1), 10, 64)
	t.Position, errs[1] = parseID(text(2))
	t.End, errs[2] = parseID(text(6))
	t.Left, errs[3] = replyMap(ctx, s.shared, values[8], k.left, parseChatState)
	t.Failing, errs[4] = replyMap(ctx, s.shared, values[9], k.failing, parseProgress)
	t.Retries, errs[5] = replyMap(ctx, s.shared, values[10], k.again, parseRetryMark)
	return t, errors.Join(errs[:]...)
}
