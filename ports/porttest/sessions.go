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

// SessionPolicy returns the policy of the stores under test.
func SessionPolicy() domain.SessionPolicy {
	return domain.SessionPolicy{Idle: time.Hour, Lifetime: 5 * time.Hour, PerUser: 3}
}

// SessionStore is a store with a function that lets time pass for a user's sessions.
type SessionStore struct {
	ports.SessionStore
	Pass func(user domain.UserID, d time.Duration)
}

// Sessions tests a store of sessions with [SessionPolicy]. open may return the same store for every subtest.
func Sessions(t *testing.T, open func(t *testing.T) SessionStore) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s sessions)
	}{
		{"an opened session is found", testSessionFound},
		{"any other key is no session", testSessionNone},
		{"a session that is not used ends", testSessionIdle},
		{"a session that is used ends at its end", testSessionEnds},
		{"uses are noted after a tenth of the idle time", testSessionNoted},
		{"a rotation ends the old secret", testSessionRotated},
		{"of concurrent rotations one succeeds", testSessionRotatedAtOnce},
		{"the oldest goes", testSessionCap},
		{"one is closed", testSessionClosed},
		{"all are closed", testSessionsClosed},
		{"users are apart", testSessionsApart},
		{"a session opened while all are closed is closed or lives", testSessionsClosedAtOnce},
		{"live sessions are reported, and not used", testSessionsLive},
		{"an ended context does nothing", testSessionsEnded},
		{"random use", testSessionsRandom},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, sessions{t, open(t)}) })
	}
}

type sessions struct {
	t tb
	SessionStore
}

func newSessionKey() ports.SessionKey { return ports.SessionKey(rand.Text()) }

func (s sessions) opened(user domain.UserID, device domain.Device) (domain.Session, ports.SessionKey, []domain.Session) {
	s.t.Helper()
	key := newSessionKey()
	session, closed, err := s.Open(s.t.Context(), domain.Session{ID: domain.SessionID(rand.Text()), User: user, Device: device}, key)
	if err != nil {
		s.t.Fatalf("open: %v", err)
	}
	return session, key, closed
}

func (s sessions) none(user domain.UserID, keys ...ports.SessionKey) {
	s.t.Helper()
	for _, key := range keys {
		if found, err := s.Find(s.t.Context(), user, key); !errors.Is(err, domain.ErrNoSession) || found != (domain.Session{}) {
			s.t.Fatalf("%q of %q is %+v, error %v", key, user, found, err)
		}
	}
}

func (s sessions) found(user domain.UserID, key ports.SessionKey) domain.Session {
	s.t.Helper()
	found, err := s.Find(s.t.Context(), user, key)
	if err != nil {
		s.t.Fatalf("find: %v", err)
	}
	return found
}

func (s sessions) listed(user domain.UserID, want ...domain.SessionID) {
	s.t.Helper()
	list, err := s.List(s.t.Context(), user)
	if got := sessionIDs(list); err != nil || !slices.Equal(got, want) {
		s.t.Fatalf("%q has sessions %q, error %v, want %q", user, got, err, want)
	}
}

func sessionIDs(list []domain.Session) []domain.SessionID {
	var ids []domain.SessionID
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

func testSessionFound(t *testing.T, s sessions) {
	user := newUserID()
	for _, device := range []domain.Device{
		{},
		{ID: "phone", Name: "Ada's phone", UserAgent: "Mozilla/5.0 (X; \"Y\"; {}) \\ %s", IP: "::1"},
		{ID: `|[]{}^\` + "`-:*?%", Name: `"_cc":{"id":"x"},"userId":"eve"`, UserAgent: "日本 </script>", IP: "\"},{"},
	} {
		opened, key, _ := s.opened(user, device)
		if opened.User != user || opened.Device != device || !opened.SeenAt.Equal(opened.OpenedAt) || opened.EndsAt.Sub(opened.OpenedAt) != SessionPolicy().Lifetime {
			t.Errorf("opened %+v", opened)
		}
		if found := s.found(user, key); found != opened {
			t.Errorf("found %+v, opened %+v", found, opened)
		}
		list, err := s.List(t.Context(), user)
		if err != nil || list[len(list)-1] != opened {
			t.Errorf("listed %+v, error %v", list, err)
		}
	}
}

func testSessionNone(t *testing.T, s sessions) {
	user := newUserID()
	s.none(user, newSessionKey())
	s.listed(user)
	opened, key, _ := s.opened(user, domain.Device{})
	s.none(user, newSessionKey(), key+"x", key[:len(key)-1])
	s.none(newUserID(), key)
	s.none(user+":", key)
	if _, err := s.Rotate(t.Context(), user, newSessionKey(), newSessionKey()); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("rotate: %v", err)
	}
	for _, id := range []domain.SessionID{"", "x", opened.ID + "x"} {
		if _, err := s.Close(t.Context(), user, id); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("close %q: %v", id, err)
		}
	}
	s.listed(user, opened.ID)
}

