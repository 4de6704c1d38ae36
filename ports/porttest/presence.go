package porttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// PresenceTTL is what stores under test keep presence by.
func PresenceTTL() ports.PresenceTTL {
	return ports.PresenceTTL{Heartbeat: 95 * time.Second, Kept: 305 * time.Second, Status: 305 * time.Second}
}

// PresenceStore is a store under test. It has [PresenceTTL].
type PresenceStore struct {
	ports.PresenceStore
	Forward func(d time.Duration)           // lets the store's time pass
	Others  ports.PresenceStore             // the same store, as another process has it; nil if there can be none
	Told    func() []domain.UserStatus      // what live listeners have been told so far, of all users
	Now     func(context.Context) time.Time // the store's time
}

// Presence tests who is there. open gives a store of which nothing is known.
func Presence(t *testing.T, open func(t *testing.T) PresenceStore) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s PresenceStore)
	}{
		{"a user is there while a device is", testThere},
		{"silence ends it, and is told once", testSilence},
		{"only transitions are told", testTransitionsOnly},
		{"what is chosen lasts, and hides", testChosen},
		{"odd ids are ids like others", testOddPresence},
		{"devices by the thousand are bounded", testManyDevices},
		{"statuses and who is online, of many at once", testManyStatuses},
		{"who leads, leads alone", testLead},
		{"pages of those who are due", testDuePages},
		{"concurrent heartbeats and leaves end as told", testConcurrentPresence},
		{"an ended context does nothing", testEndedPresence},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func newUserID() domain.UserID { return domain.UserID(rand.Text()) }

// oddUsers are ids with characters that mean something in keys, patterns, scripts and JSON.
func oddUsers() []domain.UserID {
	base := newUserID()
	return []domain.UserID{base, base + ":", base + "|[]{}^\\`-:%*?\"", "{" + base + "}", "日本" + base, base + "</x>&'", base + "%d%s\\u0000"}
}

func (s PresenceStore) beat(t *testing.T, user domain.UserID, device domain.DeviceID, want ...domain.Status) {
	t.Helper()
	told, err := s.Beat(t.Context(), user, device, ports.Meta{})
	wantTold(t, "a heartbeat of "+string(device), told, err, want)
}

func (s PresenceStore) leave(t *testing.T, user domain.UserID, device domain.DeviceID, want ...domain.Status) {
	t.Helper()
	told, err := s.Leave(t.Context(), user, device, ports.Meta{})
	wantTold(t, "the leave of "+string(device), told, err, want)
}

func (s PresenceStore) choose(t *testing.T, user domain.UserID, status domain.Status, want ...domain.Status) {
	t.Helper()
	told, err := s.Choose(t.Context(), user, status, ports.Meta{})
	wantTold(t, fmt.Sprintf("the choice of %d", status), told, err, want)
}

func wantTold(t *testing.T, what string, told *domain.UserStatus, err error, want []domain.Status) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var got []domain.Status
	if told != nil {
		got = append(got, told.Status)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s told %v, want %v", what, got, want)
	}
}

// sweep expires all who are due.
func (s PresenceStore) sweep(t *testing.T) (told []domain.UserStatus) {
	t.Helper()
	for {
		some, more, err := s.Expire(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if told = append(told, some...); !more {
			return told
		}
	}
}

// is compares all that can be asked of a user.
func (s PresenceStore) is(t *testing.T, user domain.UserID, want domain.Status) domain.UserStatus {
	t.Helper()
	statuses, err := s.Of(t.Context(), user)
	if err != nil || len(statuses) != 1 || statuses[0].User != user || statuses[0].Status != want {
		t.Fatalf("the status is %+v, error %v, want %d", statuses, err, want)
	}
	online, err := s.AreOnline(t.Context(), user)
	if err != nil || len(online) != 1 || online[0] != (want != domain.Offline) {
		t.Fatalf("online: %v, error %v, with status %d", online, err, want)
	}
	if listed := slices.Contains(s.online(t), user); listed != online[0] {
		t.Fatalf("in the list of who is online: %v, want %v", listed, online[0])
	}
	return statuses[0]
}

func (s PresenceStore) online(t *testing.T) (users []domain.UserID) {
	t.Helper()
	for user, err := range s.Online(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, user)
	}
	return users
}

