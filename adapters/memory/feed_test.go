package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// TestFeedFollowsTheLog has readers with different page sizes wait for the events that writers append.
func TestFeedFollowsTheLog(t *testing.T) {
	log := New(wireformat.New(), newClock(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	const writers, each = 4, 50
	seen := make([][]ports.Record, 3)
	var wg sync.WaitGroup
	for f := range seen {
		wg.Go(func() {
			for position := uint64(0); len(seen[f]) < writers*each; {
				limit := 1 + 6*f
				records, next, err := log.Next(ctx, position, limit)
				if err != nil || len(records) == 0 || len(records) > limit || next != position+uint64(len(records)) {
					t.Errorf("after %d came %d records and the position %d, error %v", position, len(records), next, err)
					return
				}
				position = next
				seen[f] = append(seen[f], records...)
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				a := message(domain.ChatID(fmt.Sprintf("c%d", w%2)), domain.MessageID(fmt.Sprintf("m-%d-%d", w, i)))
				if _, err := log.Append(ctx, a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	last := make(map[domain.ChatID]domain.Seq)
	for i, r := range seen[0] {
		for f := range seen {
			if seen[f][i].ID != r.ID {
				t.Fatalf("record %d is not the same for all", i)
			}
		}
		chat := r.Event.ChatID()
		if last[chat]++; r.Seq != last[chat] {
			t.Fatalf("seq %d of chat %q came as its event %d", r.Seq, chat, last[chat])
		}
	}
	if end := log.End(); end != writers*each {
		t.Errorf("the feed ends at %d, want %d", end, writers*each)
	}
}

func TestFeedWaits(t *testing.T) {
	log := New(wireformat.New(), newClock(), nil)
	bounded, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	ctx, stop := context.WithCancel(bounded)
	ended := make(chan error)
	go func() {
		_, position, err := log.Next(ctx, 7, 1)
		if position != 7 {
			err = fmt.Errorf("the position moved to %d: %w", position, err)
		}
		ended <- err
	}()
	if _, err := log.Append(bounded, message("c", "m")); err != nil { // the feed grows, but not beyond the position
		t.Fatal(err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with the error %v, want %v", err, context.Canceled)
	}
	var invalid *domain.InvalidError
	if _, _, err := log.Next(bounded, 0, 0); !errors.As(err, &invalid) {
		t.Errorf("limit 0 gave the error %v, want an InvalidError", err)
	}
}
