package porttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// PresenceTTL returns the lifetimes that stores under test use.
func PresenceTTL() ports.PresenceTTL {
	return ports.PresenceTTL{Heartbeat: 99 * time.Second, Kept: 309 * time.Second, Status: 309 * time.Second}
}

// PresenceStore is a store under test. It has [PresenceTTL].
type PresenceStore struct {
	ports.PresenceStore
	Forward func(d time.Duration)           // advances the store's time
	Others  ports.PresenceStore             // the same store as another process uses it; nil if there can be none
	Told    func() []domain.UserStatus      // statuses published to live listeners so far, of all users
	Now     func(context.Context) time.Time // the store's time
	// Devices returns the devices that other programs find listed for a user; nil if the store does not show them. A device may be listed for a while
	// after its last heartbeat has expired.
	Devices func(context.Context, domain.UserID) []domain.DeviceID
}

// Presence tests a presence store. open returns an empty store.
func Presence(t *testing.T, open func(t *testing.T) PresenceStore) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s PresenceStore)
	}{
		{"a user is online while a device is", testThere},
		{"silence ends it, and is published once", testSilence},
		{"only transitions are published", testTransitionsOnly},
		{"a device is online while one of its connections is", testConnections},
		{"no user is online forever without a sweeper", testUnswept},
		{"a choice lasts, and hides", testChosen},
		{"a choice survives a short absence", testChoiceKept},
		{"a choice ends with a long absence", testChoiceForgotten},
		{"odd ids are ids like others", testOddPresence},
		{"connections by the hundred are bounded", testManyConnections},
		{"statuses of many users at once", testManyStatuses},
		{"one process leads at a time", testLead},
		{"pages of users that are due", testDuePages},
		{"concurrent heartbeats and leaves end as published", testConcurrentPresence},
		{"an ended context does nothing", testEndedPresence},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func newUserID() domain.UserID { return domain.UserID(rand.Text()) }

// oddUsers returns ids with characters that have a meaning in keys, patterns, scripts and JSON.
func oddUsers() []domain.UserID {
	base := newUserID()
	return []domain.UserID{base, base + ":", base + "|[]{}^\\`-:%*?\"", "{" + base + "}", "日本" + base, base + "</x>&'", base + "%d%s\\u0000"}
}

// on returns a connection by its device and, after a space, its id.
func on(name string) domain.Connection {
	device, id, _ := strings.Cut(name, " ")
	return domain.Connection{Device: domain.DeviceID(device), ID: domain.ConnectionID(id)}
}

func (s PresenceStore) beat(t *testing.T, user domain.UserID, connection string, want ...domain.Status) {
	t.Helper()
	told, err := s.Beat(t.Context(), user, on(connection), ports.Meta{})
	wantTold(t, "a heartbeat of "+connection, told, err, want)
}

func (s PresenceStore) leave(t *testing.T, user domain.UserID, connection string, want ...domain.Status) {
	t.Helper()
	told, err := s.Leave(t.Context(), user, on(connection), ports.Meta{})
	wantTold(t, "the leave of "+connection, told, err, want)
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
		t.Fatalf("%s returned %v, want %v", what, got, want)
	}
}

// sweep expires all users that are due.
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

// is compares all results about a user.
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
		t.Fatalf("in the list of online users: %v, want %v", listed, online[0])
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

