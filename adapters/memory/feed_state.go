package memory

import (
	"context"
	"time"

	"chatcore/ports"
)

// FeedState keeps values of feeds by a clock.
type FeedState struct{ store *Store }

var _ ports.FeedState = (*FeedState)(nil)

// NewFeedState returns a store without values.
func NewFeedState(clock ports.Clock) *FeedState { return &FeedState{NewStore(clock)} }

// Keep implements [ports.FeedState].
func (s *FeedState) Keep(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := ports.CheckTTL(ttl); err != nil {
		return err
	}
	return s.store.Set(ctx, key, value, ttl)
}

// Get implements [ports.FeedState].
func (s *FeedState) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	return s.store.Get(ctx, key)
}

// Take implements [ports.FeedState].
func (s *FeedState) Take(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := s.store.enter(ctx, key); err != nil {
		return nil, false, err
	}
	defer s.store.mu.Unlock()
	i := s.store.at(key)
	if i == nil {
		return nil, false, nil
	}
	delete(s.store.kept, key)
	return i.text, true, nil
}
