package chatcore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// hears has a core that does not run yet give the statuses that it hears of.
func hears(t *testing.T, core *chatcore.Core) <-chan domain.UserStatus {
	t.Helper()
	heard := make(chan domain.UserStatus, 64)
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.UserStatus]) { heard <- l.Event })); err != nil {
		t.Fatal(err)
	}
	return heard
}

func hear(t *testing.T, heard <-chan domain.UserStatus, user domain.UserID, want domain.Status) {
	t.Helper()
	if e := receive(t, heard); e.User != user || e.Status != want {
		t.Fatalf("heard %+v, want %s to be %d", e, user, want)
	}
}

func heartbeat(t *testing.T, core *chatcore.Core, user domain.UserID, device domain.DeviceID) {
	t.Helper()
	if err := core.Presence.Heartbeat(t.Context(), user, device, ""); err != nil {
		t.Fatal(err)
	}
}

// TestACrashedDeviceIsToldOnce has several processes on one Redis; one of them sweeps, and then ends.
func TestACrashedDeviceIsToldOnce(t *testing.T) {
	config := chatcore.Config{
		Redis:    chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "core-" + uuid.NewString()},
		Presence: chatcore.PresenceConfig{HeartbeatTTL: time.Second},
	}
	var cores []*chatcore.Core
	var stops []func()
	var heard <-chan domain.UserStatus
	for range 3 {
		core := opened(t)(chatcore.New(t.Context(), config))
		heard = hears(t, core) // the last one's counts
		cores, stops = append(cores, core), append(stops, start(t, core))
	}
	for i, stop := range stops {
		heartbeat(t, cores[2], "ann", "phone")
		hear(t, heard, "ann", domain.Online)
		hear(t, heard, "ann", domain.Offline) // and nothing else before the next heartbeat
		if online := must[[]bool](t)(cores[2].Presence.IsOnline(t.Context(), "ann", "ben")); !slices.Equal(online, []bool{false, false}) {
			t.Errorf("online %v", online)
		}
		if i < 2 {
			stop()
		}
	}
}

func TestPresenceByTheClock(t *testing.T) {
	core := chatcoretest.New(t)
	heard := hears(t, core.Core)
	core.Start()
	heartbeat(t, core.Core, "ann", "phone")
	hear(t, heard, "ann", domain.Online)
	if published := must[bool](t)(core.Presence.SetStatus(t.Context(), "ann", domain.Busy)); !published {
		t.Error("the choice was not told")
	}
	hear(t, heard, "ann", domain.Busy)
	seen := core.Clock.Now()
	core.Clock.Advance(2 * time.Minute)
	hear(t, heard, "ann", domain.Offline)
	if s := must[[]domain.UserStatus](t)(core.Presence.Statuses(t.Context(), "ben", "ann")); s[1].Status != domain.Offline || !s[1].LastSeen.Equal(seen) || !s[0].LastSeen.IsZero() {
		t.Errorf("statuses %+v", s)
	}
	for user, err := range core.Presence.Online(t.Context()) {
		t.Errorf("%s is online, error %v", user, err)
	}
}

// TestPresence_SessionsOfOneDevice guards against a user that goes offline because an old session of a device that has a newer one is closed, in any
// way there is, or because an old connection leaves late.
func TestPresence_SessionsOfOneDevice(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(chatcore.Config{Sessions: chatcore.SessionsConfig{PerUser: 2}}), t.Context()
		login := func(device domain.DeviceID) domain.SessionID {
			t.Helper()
			opened := must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ann", Device: domain.Device{ID: device}}))
			if err := core.Presence.Heartbeat(ctx, "ann", device, domain.ConnectionID(opened.ID)); err != nil {
				t.Fatal(err)
			}
			return opened.ID
		}
		expect := func(when string, online bool) {
			t.Helper()
			if got := must[[]bool](t)(core.Presence.IsOnline(ctx, "ann")); got[0] != online {
				t.Fatalf("%s: online %v", when, got[0])
			}
		}
		older, newer := login("phone"), login("phone")
		if err := core.Sessions.Close(ctx, "ann", older); err != nil {
			t.Fatal(err)
		}
		expect("the older session is closed", true)
		if err := core.Presence.Leave(ctx, "ann", "phone", domain.ConnectionID(older)); err != nil {
			t.Fatal(err)
		}
		expect("the older connection leaves late", true)
		login("phone")
		newest := login("phone") // beyond the cap: newer is closed
		expect("a session is closed beyond the cap", true)
		if err := core.Presence.Leave(ctx, "ann", "phone", domain.ConnectionID(newer)); err != nil {
			t.Fatal(err)
		}
		expect("its connection leaves late", true)
		for _, session := range must[[]domain.Session](t)(core.Sessions.List(ctx, "ann")) {
			if session.ID != newest {
				if err := core.Sessions.Close(ctx, "ann", session.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		expect("all but one are closed", true)
		if n := must[int](t)(core.Sessions.CloseAll(ctx, "ann")); n != 1 {
			t.Errorf("closed %d", n)
		}
		expect("all are closed", false)
		if s := must[[]domain.UserStatus](t)(core.Presence.Statuses(ctx, "ann")); s[0].Status != domain.Offline {
			t.Errorf("the status is %+v", s)
		}
	})
}

// TestPresence_WithoutRun has no process that sweeps: users are offline nevertheless when their last heartbeat has ended, and users of other programs
// have the status that those stored.
func TestPresence_WithoutRun(t *testing.T) {
	server, namespace := redistest.Shared(t), "core-"+uuid.NewString()
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: namespace}, Presence: chatcore.PresenceConfig{HeartbeatTTL: time.Second}}))
	ctx, client := t.Context(), server.Client(t)
	heartbeat(t, core, "ann", "phone")
	must[bool](t)(core.Presence.SetStatus(ctx, "ann", domain.Busy))
	client.SAdd(ctx, namespace+":user:online:", "theirs")
	client.Set(ctx, namespace+":user:status:theirs", `{"status":"away"}`, 0)
	eventually(t, "ann is offline", func() bool { return !must[[]bool](t)(core.Presence.IsOnline(ctx, "ann"))[0] })
	if s := must[[]domain.UserStatus](t)(core.Presence.Statuses(ctx, "ann", "theirs")); s[0].Status != domain.Offline || s[0].LastSeen.IsZero() || s[1].Status != domain.Away {
		t.Errorf("statuses %+v", s)
	}
	var online []domain.UserID
	for user, err := range core.Presence.Online(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		online = append(online, user)
	}
	if !slices.Equal(online, []domain.UserID{"theirs"}) {
		t.Errorf("online %v", online)
	}
	if !client.SIsMember(ctx, namespace+":user:online:", "ann").Val() {
		t.Error("reading changed the set")
	}
}

