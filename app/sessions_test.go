package app_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// leaves are the connections whose heartbeats were ended.
type leaves struct {
	left []domain.Connection
	err  error
}

func (l *leaves) Leave(ctx context.Context, _ domain.UserID, device domain.DeviceID, conn domain.ConnectionID) error {
	l.left = append(l.left, domain.Connection{Device: device, ID: conn})
	return errors.Join(ctx.Err(), l.err)
}

// foreignStore keeps something else under every key.
type foreignStore struct{ ports.SessionStore }

func (foreignStore) Find(context.Context, domain.UserID, ports.SessionKey) (domain.Session, error) {
	return domain.Session{}, &ports.ForeignValueError{Key: "k"}
}

func sessionPolicy() domain.SessionPolicy {
	return domain.SessionPolicy{Idle: time.Hour, Lifetime: 5 * time.Hour, PerUser: 3}
}

func newSessions(presence app.Presences, compat bool) *app.Sessions {
	return app.NewSessions(memory.NewSessions(&stepping{At: time.Now()}, sessionPolicy()), presence, app.SessionMode{Compat: compat})
}

func login(t interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
}, s *app.Sessions, user domain.UserID, device domain.DeviceID,
) app.OpenedSession {
	t.Helper()
	opened, err := s.Open(t.Context(), domain.OpenSession{User: user, Device: domain.Device{ID: device}})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestASessionsLife(t *testing.T) {
	for _, compat := range []bool{false, true} {
		s, ctx := newSessions(nil, compat), t.Context()
		opened := login(t, s, "ada", "phone")
		if found, err := s.Get(ctx, opened.Token); err != nil || found.ID != opened.ID || found.User != "ada" {
			t.Errorf("found %+v, error %v", found, err)
		}
		rotated, err := s.Rotate(ctx, opened.Token)
		if err != nil || rotated.ID != opened.ID || rotated.Token == opened.Token {
			t.Errorf("rotated to %+v, error %v", rotated, err)
		}
		if _, err := s.Get(ctx, opened.Token); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("by the old token: %v", err)
		}
		if _, err := s.Rotate(ctx, opened.Token); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("rotated by the old token: %v", err)
		}
		if list, err := s.List(ctx, "ada"); err != nil || len(list) != 1 || list[0].ID != opened.ID {
			t.Errorf("listed %+v, error %v", list, err)
		}
		if err := s.Close(ctx, "ada", opened.ID); err != nil {
			t.Error(err)
		}
		if _, err := s.Get(ctx, rotated.Token); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("after it was closed: %v", err)
		}
		if err := s.Close(ctx, "ada", opened.ID); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("closed again: %v", err)
		}
		login(t, s, "ada", "")
		if n, err := s.CloseAll(ctx, "ada"); n != 1 || err != nil {
			t.Errorf("closed %d, error %v", n, err)
		}
	}
}

