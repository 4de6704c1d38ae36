package porttest

import (
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

func testChosen(t *testing.T, s PresenceStore) {
	user := newUserID()
	s.choose(t, user, domain.Away)
	s.is(t, user, domain.Offline)
	s.beat(t, user, "phone", domain.Away)
	s.is(t, user, domain.Away)
	s.leave(t, user, "phone", domain.Offline)
	s.Forward(100 * time.Second)
	s.beat(t, user, "phone", domain.Away)
	s.choose(t, user, domain.Offline, domain.Offline)
	s.is(t, user, domain.Offline)
	s.beat(t, user, "laptop")
	s.is(t, user, domain.Offline)
	s.choose(t, user, domain.Online, domain.Online)
	s.leave(t, user, "phone")
	s.leave(t, user, "laptop", domain.Offline)
	s.beat(t, user, "phone", domain.Online)
}

// choices returns the statuses that a user may choose, with the visible one: none for a hidden user.
func choices() map[domain.Status][]domain.Status {
	return map[domain.Status][]domain.Status{
		domain.Offline: nil, domain.Online: {domain.Online}, domain.Away: {domain.Away}, domain.Busy: {domain.Busy},
	}
}

// absences returns all ways to end a user's last heartbeat. Each returns how long ago that was.
func absences(t *testing.T, s PresenceStore) map[string]func(user domain.UserID, shown []domain.Status) time.Duration {
	offline := func(shown []domain.Status) []domain.Status {
		if len(shown) == 0 {
			return nil
		}
		return []domain.Status{domain.Offline}
	}
	sweep := func(times int) {
		for range times {
			s.sweep(t)
			if _, err := s.Repair(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	return map[string]func(domain.UserID, []domain.Status) time.Duration{
		"leave": func(user domain.UserID, shown []domain.Status) time.Duration {
			s.leave(t, user, "phone", offline(shown)...)
			return 0
		},
		"silence, swept at once": func(domain.UserID, []domain.Status) time.Duration {
			s.Forward(100 * time.Second)
			sweep(2)
			return time.Second
		},
		"silence, swept late": func(domain.UserID, []domain.Status) time.Duration {
			s.Forward(295 * time.Second)
			sweep(2)
			return 196 * time.Second
		},
		"silence that nobody noticed": func(domain.UserID, []domain.Status) time.Duration {
			s.Forward(100 * time.Second)
			return time.Second
		},
		"leave, and leave again": func(user domain.UserID, shown []domain.Status) time.Duration {
			s.leave(t, user, "phone", offline(shown)...)
			s.Forward(100 * time.Second)
			s.leave(t, user, "phone")
			s.leave(t, user, "laptop c1")
			sweep(2)
			return 100 * time.Second
		},
	}
}

// testChoiceKept guards against a hidden user who becomes visible when a connection is lost, and against a choice that ends early.
func testChoiceKept(t *testing.T, s PresenceStore) {
	for name, absence := range absences(t, s) {
		for choice, shown := range choices() {
			user := newUserID()
			s.beat(t, user, "phone", domain.Online)
			var changed []domain.Status
			if choice != domain.Online {
				changed = []domain.Status{choice}
			}
			s.choose(t, user, choice, changed...)
			gone := absence(user, shown)
			s.Forward(PresenceTTL().Kept - gone - 10*time.Second)
			if s.is(t, user, domain.Offline); name != "silence that nobody noticed" {
				s.beat(t, user, "laptop", shown...)
			} else {
				s.beat(t, user, "laptop") // no listener has heard that the user was away
			}
			s.is(t, user, choice)
			s.Forward(60 * time.Second)
			s.beat(t, user, "laptop") // the choice has no end while the user is online
			s.is(t, user, choice)
		}
	}
}

// testChoiceWhileOffline has an offline user choose a status. The last heartbeat stays the last sign of life.
func testChoiceWhileOffline(t *testing.T, s PresenceStore) {
	for _, absence := range absences(t, s) {
		user := newUserID()
		s.beat(t, user, "phone", domain.Online)
		absence(user, []domain.Status{domain.Online})
		s.Forward(10 * time.Second)
		s.sweep(t)
		before := s.is(t, user, domain.Offline).LastSeen
		s.choose(t, user, domain.Busy)
		if after := s.is(t, user, domain.Offline).LastSeen; !after.Equal(before) {
			t.Errorf("seen last at %v before the choice, at %v after it", before, after)
		}
	}
}

// testChoiceForgotten guards against a choice that never ends.
func testChoiceForgotten(t *testing.T, s PresenceStore) {
	for _, absence := range absences(t, s) {
		for choice, shown := range choices() {
			user := newUserID()
			s.beat(t, user, "phone", domain.Online)
			if _, err := s.SetStatus(t.Context(), user, choice, ports.Meta{}); err != nil {
				t.Fatal(err)
			}
			gone := absence(user, shown)
			s.Forward(PresenceTTL().Kept - gone + 10*time.Second)
			s.is(t, user, domain.Offline)
			if _, err := s.Heartbeat(t.Context(), user, on("laptop"), ports.Meta{}); err != nil {
				t.Fatal(err)
			}
			s.is(t, user, domain.Online)
		}
	}
	user := newUserID() // a choice of an absent user counts from the choice
	s.choose(t, user, domain.Away)
	s.Forward(200 * time.Second)
	s.choose(t, user, domain.Offline)
	s.Forward(200 * time.Second)
	s.beat(t, user, "phone")
	s.leave(t, user, "phone")
	s.choose(t, user, domain.Busy)
	s.Forward(310 * time.Second)
	s.beat(t, user, "phone", domain.Online)
}