// heard are the statuses of one user that listeners were told.
func (s PresenceStore) heard(user domain.UserID) (statuses []domain.Status) {
	for _, e := range s.Told() {
		if e.User == user {
			statuses = append(statuses, e.Status)
		}
	}
	return statuses
}

func testThere(t *testing.T, s PresenceStore) {
	user := newUserID()
	s.is(t, user, domain.Offline)
	before := s.Now(t.Context())
	s.beat(t, user, "phone", domain.Online)
	if seen := s.is(t, user, domain.Online).LastSeen; seen.Before(before) || seen.After(s.Now(t.Context())) {
		t.Errorf("last seen %v, it was between %v and %v", seen, before, s.Now(t.Context()))
	}
	s.beat(t, user, "laptop")
	s.leave(t, user, "phone")
	s.is(t, user, domain.Online)
	s.leave(t, user, "phone")
	s.Forward(20 * time.Second)
	left := s.Now(t.Context())
	s.leave(t, user, "laptop", domain.Offline)
	if seen := s.is(t, user, domain.Offline).LastSeen; seen.Before(left) || seen.After(s.Now(t.Context())) {
		t.Errorf("last seen %v, it was between %v and %v", seen, left, s.Now(t.Context()))
	}
	s.leave(t, user, "laptop")
	s.leave(t, newUserID(), "laptop")
}

func testSilence(t *testing.T, s PresenceStore) {
	user, other := newUserID(), newUserID()
	s.beat(t, user, "phone", domain.Online)
	s.beat(t, other, "phone", domain.Online)
	seen := s.is(t, user, domain.Online).LastSeen
	for range 30 { // longer than any key lives without being renewed
		s.Forward(30 * time.Second)
		s.beat(t, other, "phone")
		s.is(t, other, domain.Online)
		if told := s.sweep(t); len(told) > 0 {
			if told[0].User != user || told[0].Status != domain.Offline || told[0].LastSeen.Sub(seen).Abs() > time.Second || len(told) > 1 {
				t.Fatalf("told %+v", told)
			}
			s.is(t, user, domain.Offline)
		}
	}
	if got := s.heard(user); !slices.Equal(got, []domain.Status{domain.Online, domain.Offline}) {
		t.Errorf("listeners heard %v", got)
	}
	if got := s.heard(other); !slices.Equal(got, []domain.Status{domain.Online}) {
		t.Errorf("listeners heard %v of the other", got)
	}
}

func testTransitionsOnly(t *testing.T, s PresenceStore) {
	user := newUserID()
	s.beat(t, user, "phone", domain.Online)
	s.choose(t, user, domain.Away, domain.Away)
	s.choose(t, user, domain.Away)
	s.beat(t, user, "laptop")
	s.choose(t, user, domain.Busy, domain.Busy)
	s.Forward(200 * time.Second)
	s.beat(t, user, "phone") // nobody had noticed
	s.leave(t, user, "phone", domain.Offline)
	if got := s.heard(user); !slices.Equal(got, []domain.Status{domain.Online, domain.Away, domain.Busy, domain.Offline}) {
		t.Errorf("listeners heard %v", got)
	}
}

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
	s.leave(t, user, "phone")
	s.leave(t, user, "laptop")
	s.beat(t, user, "phone", domain.Online) // who hid is shown when coming anew
	s.choose(t, user, domain.Busy, domain.Busy)
	s.leave(t, user, "phone", domain.Offline)
	s.Forward(400 * time.Second) // nothing is known any more
	s.beat(t, user, "phone", domain.Online)
}

func testOddPresence(t *testing.T, s PresenceStore) {
	for i, user := range oddUsers() {
		device := domain.DeviceID(oddUsers()[i])
		s.beat(t, user, device, domain.Online)
		s.is(t, user, domain.Online)
		s.choose(t, user, domain.Busy, domain.Busy)
		s.is(t, user, domain.Busy)
		s.leave(t, user, device, domain.Offline)
		if got := s.heard(user); !slices.Equal(got, []domain.Status{domain.Online, domain.Busy, domain.Offline}) {
			t.Errorf("listeners heard %v of %q", got, user)
		}
	}
}

