package eventlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"chatcore/ports"
)

// haltCheck is the minimum time between two checks of the rights of a halted log.
const haltCheck = time.Second

// halt stops appends after a half-written batch until the Redis user has all rights again. Otherwise every further append would leave another chat
// half written.
type halt struct {
	cause error
	next  atomic.Int64 // when the next check may start, in Unix nanoseconds
}

func (l *Log) halt(cause error) {
	h := &halt{cause: cause}
	h.next.Store(time.Now().Add(haltCheck).UnixNano())
	l.halted.Store(h)
}

// resume returns nil unless the log is halted. At most one caller per haltCheck checks whether the rights are complete again.
func (l *Log) resume(ctx context.Context) error {
	h := l.halted.Load()
	if h == nil {
		return nil
	}
	now, next := time.Now(), h.next.Load()
	if now.UnixNano() < next || !h.next.CompareAndSwap(next, now.Add(haltCheck).UnixNano()) {
		return fmt.Errorf("%w: %w", ports.ErrUnavailable, h.cause)
	}
	if err := l.rights.Check(ctx, l.client); err != nil {
		return err
	}
	l.halted.CompareAndSwap(h, nil)
	return nil
}

// countRefused counts commands after an append's own writes that Redis refused: "COUNT ERROR". The append remains valid.
func (l *Log) countRefused(text string) {
	count, cause, _ := strings.Cut(text, " ")
	n, _ := strconv.ParseUint(count, 10, 64)
	if l.refused.Add(n) == n {
		l.logger.ErrorContext(l.ctx, "redis refuses announcements of appended events", "error", strings.TrimSpace(cause))
	}
}

// Refused returns the number of refused commands after appends: publications of durable events, and removals of typing marks.
func (l *Log) Refused() uint64 { return l.refused.Load() }
