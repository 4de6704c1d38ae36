package group

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestPrepare_Pauses pins the pauses between two attempts to create a group.
func TestPrepare_Pauses(t *testing.T) {
	const ms = time.Millisecond
	policy, want := preparePauses(), []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2000 * ms, 2000 * ms}
	var got []time.Duration
	for n := range want {
		got = append(got, policy.Pause(n+1))
	}
	if policy.Jitter || !slices.Equal(got, want) {
		t.Errorf("pauses %v, varied: %v; want %v", got, policy.Jitter, want)
	}
}

// endingStore is a store whose stream ends at an entry, and that is unavailable at first.
type endingStore struct {
	groups.Store
	end  groups.StreamID
	away int
}

func (s *endingStore) Last(context.Context, groups.Partition) (groups.StreamID, error) {
	if s.away--; s.away >= 0 {
		return groups.StreamID{}, errors.Join(ports.ErrUnavailable)
	}
	return s.end, nil
}

// TestEndOverlap_KeepsWhatTheEarlierOwnerMayHaveStarted reads entries after the overlap that were appended during it.
func TestEndOverlap_KeepsWhatTheEarlierOwnerMayHaveStarted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ at, end, last, beyond uint64 }{
		"entries were appended": {5, 9, 9, 10},
		"the stream is gone":    {5, 0, 5, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &Member{config: Config{Store: &endingStore{end: groups.StreamID{Number: test.end}, away: 2}, Logger: slog.New(slog.DiscardHandler)}}
			m.core = delivery.New(delivery.Config{Concurrency: 8, Lease: time.Hour}, []groups.Partition{{Stream: "s", Number: -1}})
			lease := &groups.Lease{Epoch: 2, HadOwner: true, Overlap: time.Millisecond, End: groups.StreamID{Number: test.at}}
			p := m.core.Acquired(0, lease, time.Now(), time.Now())
			redelivered := func(number uint64) bool {
				r := &delivery.Record{Entry: groups.Entry{ID: groups.StreamID{Number: number}}}
				p.Fetched([]*delivery.Record{r}, r.ID, &delivery.Checkpoints{})
				return r.Redelivered()
			}
			if !redelivered(100) {
				t.Error("during the overlap an entry counts as new")
			}
			m.endOverlap(t.Context(), p, lease.Overlap)
			if !redelivered(test.last) || redelivered(test.beyond) {
				t.Errorf("after the overlap, entry %d counts as redelivered: %v, entry %d: %v", test.last, redelivered(test.last), test.beyond, redelivered(test.beyond))
			}
		})
	}
}
