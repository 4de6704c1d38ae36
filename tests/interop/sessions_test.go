//go:build interop

package interop

import (
	"errors"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// TestSessionsGoBothWays has each side use and end sessions that the other has opened, in compat mode.
func TestSessionsGoBothWays(t *testing.T) {
	core, p := bothWith(t, chatcore.Config{Sessions: chatcore.SessionsConfig{Compat: true}})
	ctx := t.Context()
	ours := must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada", Device: domain.Device{ID: "phone", Name: "Ada's <phone> & “co”"}}))
	key := "session:" + string(ours.Token)
	seen := does[map[string]any](p, "get", key)
	if seen["userId"] != "ada" || seen["deviceId"] != "phone" || seen["deviceName"] != "Ada's <phone> & “co”" || seen["createdAt"] != float64(ours.OpenedAt.UnixMilli()) {
		t.Errorf("they see %v", seen)
	}
	if ttl := does[int](p, "ttl", key); ttl < 3590 || ttl > 3600 {
		t.Errorf("it lives for %d s", ttl)
	}
	const theirs = "2f1c7c3e-1b0a-4b7e-9f55-6f3f2f0f9a11"
	does[any](p, "set", "session:"+theirs, map[string]any{"userId": "ben", "role": "admin", "loginAt": 1_700_000_000_000}, 3600)
	if found := must[domain.Session](t)(core.Sessions.Get(ctx, theirs)); found != (domain.Session{User: "ben"}) {
		t.Errorf("we find %+v", found)
	}
	for _, token := range []app.SessionToken{ours.Token, theirs} {
		does[any](p, "del", "session:"+string(token))
		if _, err := core.Sessions.Get(ctx, token); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("after their del: %v", err)
		}
	}
	if list := must[[]domain.Session](t)(core.Sessions.List(ctx, "ada")); len(list) != 0 {
		t.Errorf("after their del we list %+v", list)
	}
	ours = must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	if err := core.Sessions.Close(ctx, "ada", ours.ID); err != nil {
		t.Error(err)
	}
	if left := does[any](p, "get", "session:"+string(ours.Token)); left != nil {
		t.Errorf("after our close they see %v", left)
	}
}

// TestThePeerLogsAUserOut has the peer see a session that it cannot use, and end all sessions of one user by delPattern.
func TestThePeerLogsAUserOut(t *testing.T) {
	core, p := both(t)
	ctx := t.Context()
	sessions := map[domain.UserID][]app.OpenedSession{}
	for _, user := range []domain.UserID{"ada", "ada", "ada2", "ben"} {
		sessions[user] = append(sessions[user], must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: user})))
	}
	if seen := does[any](p, "get", "session:"+string(sessions["ada"][0].Token)); seen != nil {
		t.Errorf("under the token there is %v", seen)
	}
	does[any](p, "delPattern", "session:ada:*")
	for user, opened := range sessions {
		for _, s := range opened {
			if _, err := core.Sessions.Get(ctx, s.Token); errors.Is(err, domain.ErrNoSession) != (user == "ada") || err != nil && user != "ada" {
				t.Errorf("%s: %v", user, err)
			}
		}
		if list := must[[]domain.Session](t)(core.Sessions.List(ctx, user)); (len(list) == 0) != (user == "ada") {
			t.Errorf("%s has %+v", user, list)
		}
	}
	if again := must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada"})); again.User != "ada" {
		t.Errorf("logged in again as %+v", again)
	}
}
