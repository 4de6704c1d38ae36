package pubsub

import (
	"context"
	"time"
)

// endOverlap waits until no earlier owner of a partition can start handlers any more, and reads up to which entry it may have started them. Until
// then every entry counts as one of these.
//
// A lease ends early if Redis's clock is set forward, or if a rebuild or a repair ends it. Its owner starts handlers for new events until its next
// commit, or until its lease ends by its own clock: at most for its lease after this member has acquired the partition.
func (s *member) endOverlap(ctx context.Context, t *ownedPartition) {
	timer := time.NewTimer(t.overlap)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	for wait := newPause(); ; {
		end, err := s.store.last(ctx, t.partition)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if t.overlap = 0; end.compare(t.end) > 0 {
				t.end = end
			}
			return
		}
		s.config.Logger.Debug("end of the stream not read, trying again", "partition", t.String(), "group", s.group, "error", err)
		if !wait.after(ctx) {
			return
		}
	}
}

// release closes the lease of a partition, and returns the partition for the store to release. The member's mutex is held.
func (l *assignment) release() released {
	t := l.owned
	t.close()
	l.owned = nil
	return released{l.Partition, t.epoch, t.overlap}
}
