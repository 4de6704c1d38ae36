package porttest

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Statuses tests the memory of users' statuses. open may give the same for every subtest.
func Statuses(t *testing.T, open func(t *testing.T) ports.Statuses) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, statuses ports.Statuses)
	}{
		{"a swap gives the status before it", testSwap},
		{"concurrent swaps follow each other", testConcurrentSwaps},
		{"an ended context swaps nothing", testEndedSwap},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

const statusTTL = 5 * time.Minute

func newUserID() domain.UserID { return domain.UserID(rand.Text()) }

func status(user domain.UserID, s domain.Status) domain.UserStatus {
	return domain.UserStatus{User: user, Status: s, LastSeen: now(), At: now()}
}

func testSwap(t *testing.T, statuses ports.Statuses) {
	base := newUserID()
	for _, user := range []domain.UserID{base, base + ":", base + "|[]{}^\\`-:%*?\"", "{" + base + "}", "日本" + base} {
		before := domain.Offline
		for _, next := range []domain.Status{domain.Online, domain.Away, domain.Busy, domain.Busy, domain.Offline, domain.Online} {
			got, err := statuses.Swap(t.Context(), status(user, next), statusTTL)
			if err != nil || got != before {
				t.Fatalf("status before %v was %v, error %v, want %v", next, got, err, before)
			}
			before = next
		}
	}
}

// testConcurrentSwaps counts: each status that was stored was given back once, but for the last, and the first gave Offline.
func testConcurrentSwaps(t *testing.T, statuses ports.Statuses) {
	user := newUserID()
	stored := [...]domain.Status{domain.Online, domain.Away, domain.Busy}
	var got [48]domain.Status
	var errs [48]error
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], errs[i] = statuses.Swap(t.Context(), status(user, stored[i%len(stored)]), statusTTL) })
	}
	wg.Wait()
	last, err := statuses.Swap(t.Context(), status(user, domain.Offline), statusTTL)
	if err != nil {
		t.Fatal(err)
	}
	want := map[domain.Status]int{domain.Offline: 1, domain.Online: 16, domain.Away: 16, domain.Busy: 16}
	want[last]--
	for i, s := range got {
		if want[s]--; errs[i] != nil || want[s] < 0 {
			t.Errorf("swap %d gave %v once too often, error %v", i, s, errs[i])
		}
	}
}

func testEndedSwap(t *testing.T, statuses ports.Statuses) {
	user := newUserID()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := statuses.Swap(ctx, status(user, domain.Busy), statusTTL); err == nil {
		t.Error("swap gave no error")
	}
	if got, err := statuses.Swap(t.Context(), status(user, domain.Online), statusTTL); err != nil || got != domain.Offline {
		t.Errorf("status was %v, error %v, want that nothing was stored", got, err)
	}
}
