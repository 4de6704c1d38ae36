//go:build interop

package interop

import (
	"slices"
	"testing"
	"time"

	"chatcore/domain"
)

// TestPresenceIsReadAsTheGuideDoes reads as the guide's "User Status Tracking" does.
func TestPresenceIsReadAsTheGuideDoes(t *testing.T) {
	core, p := both(t)
	ctx := t.Context()
	beat := func(user domain.UserID, device domain.DeviceID) {
		t.Helper()
		if err := core.Presence.Heartbeat(ctx, user, device, ""); err != nil {
			t.Fatal(err)
		}
	}
	type status struct{ UserID, Status, LastSeen string }
	type devices struct {
		UserID  string
		Devices []string
	}
	beat("ada", "phone")
	beat("ada", `lap"top`)
	beat("ben", "phone")
	if err := core.Presence.Heartbeat(ctx, "ada", "phone", "c1"); err != nil { // a second connection is no second device
		t.Fatal(err)
	}
	must[bool](t)(core.Presence.SetStatus(ctx, "ben", domain.Busy))

	if online := does[[]string](p, "smembers", "user:online:"); len(online) != 2 || !slices.Contains(online, "ada") || !slices.Contains(online, "ben") {
		t.Errorf("they see %v online", online)
	}
	for user, want := range map[string]string{"ada": "online", "ben": "busy"} {
		if !does[bool](p, "sismember", "user:online:", user) {
			t.Errorf("to them %s is not online", user)
		}
		s := does[status](p, "get", "user:status:"+user)
		if seen, err := time.Parse(time.RFC3339, s.LastSeen); s.UserID != user || s.Status != want || err != nil || time.Since(seen).Abs() > time.Minute {
			t.Errorf("to them %s is %+v", user, s)
		}
	}
	if d := does[devices](p, "get", "presence:ada"); d.UserID != "ada" || !slices.Equal(d.Devices, []string{`lap"top`, "phone"}) {
		t.Errorf("to them ada's devices are %+v", d)
	}
	for key, most := range map[string]int{"presence:ada": 300, "user:status:ada": 300, "user:online:": -1} {
		if ttl := does[int](p, "ttl", key); ttl > most || most > 0 && ttl < most-10 {
			t.Errorf("%s lives for %d s", key, ttl)
		}
	}

	for _, device := range []domain.DeviceID{"phone", `lap"top`} {
		if err := core.Presence.Leave(ctx, "ada", device, ""); err != nil {
			t.Fatal(err)
		}
	}
	if d := does[devices](p, "get", "presence:ada"); !slices.Equal(d.Devices, []string{"phone"}) || !does[bool](p, "sismember", "user:online:", "ada") {
		t.Errorf("to them ada, who has another connection, has the devices %+v", d)
	}
	if err := core.Presence.Leave(ctx, "ada", "phone", "c1"); err != nil {
		t.Fatal(err)
	}
	if does[bool](p, "sismember", "user:online:", "ada") || does[status](p, "get", "user:status:ada").Status != "offline" {
		t.Error("to them ada is still there")
	}
	if left := does[any](p, "get", "presence:ada"); left != nil {
		t.Errorf("to them ada still has %v", left)
	}
}

// TestTheOnlineSetIsTheirsToo has the peer mark users online and offline as the guide does, while a core sweeps.
func TestTheOnlineSetIsTheirsToo(t *testing.T) {
	core, p := both(t)
	ctx := t.Context()
	run(t, core)
	is := func(user domain.UserID) bool {
		t.Helper()
		return must[[]bool](t)(core.Presence.IsOnline(ctx, user))[0]
	}
	for _, user := range []domain.UserID{"ada", "ben"} {
		if err := core.Presence.Heartbeat(ctx, user, "phone", ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := core.Presence.Leave(ctx, "ben", "phone", ""); err != nil {
		t.Fatal(err)
	}

	// The peer cannot add a user whom the core knows to be offline. Users whom the core does not know belong to the peer.
	does[int](p, "sadd", "user:online:", "ben", "carl")
	eventually(t, func() bool { return !is("ben") })
	if !is("carl") || !does[bool](p, "sismember", "user:online:", "carl") {
		t.Error("carl, who is theirs, is gone")
	}
	does[any](p, "set", "user:status:carl", map[string]any{"userId": "carl", "status": "away", "lastSeen": 1704164645006}, 300)
	if s := must[[]domain.UserStatus](t)(core.Presence.Statuses(ctx, "carl")); s[0].Status != domain.Away || s[0].LastSeen.UnixMilli() != 1704164645006 {
		t.Errorf("carl is %+v", s)
	}
	does[int](p, "srem", "user:online:", "carl")
	if is("carl") {
		t.Error("carl is there, whom they have removed")
	}

	// If the peer removes a user who is online, the next command of one of the user's devices adds the user again. For a known device, that is the
	// heartbeat that renews the record.
	does[int](p, "srem", "user:online:", "ada")
	if is("ada") {
		t.Error("ada is there, whom they have removed")
	}
	if err := core.Presence.Heartbeat(ctx, "ada", "laptop", ""); err != nil {
		t.Fatal(err)
	}
	if !is("ada") {
		t.Error("ada, who is there, does not come back")
	}
}