// TestPresenceComesBackWithRedis stops a Redis that keeps nothing.
func TestPresenceComesBackWithRedis(t *testing.T) {
	server := redistest.Start(t)
	logger, said := heard()
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Logger: logger, Presence: chatcore.PresenceConfig{HeartbeatTTL: time.Second}}))
	statuses := hears(t, core)
	start(t, core)
	heartbeat(t, core, "ann", "phone")
	hear(t, statuses, "ann", domain.Online)
	server.Stop()
	await(t, said, "presence sweep failed, trying again")
	server.Restart(t)
	await(t, said, "presence sweep works again")
	eventually(t, "the listener is back", func() bool { // events published meanwhile are lost to it
		if err := core.Presence.Heartbeat(t.Context(), domain.UserID("user-"+uuid.NewString()), "phone", ""); err != nil {
			t.Fatal(err)
		}
		return len(statuses) > 0
	})
	heartbeat(t, core, "ann", "phone")
	for e := range statuses {
		if e.User == "ann" && e.Status == domain.Offline {
			break
		}
	}
}

func TestPresenceRefusesBadInput(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(chatcore.Config{}), t.Context()
		second := func(_ any, err error) error { return err }
		for what, err := range map[string]error{
			"a heartbeat of nobody":     core.Presence.Heartbeat(ctx, "", "phone", ""),
			"a heartbeat of no device":  core.Presence.Heartbeat(ctx, "ann", "", ""),
			"a device with a space":     core.Presence.Heartbeat(ctx, "ann", " told", ""),
			"a connection with a space": core.Presence.Heartbeat(ctx, "ann", "phone", "c 1"),
			"a long connection":         core.Presence.Leave(ctx, "ann", "phone", domain.ConnectionID(strings.Repeat("x", 129))),
			"a long device":             core.Presence.Leave(ctx, "ann", domain.DeviceID(strings.Repeat("x", 129)), ""),
			"a leave of nobody":         core.Presence.Leave(ctx, "a\x00", "phone", ""),
			"a status of nobody":        second(core.Presence.SetStatus(ctx, "a b", domain.Away)),
			"a status there is not":     second(core.Presence.SetStatus(ctx, "ann", 9)),
			"statuses":                  second(core.Presence.Statuses(ctx, "ann", "\xff")),
			"online":                    second(core.Presence.IsOnline(ctx, "ann", "")),
		} {
			var invalid *domain.InvalidError
			if !errors.As(err, &invalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestHeartbeatsThatCannotBe(t *testing.T) {
	for _, ttl := range []chatcore.PresenceConfig{
		{HeartbeatTTL: -time.Second}, {HeartbeatTTL: time.Millisecond}, {HeartbeatTTL: 200 * time.Second}, {DevicesTTL: time.Minute}, {StatusTTL: time.Minute},
	} {
		var invalid *domain.InvalidError
		if err := (chatcore.Config{Presence: ttl}).Validate(); !errors.As(err, &invalid) || invalid.Field != "Presence.HeartbeatTTL" {
			t.Errorf("%+v: %v", ttl, err)
		}
	}
	if err := (chatcore.Config{Presence: chatcore.PresenceConfig{HeartbeatTTL: time.Minute, DevicesTTL: 2 * time.Minute}}).Validate(); err != nil {
		t.Error(err)
	}
}