// heard returns the statuses of one user that were published to listeners.
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
	for range 30 { // longer than any key lives without a renewal
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
	s.beat(t, user, "phone") // no one had noticed the expiry
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

// testChoiceForgotten guards against a choice that never ends.
func testChoiceForgotten(t *testing.T, s PresenceStore) {
	for _, absence := range absences(t, s) {
		for choice, shown := range choices() {
			user := newUserID()
			s.beat(t, user, "phone", domain.Online)
			if _, err := s.Choose(t.Context(), user, choice, ports.Meta{}); err != nil {
				t.Fatal(err)
			}
			gone := absence(user, shown)
			s.Forward(PresenceTTL().Kept - gone + 10*time.Second)
			s.is(t, user, domain.Offline)
			if _, err := s.Beat(t.Context(), user, on("laptop"), ports.Meta{}); err != nil {
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

// testConnections guards against an old connection that takes a device offline while a newer one keeps it alive.
func testConnections(t *testing.T, s PresenceStore) {
	user := newUserID()
	devices := func(want ...domain.DeviceID) {
		t.Helper()
		if s.Devices == nil {
			return
		}
		if got := s.Devices(t.Context(), user); !slices.Equal(got, want) {
			t.Fatalf("the devices are %q, want %q", got, want)
		}
	}
	s.beat(t, user, "phone old", domain.Online)
	s.Forward(10 * time.Second)
	s.beat(t, user, "phone new")
	devices("phone")
	s.leave(t, user, "phone old")
	s.leave(t, user, "phone old")
	s.is(t, user, domain.Online)
	devices("phone")
	s.beat(t, user, "laptop")
	s.leave(t, user, "laptop new")
	s.leave(t, user, "phone") // the device itself has no heartbeat
	devices("laptop", "phone")
	s.leave(t, user, "phone new")
	devices("laptop")
	s.beat(t, user, "laptop c1")
	s.leave(t, user, "laptop") // its connection remains
	s.is(t, user, domain.Online)
	devices("laptop")
	s.Forward(50 * time.Second)
	s.beat(t, user, "laptop c2")
	s.Forward(50 * time.Second) // c1 has expired
	s.leave(t, user, "laptop c1")
	s.is(t, user, domain.Online)
	s.Forward(50 * time.Second)
	s.is(t, user, domain.Offline)
	s.beat(t, user, "laptop c3")
	s.leave(t, user, "laptop c2")
	s.is(t, user, domain.Online)
	devices("laptop")
	s.leave(t, user, "laptop c3", domain.Offline)
	devices()
}

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
		statuses, err := s.Of(t.Context(), all...)
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

func testOddPresence(t *testing.T, s PresenceStore) {
	for i, user := range oddUsers() {
		device := string(oddUsers()[i])
		s.beat(t, user, device+" "+device, domain.Online)
		s.beat(t, user, device)
		s.leave(t, user, device+" "+device)
		s.leave(t, user, device, domain.Offline)
		s.beat(t, user, device, domain.Online)
		s.is(t, user, domain.Online)
		s.choose(t, user, domain.Busy, domain.Busy)
		s.is(t, user, domain.Busy)
		s.leave(t, user, device, domain.Offline)
		if got := s.heard(user); !slices.Equal(got, []domain.Status{domain.Online, domain.Offline, domain.Online, domain.Busy, domain.Offline}) {
			t.Errorf("listeners heard %v of %q", got, user)
		}
	}
}

// testManyConnections checks that a leave counts only for connections that are still known.
func testManyConnections(t *testing.T, s PresenceStore) {
	user := newUserID()
	name := func(i int) string { return fmt.Sprintf("d%d c%d", i%7, i) }
	s.beat(t, user, name(0), domain.Online)
	for i := 1; i < 3*domain.MaxConnections; i++ {
		if i%domain.MaxConnections == 0 {
			s.Forward(time.Second)
		}
		s.beat(t, user, name(i))
	}
	for i := 2 * domain.MaxConnections; i < 3*domain.MaxConnections-1; i++ {
		s.leave(t, user, name(i))
	}
	s.leave(t, user, name(3*domain.MaxConnections-1), domain.Offline)
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
	if counter, ok := s.PresenceStore.(ports.OnlineCounter); !ok {
		t.Error("the store does not count")
	} else if counted, err := counter.CountOnline(t.Context()); err != nil || counted != n*3/4 {
		t.Errorf("%d are counted, error %v", counted, err)
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
			t.Fatalf("%d returned, error %v", len(some), err)
		}
		told += len(some)
	}
	if told != n || calls < 3 || len(s.online(t)) > 0 {
		t.Errorf("%d returned in %d pages, %d online", told, calls, len(s.online(t)))
	}
}

// testConcurrentPresence has processes beat, leave, choose and sweep at once. Afterwards the stored status is the one published last.
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
			store, c := stores[g%2], on(fmt.Sprintf("d%d c%d", g%2, g%4))
			for i := range 25 {
				var err error
				switch (g + i) % 4 {
				case 0, 1:
					_, err = store.Beat(t.Context(), user, c, ports.Meta{})
				case 2:
					_, err = store.Leave(t.Context(), user, c, ports.Meta{})
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
		"a heartbeat": func() error { _, err := s.Beat(ctx, user, on("phone"), ports.Meta{}); return err },
		"a leave":     func() error { _, err := s.Leave(ctx, user, on("phone"), ports.Meta{}); return err },
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