func testSessionIdle(_ *testing.T, s sessions) {
	user := newUserID()
	used, usedKey, _ := s.opened(user, domain.Device{})
	_, idleKey, _ := s.opened(user, domain.Device{})
	s.Pass(user, 59*time.Minute)
	s.found(user, usedKey)
	s.Pass(user, time.Minute)
	s.none(user, idleKey)
	s.listed(user, used.ID)
	s.Pass(user, 58*time.Minute)
	s.found(user, usedKey)
	s.Pass(user, 61*time.Minute)
	s.none(user, usedKey)
	s.listed(user)
}

func testSessionEnds(t *testing.T, s sessions) {
	user := newUserID()
	_, key, _ := s.opened(user, domain.Device{})
	for range 5 {
		s.Pass(user, 59*time.Minute)
		s.found(user, key)
	}
	rotated := newSessionKey()
	if _, err := s.Rotate(t.Context(), user, key, rotated); err != nil {
		t.Errorf("rotate: %v", err)
	}
	s.Pass(user, 4*time.Minute)
	s.found(user, rotated)
	s.Pass(user, time.Minute)
	s.none(user, key, rotated)
	s.listed(user)
}

func testSessionNoted(t *testing.T, s sessions) {
	user := newUserID()
	_, key, _ := s.opened(user, domain.Device{})
	s.Pass(user, 5*time.Minute)
	seen := func() time.Duration {
		found := s.found(user, key)
		return found.SeenAt.Sub(found.OpenedAt).Round(time.Minute)
	}
	if got := seen(); got != 0 {
		t.Errorf("after 5 min it was last seen %v after it was opened", got)
	}
	s.Pass(user, time.Minute)
	if got := seen(); got != 6*time.Minute {
		t.Errorf("after 6 min it was last seen %v after it was opened", got)
	}
	s.Pass(user, 5*time.Minute)
	if got := seen(); got != 6*time.Minute {
		t.Errorf("after 11 min it was last seen %v after it was opened", got)
	}
}

func testSessionRotated(t *testing.T, s sessions) {
	user := newUserID()
	opened, first, _ := s.opened(user, domain.Device{ID: "phone"})
	second, third := newSessionKey(), newSessionKey()
	if rotated, err := s.Rotate(t.Context(), user, first, second); err != nil || rotated != opened {
		t.Errorf("rotated to %+v, error %v, from %+v", rotated, err, opened)
	}
	s.none(user, first)
	if _, err := s.Rotate(t.Context(), user, first, third); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("rotated by the old key: %v", err)
	}
	s.none(user, third)
	if found := s.found(user, second); found != opened {
		t.Errorf("found %+v", found)
	}
	s.Pass(user, 30*time.Minute)
	if _, err := s.Rotate(t.Context(), user, second, third); err != nil {
		t.Errorf("rotated again: %v", err)
	}
	s.Pass(user, 59*time.Minute)
	s.found(user, third)
	s.listed(user, opened.ID)
	if _, err := s.Close(t.Context(), user, opened.ID); err != nil {
		t.Errorf("close: %v", err)
	}
	s.none(user, first, second, third)
}

func testSessionRotatedAtOnce(t *testing.T, s sessions) {
	user := newUserID()
	_, first, _ := s.opened(user, domain.Device{})
	var keys [16]ports.SessionKey
	var errs [len(keys)]error
	var wg sync.WaitGroup
	for i := range keys {
		keys[i] = newSessionKey()
		wg.Go(func() { _, errs[i] = s.Rotate(t.Context(), user, first, keys[i]) })
	}
	wg.Wait()
	succeeded := 0
	for i, err := range errs {
		switch {
		case err == nil:
			succeeded++
			s.found(user, keys[i])
		case errors.Is(err, domain.ErrNoSession):
			s.none(user, keys[i])
		default:
			t.Error(err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d succeeded", succeeded)
	}
}

func testSessionCap(t *testing.T, s sessions) {
	user := newUserID()
	var all []domain.Session
	var keys []ports.SessionKey
	for i := range 7 {
		opened, key, closed := s.opened(user, domain.Device{ID: domain.DeviceID(fmt.Sprint("d", i))})
		all, keys = append(all, opened), append(keys, key)
		s.found(user, keys[max(i-2, 0)]) // being used does not save it
		if i < 3 && len(closed) > 0 || i >= 3 && (len(closed) != 1 || closed[0].ID != all[i-3].ID || closed[0].Device != all[i-3].Device) {
			t.Errorf("the %d. closed %+v", i+1, closed)
		}
	}
	s.none(user, keys[:4]...)
	s.listed(user, sessionIDs(all[4:])...)
	s.Pass(user, time.Hour)
	if _, _, closed := s.opened(user, domain.Device{}); len(closed) > 0 {
		t.Errorf("closed %+v, which had expired", closed)
	}
}

func testSessionClosed(t *testing.T, s sessions) {
	user := newUserID()
	a, aKey, _ := s.opened(user, domain.Device{ID: "a"})
	b, bKey, _ := s.opened(user, domain.Device{ID: "b"})
	if _, err := s.Close(t.Context(), newUserID(), a.ID); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("by someone else: %v", err)
	}
	if closed, err := s.Close(t.Context(), user, a.ID); err != nil || closed != a {
		t.Errorf("closed %+v, error %v", closed, err)
	}
	s.none(user, aKey)
	s.found(user, bKey)
	s.listed(user, b.ID)
	if _, err := s.Close(t.Context(), user, a.ID); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("again: %v", err)
	}
	s.Pass(user, time.Hour)
	if _, err := s.Close(t.Context(), user, b.ID); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("after it expired: %v", err)
	}
}

