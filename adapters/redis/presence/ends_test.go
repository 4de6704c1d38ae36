package presence_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// onlineNow returns the users that a store lists, sorted. It checks that AreOnline agrees and, if statuses are stored, also Of.
func onlineNow(t *testing.T, s ports.Statuses, users ...domain.UserID) (online []domain.UserID) {
	t.Helper()
	for user, err := range s.Online(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		online = append(online, user)
	}
	slices.Sort(online)
	are, err := s.AreOnline(t.Context(), users...)
	if err != nil {
		t.Fatal(err)
	}
	for i, user := range users {
		if slices.Contains(online, user) != are[i] {
			t.Errorf("%s: online %v, listed %v", user, are[i], online)
		}
	}
	return online
}

// TestPresence_ReadsWithoutSweep has a process end at each possible point, without a later sweep.
func TestPresence_ReadsWithoutSweep(t *testing.T) {
	for _, cluster := range []bool{false, true} { // a single server accepts the keys of a Cluster too
		t.Run(fmt.Sprintf("cluster=%v", cluster), func(t *testing.T) {
			client := rig.Connect(t, redistest.Shared(t).URL())
			keys, ctx := anyKeys(t, cluster), t.Context()
			s := agedStore(ctx, t, client, keys, newEar(t, client))
			users := []domain.UserID{"crashed", "lost", "hidden", "live", "behind", "theirs"}
			record := func(user domain.UserID) string { return keys.Presence().Record(user) }
			for _, user := range users[:4] {
				beats(t, s, user, "phone")
			}
			if _, err := s.SetStatus(ctx, "hidden", domain.Offline, ports.Meta{}); err != nil {
				t.Fatal(err)
			}
			set, added := keys.Prefix()+"user:online:", keys.Prefix()+"cc:{"+keys.Prefix()+"user:online:}:added"
			client.SAdd(ctx, set, "theirs", "hidden", "no id")
			client.Del(ctx, record("lost"))
			want := []domain.UserID{"crashed", "live", "lost", "theirs"}
			if cluster { // a core added the user, and ended before it removed the user from the set
				client.SAdd(ctx, set, "behind")
				client.SAdd(ctx, added, "behind")
			}
			if got := onlineNow(t, s, users...); !slices.Equal(got, want) {
				t.Errorf("online %q, want %q", got, want)
			}
			s.Forward(60 * time.Second)
			beats(t, s, "live", "phone")
			s.Forward(60 * time.Second)
			if got := onlineNow(t, s, users...); !slices.Equal(got, []domain.UserID{"live", "theirs"}) {
				t.Errorf("after the heartbeats have ended: online %q", got)
			}
			for user, want := range map[domain.UserID]domain.Status{"crashed": domain.Offline, "lost": domain.Offline, "live": domain.Online} {
				if got := statusOf(t, s, user); got != want {
					t.Errorf("the status of %s is %d", user, got)
				}
			}
			if n := client.SCard(ctx, set).Val(); n < 6 {
				t.Errorf("reading left %d in the set", n)
			}
		})
	}
}

// TestPresence_ReadsPastForeignValues has other programs write other types to the keys of records and the due index.
func TestPresence_ReadsPastForeignValues(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		for _, key := range []string{"cc:presence:u", "cc:presence-due"} {
			keys, ctx := rig.NewKeys(t, 1), t.Context()
			p := rig.NewPresence(t, client, keys)
			client.SAdd(ctx, keys.Prefix()+key, "x")
			client.SAdd(ctx, keys.Prefix()+"user:online:", "u")
			client.Set(ctx, keys.Prefix()+"user:status:u", `{"status":"away"}`, 0)
			if got := onlineNow(t, p, "u", "v"); !slices.Equal(got, []domain.UserID{"u"}) {
				t.Errorf("with a set at %s: online %q", key, got)
			}
			if got := statusOf(t, p, "u"); got != domain.Away {
				t.Errorf("with a set at %s: status %d", key, got)
			}
		}
	})
}

// TestPresence_LastSeenAtRead compares the last-seen time with the last heartbeat, which only moved its end.
func TestPresence_LastSeenAtRead(t *testing.T) {
	server := rig.Mini(t)
	client := rig.Connect(t, "redis://"+server.Addr())
	s := miniStore(t.Context(), t, server, client, rig.NewKeys(t, 1), newEar(t, client))
	seen := func() time.Time {
		t.Helper()
		statuses, err := s.Statuses(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		return statuses[0].LastSeen
	}
	beats(t, s, "ann", "phone")
	s.Forward(20 * time.Second)
	beats(t, s, "ann", "phone")
	last := s.Now(t.Context())
	s.Forward(20 * time.Second)
	if got := seen(); !got.Equal(last) {
		t.Errorf("last seen %v, want %v", got, last)
	}
	s.Forward(100 * time.Second)
	if got := seen(); !got.Equal(last) {
		t.Errorf("after the last heartbeat has ended: last seen %v, want %v", got, last)
	}
}

// TestPresence_ReadsAreOneRoundTrip counts round trips for many users.
func TestPresence_ReadsAreOneRoundTrip(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		client := rig.Connect(t, redistest.Shared(t).URL())
		p, trips := rig.NewPresence(t, client, anyKeys(t, cluster)), &rig.Pipelines{}
		users := make([]domain.UserID, 1000)
		for i := range users {
			users[i] = domain.UserID(fmt.Sprintf("user%d", i))
		}
		onlineNow(t, p, users...) // from here on Redis has the scripts
		client.AddHook(trips)
		for what, read := range map[string]func() error{
			"statuses": func() error { _, err := p.Statuses(t.Context(), users...); return err },
			"online":   func() error { _, err := p.AreOnline(t.Context(), users...); return err },
		} {
			*trips = rig.Pipelines{}
			if err := read(); err != nil || trips.Calls+trips.Pipelines != 1 {
				t.Errorf("cluster %v: %s took %+v, error %v", cluster, what, *trips, err)
			}
		}
	}
}

// TestPresence_LongChoices has a chosen status last longer than a day. Its record must not expire earlier.
func TestPresence_LongChoices(t *testing.T) {
	client, keys, ctx := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1), t.Context()
	ttl := ports.PresenceTTL{Heartbeat: time.Hour, Kept: 72 * time.Hour, Status: 2 * time.Hour}
	p, err := presence.New(presence.Config{Client: client, Keys: keys.Presence(), Codec: wireformat.New(), IDs: rig.RandomIDs{}, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	s := porttest.PresenceStore{PresenceStore: p}
	beats(t, s, "ann", "phone")
	if _, err := p.SetStatus(ctx, "ann", domain.Offline, ports.Meta{}); err != nil {
		t.Fatal(err)
	}
	age(ctx, t, client, keys.Prefix(), ttl.Heartbeat+ttl.Kept-time.Minute)
	if published := beats(t, s, "ann", "phone"); published != nil {
		t.Errorf("a hidden user who comes back is published as %+v", published)
	}
	if _, err := p.Leave(ctx, "ann", rig.Phone, ports.Meta{}); err != nil {
		t.Fatal(err)
	}
	age(ctx, t, client, keys.Prefix(), ttl.Kept-time.Minute)
	if published := beats(t, s, "ann", "phone"); published != nil {
		t.Errorf("a hidden user who left and comes back is published as %+v", published)
	}
}