func TestSessionsRefuseBadInput(t *testing.T) {
	s, ctx := newSessions(nil, false), t.Context()
	open := func(user domain.UserID, d domain.Device) error {
		_, err := s.Open(ctx, domain.OpenSession{User: user, Device: d})
		return err
	}
	list := func(user domain.UserID) error { _, err := s.List(ctx, user); return err }
	all := func(user domain.UserID) error { _, err := s.CloseAll(ctx, user); return err }
	for what, err := range map[string]error{
		"no user":         open("", domain.Device{}),
		"a long user":     open(domain.UserID(strings.Repeat("x", 129)), domain.Device{}),
		"a device":        open("ada", domain.Device{ID: "a b"}),
		"a long name":     open("ada", domain.Device{Name: strings.Repeat("x", 129)}),
		"a long agent":    open("ada", domain.Device{UserAgent: strings.Repeat("x", 513)}),
		"an agent's line": open("ada", domain.Device{UserAgent: "a\r\nb"}),
		"an ip":           open("ada", domain.Device{IP: "\xff"}),
		"list":            list("a b"),
		"close":           s.Close(ctx, "", "ID"),
		"close an id":     s.Close(ctx, "ada", "I:D"),
		"close no id":     s.Close(ctx, "ada", ""),
		"close all":       all("\x00"),
	} {
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTokensOfAnyShape has only the one token that was given open the session: not one of another spelling, another user, or none at all.
func TestTokensOfAnyShape(t *testing.T) {
	for _, compat := range []bool{false, true} {
		s := newSessions(nil, compat)
		opened := login(t, s, "ada", "phone")
		eve := login(t, s, "eve", "laptop")
		who, secret, _ := strings.Cut(string(opened.Token), ".")
		eves, _, _ := strings.Cut(string(eve.Token), ".")
		rapid.Check(t, func(rt *rapid.T) {
			i := rapid.IntRange(0, len(opened.Token)-1).Draw(rt, "place")
			token := app.SessionToken(rapid.OneOf(
				rapid.String(),
				rapid.StringMatching(`[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{40,45}`),
				rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
				rapid.Map(rapid.Byte(), func(b byte) string { return string(opened.Token[:i]) + string([]byte{b}) + string(opened.Token[i+1:]) }),
				rapid.Map(rapid.String(), func(s string) string { return string(opened.Token[:i]) + s + string(opened.Token[i:]) }),
				rapid.Map(rapid.IntRange(0, 1<<16), func(n int) string { return strings.Repeat("A", n) }),
				rapid.SampledFrom([]string{
					"", ".", who, who + ".", "." + secret, secret + "." + who, eves + "." + secret, who + "." + secret + "=", who + "." + secret + ".",
					who + "." + secret + "\n", who + "\r\n." + secret, base64.StdEncoding.EncodeToString([]byte("ada")) + "." + secret,
					base64.RawURLEncoding.EncodeToString([]byte("a b")) + "." + secret, strings.Repeat("x", 1<<20),
				}),
			).Draw(rt, "token"))
			found, err := s.Get(rt.Context(), token)
			if token == opened.Token {
				return
			}
			if !errors.Is(err, domain.ErrNoSession) || found != (domain.Session{}) {
				rt.Fatalf("%q is %+v, error %v", string(token), found, err)
			}
			if _, err := s.Rotate(rt.Context(), token); !errors.Is(err, domain.ErrNoSession) {
				rt.Fatalf("%q is rotated, error %v", string(token), err)
			}
		})
		if found, err := s.Get(t.Context(), opened.Token); err != nil || found.User != "ada" {
			t.Errorf("the token is %+v, error %v", found, err)
		}
	}
}

func TestTokensOfAnyUser(t *testing.T) {
	s := newSessions(nil, false)
	rapid.Check(t, func(rt *rapid.T) {
		user := domain.UserID(rapid.StringMatching(`[!-~]{0,20}[|{}:*日%]{1,30}`).Draw(rt, "user"))
		opened := login(rt, s, user, "")
		if found, err := s.Get(rt.Context(), opened.Token); err != nil || found.User != user {
			rt.Fatalf("found %+v, error %v", found, err)
		}
	})
}

func TestATokenIsHiddenInLogs(t *testing.T) {
	var b strings.Builder
	opened := login(t, newSessions(nil, false), "ada", "")
	token := opened.Token
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "token", token)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "token", token, "opened", opened)
	fmt.Fprintf(&b, "%v %s %q %#v %+v %x %v", token, token, token, token, opened, token, []any{token})
	_, secret, _ := strings.Cut(string(token), ".")
	if strings.Contains(b.String(), secret) || strings.Contains(b.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("it says %s", b.String())
	}
}

// TestSessions_CloseEndsItsHeartbeat has each way of closing a session end the heartbeat that names the session, and no other.
func TestSessions_CloseEndsItsHeartbeat(t *testing.T) {
	presence := &leaves{}
	s := newSessions(presence, false)
	expect := func(when string, closed ...app.OpenedSession) {
		t.Helper()
		var want []domain.Connection
		for _, session := range closed {
			want = append(want, domain.Connection{Device: session.Device.ID, ID: domain.ConnectionID(session.ID)})
		}
		if !slices.Equal(presence.left, want) {
			t.Errorf("%s: %q left, want %q", when, presence.left, want)
		}
		presence.left = nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	phone := login(t, s, "ada", "phone")
	if err := s.Close(ctx, "ada", phone.ID); err != nil {
		t.Error(err)
	}
	expect("closed", phone)
	var opened []app.OpenedSession
	for _, device := range []domain.DeviceID{"phone", "laptop", "", "phone", "tv"} {
		opened = append(opened, login(t, s, "ada", device))
	}
	expect("beyond the cap", opened[0], opened[1])
	presence.err = errors.New("no presence")
	if n, err := s.CloseAll(ctx, "ada"); n != 3 || err != nil {
		t.Errorf("closed %d, error %v", n, err)
	}
	expect("all closed", opened[3], opened[4])
	if list, err := s.List(ctx, "ada"); err != nil || len(list) > 0 || s.Stats().NotLeft != 2 {
		t.Errorf("there are %+v, error %v; stats %+v", list, err, s.Stats())
	}
	cancel()
	login(t, s, "ada", "phone")
	if _, err := s.CloseAll(ctx, "ada"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	expect("not closed")
}

func TestWhatIsNoSessionIsCounted(t *testing.T) {
	s := app.NewSessions(foreignStore{}, nil, app.SessionMode{})
	if _, err := s.Get(t.Context(), "x"); !errors.Is(err, domain.ErrNoSession) || s.Stats().Unreadable != 1 {
		t.Errorf("%v, stats %+v", err, s.Stats())
	}
}
