package porttest

import (
	"slices"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// testUnswept guards against users who stay online forever if no process sweeps.
func testUnswept(t *testing.T, s PresenceStore) {
	const n = 600 // more than one page of any kind
	silent, live := make([]domain.UserID, n), make([]domain.UserID, n)
	for i := range silent {
		silent[i], live[i] = newUserID(), newUserID()
		s.beat(t, silent[i], "phone", domain.Online)
		s.beat(t, live[i], "phone c1", domain.Online)
		if i%2 == 0 { // the index entry of such a user is early
			s.choose(t, silent[i], domain.Busy, domain.Busy)
		}
	}
	s.Forward(30 * time.Second)
	for _, user := range live {
		s.beat(t, user, "phone c1")
	}
	check := func(when string, online bool) {
		t.Helper()
		want := make([]domain.UserID, 0, n)
		if online {
			want = append(want, live...)
		}
		got := s.online(t)
		slices.Sort(got)
		slices.Sort(want)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Fatalf("%s: %d are online, want %d", when, len(got), len(want))
		}
		all := append(slices.Clone(silent), live...)
		statuses, err := s.Statuses(t.Context(), all...)
		if err != nil {
			t.Fatal(err)
		}
		are, err := s.AreOnline(t.Context(), all...)
		if err != nil {
			t.Fatal(err)
		}
		for i, user := range all {
			is := online && i >= n
			if statuses[i].User != user || (statuses[i].Status != domain.Offline) != is || are[i] != is {
				t.Fatalf("%s: status %+v, online %v", when, statuses[i], are[i])
			}
		}
	}
	s.Forward(80 * time.Second)
	check("after the last heartbeat", true)
	if got := s.heard(silent[0]); slices.Contains(got, domain.Offline) {
		t.Errorf("reading published %v", got)
	}
	s.Forward(80 * time.Second)
	check("after the last heartbeat of all", false)
	s.Forward(time.Hour)
	check("long after", false)
	s.Forward(30 * 24 * time.Hour) // longer than any record lives
	check("very long after", false)
}

func testManyStatuses(t *testing.T, s PresenceStore) {
	const n = 300
	users, want := make([]domain.UserID, n), make([]domain.Status, n)
	for i := range users {
		users[i], want[i] = newUserID(), domain.Status(i%4)
		if want[i] != domain.Offline {
			s.choose(t, users[i], want[i])
			s.beat(t, users[i], "phone", want[i])
		}
	}
	statuses, err := s.Statuses(t.Context(), users...)
	if err != nil || len(statuses) != n {
		t.Fatalf("%d statuses, error %v", len(statuses), err)
	}
	online, err := s.AreOnline(t.Context(), users...)
	if err != nil || len(online) != n {
		t.Fatalf("%d are online or not, error %v", len(online), err)
	}
	for i := range users {
		if statuses[i].User != users[i] || statuses[i].Status != want[i] || online[i] != (want[i] != domain.Offline) || statuses[i].LastSeen.IsZero() != (want[i] == domain.Offline) {
			t.Fatalf("%d: %+v, online %v, want %d", i, statuses[i], online[i], want[i])
		}
	}
	if all := s.online(t); len(all) != n*3/4 {
		t.Errorf("%d are listed", len(all))
	}
	if counter, ok := s.PresenceStore.(ports.OnlineCounter); !ok {
		t.Error("the store does not count")
	} else if counted, err := counter.CountOnline(t.Context()); err != nil || counted != n*3/4 {
		t.Errorf("%d are counted, error %v", counted, err)
	}
	if none, err := s.Statuses(t.Context()); err != nil || len(none) != 0 {
		t.Errorf("of nobody: %v, %v", none, err)
	}
	if none, err := s.AreOnline(t.Context()); err != nil || len(none) != 0 {
		t.Errorf("of nobody: %v, %v", none, err)
	}
}

func testLead(t *testing.T, s PresenceStore) {
	if s.Others == nil { // there are no other processes
		return
	}
	lead := func(of ports.PresenceStore, lease time.Duration, want bool) {
		t.Helper()
		if leads, err := of.AcquireLease(t.Context(), lease); err != nil || leads != want {
			t.Fatalf("leads: %v, error %v, want %v", leads, err, want)
		}
	}
	lead(s, time.Minute, true)
	lead(s.Others, time.Minute, false)
	lead(s.Others, 0, false)
	lead(s.Others, time.Minute, false) // the lease is still held
	lead(s, time.Minute, true)
	lead(s, 0, true)
	lead(s.Others, time.Minute, true)
	s.Forward(time.Minute - time.Second)
	lead(s, time.Minute, false)
	s.Forward(2 * time.Second)
	lead(s, time.Minute, true)
	lead(s.Others, time.Minute, false)
}

func testDuePages(t *testing.T, s PresenceStore) {
	const n = 150
	for range n {
		s.beat(t, newUserID(), "phone", domain.Online)
	}
	if published := s.sweep(t); len(published) > 0 {
		t.Fatalf("%d expired early", len(published))
	}
	s.Forward(100 * time.Second)
	calls, published := 0, 0
	for more := true; more; calls++ {
		var some []domain.UserStatus
		var err error
		if some, more, err = s.Expire(t.Context(), 64); err != nil || len(some) > 64 {
			t.Fatalf("%d returned, error %v", len(some), err)
		}
		published += len(some)
	}
	if published != n || calls < 3 || len(s.online(t)) > 0 {
		t.Errorf("%d returned in %d pages, %d online", published, calls, len(s.online(t)))
	}
}