// testManyDevices has only those devices leave that are still known.
func testManyDevices(t *testing.T, s PresenceStore) {
	user := newUserID()
	s.beat(t, user, "d0", domain.Online)
	for i := 1; i < 3*domain.MaxDevices; i++ {
		if i%domain.MaxDevices == 0 {
			s.Forward(time.Second)
		}
		s.beat(t, user, domain.DeviceID(fmt.Sprintf("d%d", i)))
	}
	for i := 2 * domain.MaxDevices; i < 3*domain.MaxDevices-1; i++ {
		s.leave(t, user, domain.DeviceID(fmt.Sprintf("d%d", i)))
	}
	s.leave(t, user, domain.DeviceID(fmt.Sprintf("d%d", 3*domain.MaxDevices-1)), domain.Offline)
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
	statuses, err := s.Of(t.Context(), users...)
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
	if none, err := s.Of(t.Context()); err != nil || len(none) != 0 {
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
		if leads, err := of.Lead(t.Context(), lease); err != nil || leads != want {
			t.Fatalf("leads: %v, error %v, want %v", leads, err, want)
		}
	}
	lead(s, time.Minute, true)
	lead(s.Others, time.Minute, false)
	lead(s.Others, 0, false)
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
	if told := s.sweep(t); len(told) > 0 {
		t.Fatalf("%d expired early", len(told))
	}
	s.Forward(100 * time.Second)
	calls, told := 0, 0
	for more := true; more; calls++ {
		var some []domain.UserStatus
		var err error
		if some, more, err = s.Expire(t.Context(), 64); err != nil || len(some) > 64 {
			t.Fatalf("%d told, error %v", len(some), err)
		}
		told += len(some)
	}
	if told != n || calls < 3 || len(s.online(t)) > 0 {
		t.Errorf("%d told in %d pages, %d online", told, calls, len(s.online(t)))
	}
}

// testConcurrentPresence has processes beat, leave, choose and sweep at once; afterwards what is kept is what was told last.
func testConcurrentPresence(t *testing.T, s PresenceStore) {
	user := newUserID()
	stores := []ports.PresenceStore{s.PresenceStore, s.PresenceStore}
	if s.Others != nil {
		stores[1] = s.Others
	}
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for g := range errs {
		wg.Go(func() {
			store, device := stores[g%2], domain.DeviceID(fmt.Sprintf("d%d", g%4))
			for i := range 25 {
				var err error
				switch (g + i) % 4 {
				case 0, 1:
					_, err = store.Beat(t.Context(), user, device, ports.Meta{})
				case 2:
					_, err = store.Leave(t.Context(), user, device, ports.Meta{})
				case 3:
					_, err = store.Choose(t.Context(), user, domain.Status(1+i%3), ports.Meta{})
				}
				_, repair := store.Repair(t.Context(), 100)
				errs[g] = errors.Join(errs[g], err, repair)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	last := domain.Offline
	for _, status := range s.heard(user) {
		if status == last {
			t.Fatalf("listeners heard %v", s.heard(user))
		}
		last = status
	}
	s.is(t, user, last)
}

func testEndedPresence(t *testing.T, s PresenceStore) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	user := newUserID()
	for name, call := range map[string]func() error{
		"a heartbeat": func() error { _, err := s.Beat(ctx, user, "phone", ports.Meta{}); return err },
		"a leave":     func() error { _, err := s.Leave(ctx, user, "phone", ports.Meta{}); return err },
		"a choice":    func() error { _, err := s.Choose(ctx, user, domain.Away, ports.Meta{}); return err },
		"statuses":    func() error { _, err := s.Of(ctx, user); return err },
		"online":      func() error { _, err := s.AreOnline(ctx, user); return err },
		"lead":        func() error { _, err := s.Lead(ctx, time.Minute); return err },
		"expire":      func() error { _, _, err := s.Expire(ctx, 1); return err },
		"repair":      func() error { _, err := s.Repair(ctx, 1); return err },
		"a list": func() error {
			for _, err := range s.Online(ctx) {
				return err
			}
			return nil
		},
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.is(t, user, domain.Offline)
}
