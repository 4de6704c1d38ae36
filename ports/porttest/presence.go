package porttest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
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
	Forward   func(d time.Duration)           // advances the store's time
	Others    ports.PresenceStore             // the same store as another process uses it; nil if there can be none
	Published func() []domain.UserStatus      // statuses published to live listeners so far, of all users
	Now       func(context.Context) time.Time // the store's time
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
		{"a choice while offline is no sign of life", testChoiceWhileOffline},
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
	published, err := s.Heartbeat(t.Context(), user, on(connection), ports.Meta{})
	wantPublished(t, "a heartbeat of "+connection, published, err, want)
}

func (s PresenceStore) leave(t *testing.T, user domain.UserID, connection string, want ...domain.Status) {
	t.Helper()
	published, err := s.Leave(t.Context(), user, on(connection), ports.Meta{})
	wantPublished(t, "the leave of "+connection, published, err, want)
}

func (s PresenceStore) choose(t *testing.T, user domain.UserID, status domain.Status, want ...domain.Status) {
	t.Helper()
	published, err := s.SetStatus(t.Context(), user, status, ports.Meta{})
	wantPublished(t, fmt.Sprintf("the choice of %d", status), published, err, want)
}

func wantPublished(t *testing.T, what string, published *domain.UserStatus, err error, want []domain.Status) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var got []domain.Status
	if published != nil {
		got = append(got, published.Status)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s returned %v, want %v", what, got, want)
	}
}

// sweep expires all users that are due.
func (s PresenceStore) sweep(t *testing.T) (published []domain.UserStatus) {
	t.Helper()
	for {
		some, more, err := s.Expire(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if published = append(published, some...); !more {
			return published
		}
	}
}

// is compares all results about a user.
func (s PresenceStore) is(t *testing.T, user domain.UserID, want domain.Status) domain.UserStatus {
	t.Helper()
	statuses, err := s.Statuses(t.Context(), user)
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
	for _, e := range s.Published() {
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
		if published := s.sweep(t); len(published) > 0 {
			if published[0].User != user || published[0].Status != domain.Offline || published[0].LastSeen.Sub(seen).Abs() > time.Second || len(published) > 1 {
				t.Fatalf("told %+v", published)
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
