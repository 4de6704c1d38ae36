package pubsub

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"chatcore/ports"
)

// endsAt is a store whose stream ends at an entry, and that is unavailable at first.
type endsAt struct {
	store
	end  streamID
	away int
}

func (s *endsAt) last(context.Context, Partition) (streamID, error) {
	if s.away--; s.away >= 0 {
		return streamID{}, errors.Join(ports.ErrUnavailable)
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
			s := &member{Subscriber: &Subscriber{store: &endsAt{end: streamID{n: test.end}, away: 2}}}
			s.config.Logger = slog.New(slog.DiscardHandler)
			own := &ownedPartition{sub: s, hadOwner: true, overlap: time.Millisecond, end: streamID{n: test.at}}
			if !own.mayHaveBegun(streamID{n: 100}) {
				t.Error("during the overlap an entry counts as new")
			}
			s.endOverlap(t.Context(), own)
			if !own.mayHaveBegun(streamID{n: test.last}) || own.mayHaveBegun(streamID{n: test.beyond}) {
				t.Errorf("entries count as new beyond %+v, want %d", own.end, test.last)
			}
		})
	}
}