func testSessionsClosed(t *testing.T, s sessions) {
	user, other := newUserID(), newUserID()
	_, otherKey, _ := s.opened(other, domain.Device{})
	a, aKey, _ := s.opened(user, domain.Device{ID: "a"})
	b, bKey, _ := s.opened(user, domain.Device{ID: "b"})
	if closed, err := s.CloseAll(t.Context(), user); err != nil || !slices.Equal(closed, []domain.Session{a, b}) {
		t.Errorf("closed %+v, error %v", closed, err)
	}
	s.none(user, aKey, bKey)
	s.listed(user)
	if closed, err := s.CloseAll(t.Context(), user); err != nil || len(closed) > 0 {
		t.Errorf("again: closed %+v, error %v", closed, err)
	}
	c, cKey, _ := s.opened(user, domain.Device{})
	s.found(user, cKey)
	s.listed(user, c.ID)
	s.none(user, aKey, bKey)
	s.found(other, otherKey)
}

func testSessionsApart(_ *testing.T, s sessions) {
	base := newUserID()
	users := []domain.UserID{base, base + ":", base + ":*", "{" + base + "}", base + "|[]{}^\\`-:%*?\"", "日本" + base, base + "%3A"}
	ids, keys := make(map[domain.UserID]domain.SessionID), make(map[domain.UserID]ports.SessionKey)
	for _, user := range users {
		opened, key, _ := s.opened(user, domain.Device{})
		ids[user], keys[user] = opened.ID, key
	}
	for _, user := range users {
		for _, other := range users {
			if user != other {
				s.none(user, keys[other])
			}
		}
		s.found(user, keys[user])
		s.listed(user, ids[user])
	}
	for i, user := range users {
		if _, err := s.CloseAll(s.t.Context(), user); err != nil {
			s.t.Fatalf("close all: %v", err)
		}
		s.listed(user)
		for _, other := range users[i+1:] {
			s.found(other, keys[other])
		}
	}
}

func testSessionsClosedAtOnce(t *testing.T, s sessions) {
	user := newUserID()
	var mu sync.Mutex
	closed := make(map[domain.SessionID]int)
	count := func(sessions []domain.Session, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		for _, session := range sessions {
			closed[session.ID]++
		}
	}
	var ids [24]domain.SessionID
	var keys [len(ids)]ports.SessionKey
	var wg sync.WaitGroup
	for i := range ids {
		ids[i], keys[i] = domain.SessionID(rand.Text()), newSessionKey()
		wg.Go(func() {
			_, excess, err := s.Open(t.Context(), domain.Session{ID: ids[i], User: user}, keys[i])
			count(excess, err)
		})
		if i%4 == 0 {
			wg.Go(func() { count(s.CloseAll(t.Context(), user)) })
		}
	}
	wg.Wait()
	for i, id := range ids {
		switch closed[id] {
		case 0:
			s.found(user, keys[i])
		case 1:
			s.none(user, keys[i])
		default:
			t.Errorf("%s was closed %d times", id, closed[id])
		}
	}
}

func testSessionsEnded(t *testing.T, s sessions) {
	user := newUserID()
	session, key, _ := s.opened(user, domain.Device{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err1 := s.Open(ctx, domain.Session{ID: "x", User: user}, newSessionKey())
	_, err2 := s.Find(ctx, user, key)
	_, err3 := s.Rotate(ctx, user, key, newSessionKey())
	_, err4 := s.List(ctx, user)
	_, err5 := s.Close(ctx, user, session.ID)
	_, err6 := s.CloseAll(ctx, user)
	for i, err := range []error{err1, err2, err3, err4, err5, err6} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	s.found(user, key)
	s.listed(user, session.ID)
}
