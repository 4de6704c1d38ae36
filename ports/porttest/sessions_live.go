package porttest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// lives checks which of the sessions are reported as live.
func (s sessions) lives(refs []ports.SessionRef, want ...bool) {
	s.t.Helper()
	if live, err := s.Live(s.t.Context(), refs); err != nil || !slices.Equal(live, want) {
		s.t.Fatalf("live %v, error %v, want %v", live, err, want)
	}
}

// testSessionsLive checks sessions that end in every way. A check is no use: a session that is only checked ends after its idle time.
func testSessionsLive(t *testing.T, s sessions) {
	s.lives(nil)
	user, other := newUserID(), newUserID()
	ref := func(user domain.UserID) ports.SessionRef {
		session, key, _ := s.opened(user, domain.Device{ID: "phone", Name: "日本"})
		return ports.SessionRef{User: user, ID: session.ID, Key: key}
	}
	closed, rotated, used := ref(user), ref(user), ref(user)
	all := ref(other)
	refs := []ports.SessionRef{closed, rotated, used, all, {User: other, ID: closed.ID, Key: closed.Key}, {User: user, ID: closed.ID, Key: used.Key}, {User: user, ID: "none", Key: "NONE"}}
	s.lives(refs, true, true, true, true, false, false, false)
	if _, err := s.Close(t.Context(), user, closed.ID); err != nil {
		t.Fatal(err)
	}
	moved := ports.SessionRef{User: user, ID: rotated.ID, Key: newSessionKey()}
	if _, err := s.Rotate(t.Context(), user, rotated.Key, moved.Key); err != nil {
		t.Fatal(err)
	}
	refs[4] = moved
	s.lives(refs, false, false, true, true, true, false, false)
	idle := ref(user)
	if _, err := s.CloseAll(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	s.Pass(user, 50*time.Minute)
	s.lives([]ports.SessionRef{all, idle, used}, false, true, true)
	s.found(user, used.Key)
	s.Pass(user, 10*time.Minute)
	s.lives([]ports.SessionRef{idle, used}, false, true)
	for range 5 { // until the end of its lifetime
		s.found(user, used.Key)
		s.Pass(user, 48*time.Minute)
	}
	s.lives([]ports.SessionRef{used}, false)
	many := make([]ports.SessionRef, 600) // more than a store checks at once
	for i := range many {
		many[i] = ports.SessionRef{User: user, ID: "none", Key: "NONE"}
	}
	many[599] = ref(user)
	want := make([]bool, 600)
	want[599] = true
	s.lives(many, want...)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Live(ended, many); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}
