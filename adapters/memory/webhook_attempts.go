package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"chatcore/ports"
)

// WebhookAttempts keeps the attempts of webhooks by a clock.
type WebhookAttempts struct {
	clock ports.Clock

	mu   sync.Mutex // guards kept
	kept map[string]*attemptLists
}

// attemptLists has the attempts of a webhook, the latest first.
type attemptLists struct {
	failed, succeeded []ports.WebhookAttempt
	until             time.Time
}

var _ ports.WebhookAttempts = (*WebhookAttempts)(nil)

// NewWebhookAttempts returns a store without attempts.
func NewWebhookAttempts(clock ports.Clock) *WebhookAttempts {
	return &WebhookAttempts{clock: clock, kept: make(map[string]*attemptLists)}
}

// Record implements [ports.WebhookAttempts].
func (s *WebhookAttempts) Record(ctx context.Context, webhook string, attempts []ports.WebhookAttempt) error {
	if err := s.enter(ctx, webhook); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if len(attempts) == 0 {
		return nil
	}
	lists := s.lists(webhook)
	if lists == nil {
		lists = &attemptLists{}
		s.kept[webhook] = lists
	}
	for _, a := range attempts {
		if a.OK {
			lists.succeeded = prepend(lists.succeeded, a)
		} else {
			lists.failed = prepend(lists.failed, a)
		}
	}
	lists.until = s.clock.Now().Add(ports.WebhookAttemptsTTL)
	return nil
}

func prepend(list []ports.WebhookAttempt, a ports.WebhookAttempt) []ports.WebhookAttempt {
	list = slices.Insert(list, 0, a)
	return list[:min(len(list), ports.MaxWebhookAttempts)]
}

// Attempts implements [ports.WebhookAttempts].
func (s *WebhookAttempts) Attempts(ctx context.Context, webhook string, failedOnly bool) ([]ports.WebhookAttempt, error) {
	if err := s.enter(ctx, webhook); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	lists := s.lists(webhook)
	if lists == nil {
		return nil, nil
	}
	if failedOnly {
		return slices.Clone(lists.failed), nil
	}
	return ports.LatestWebhookAttempts(lists.failed, lists.succeeded), nil
}

// Remove implements [ports.WebhookAttempts].
func (s *WebhookAttempts) Remove(ctx context.Context, webhook string) error {
	if err := s.enter(ctx, webhook); err != nil {
		return err
	}
	defer s.mu.Unlock()
	delete(s.kept, webhook)
	return nil
}

// enter locks the store, unless the call is refused.
func (s *WebhookAttempts) enter(ctx context.Context, webhook string) error {
	if err := ports.CheckKey(webhook); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	return nil
}

// lists returns the attempts of a webhook, or nil. mu is held.
func (s *WebhookAttempts) lists(webhook string) *attemptLists {
	lists := s.kept[webhook]
	if lists == nil || s.clock.Now().Before(lists.until) {
		return lists
	}
	delete(s.kept, webhook)
	return nil
}
