// Package apptest has the ports and helpers that the tests of app and of the packages below it share.
package apptest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// Clock is the system's clock.
type Clock struct{}

// Now implements [ports.Clock].
func (Clock) Now() time.Time { return time.Now() }

// Sleep implements [ports.Clock].
func (Clock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stepping is a clock that goes on by two seconds each time it is read, so that no read mark comes too soon. It is for one goroutine.
type Stepping struct{ At time.Time }

// Now implements [ports.Clock].
func (s *Stepping) Now() time.Time {
	s.At = s.At.Add(2 * time.Second)
	return s.At
}

// Sleep implements [ports.Clock].
func (*Stepping) Sleep(context.Context, time.Time) error { panic("nothing has to wait") }

// IDs are random ids.
type IDs struct{}

// NewID implements [ports.IDs].
func (IDs) NewID() string { return rand.Text() }

// Silent is a live bus without listeners.
type Silent struct{}

// Publish implements [ports.LiveBus].
func (Silent) Publish(context.Context, domain.Ephemeral, ports.Meta) error { return nil }

// Pages collects all pages of a list, which have at most limit items each.
func Pages[T any](t *testing.T, limit int, list func(domain.Page) (app.List[T], error)) (all []T) {
	t.Helper()
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, err := list(domain.Page{Limit: limit, Cursor: cursor})
		if err != nil || len(page.Items) > limit {
			t.Fatalf("%d items by %d, error %v", len(page.Items), limit, err)
		}
		all, cursor = append(all, page.Items...), page.Next
	}
	return all
}
