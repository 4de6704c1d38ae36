package porttest

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// T is the part of a test that opens a store in the middle of a property.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// presenceHistory is one random history, compared with [domain.Presence].
type presenceHistory struct {
	store PresenceStore
	ctx   context.Context
	now   time.Time
	users []domain.UserID
	model map[domain.UserID]domain.Presence
	heard map[domain.UserID][]domain.Status
}

// PresenceHistories compares random histories of heartbeats, leaves, choices, crashes, sweeps and time with [domain.Presence]: the transition of each
// step, the published transitions, the statuses and the online users at each point, swept or not. Devices have several connections, which leave and
// end in any order. Time passes in steps of ten seconds, and ends fall late between them, so that a store may take up to eight seconds of its own.
func PresenceHistories(t *testing.T, open func(t T) PresenceStore) {
	users := []domain.UserID{"ann", "b:{e}n", `c"e\m`}
	connections := []string{"phone", "phone c1", "phone c2", "laptop c1", `"d\`, `"d\ "c\`}
	rapid.Check(t, func(t *rapid.T) {
		h := &presenceHistory{
			store: open(t), ctx: t.Context(), now: time.Unix(0, 0), users: users,
			model: map[domain.UserID]domain.Presence{}, heard: map[domain.UserID][]domain.Status{},
		}
		user, connection := rapid.SampledFrom(users), rapid.Map(rapid.SampledFrom(connections), on)
		beat := func(t *rapid.T) { h.beat(t, user.Draw(t, "user"), connection.Draw(t, "connection")) }
		leave := func(t *rapid.T) { h.leave(t, user.Draw(t, "user"), connection.Draw(t, "connection")) }
		t.Repeat(map[string]func(*rapid.T){
			"beat": beat, "beat again": beat, "leave": leave, "leave again": leave,
			"choose": func(t *rapid.T) {
				h.choose(t, user.Draw(t, "user"), domain.Status(rapid.IntRange(0, 3).Draw(t, "status")))
			},
			"time": func(t *rapid.T) {
				d := time.Duration(rapid.IntRange(1, 12).Draw(t, "tens")) * 10 * time.Second
				if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
					d *= 10
				}
				h.now = h.now.Add(d)
				h.store.Forward(d)
			},
			"sweep":  func(t *rapid.T) { h.sweep(t) },
			"repair": func(t *rapid.T) { h.repair(t) },
			"":       func(t *rapid.T) { h.check(t) },
		})
		got := map[domain.UserID][]domain.Status{}
		for _, e := range h.store.Published() {
			got[e.User] = append(got[e.User], e.Status)
		}
		if !maps.EqualFunc(got, h.heard, slices.Equal) {
			t.Fatalf("listeners heard %v, in the model %v", got, h.heard)
		}
	})
}

func (h *presenceHistory) known(user domain.UserID) domain.Presence {
	p, ok := h.model[user]
	if !ok || p.Forgotten(PresenceTTL().Kept, h.now) {
		return domain.Presence{User: user}
	}
	return p
}

func (h *presenceHistory) beat(t *rapid.T, u domain.UserID, c domain.Connection) {
	after, want := h.known(u).Heartbeat(c, PresenceTTL().Heartbeat, PresenceTTL().Kept, h.now)
	got, err := h.store.Heartbeat(h.ctx, u, c, ports.Meta{})
	h.stepped(t, "a heartbeat", after, want, got, err)
}

func (h *presenceHistory) leave(t *rapid.T, u domain.UserID, c domain.Connection) {
	after, want := h.known(u).Leave(c, h.now)
	got, err := h.store.Leave(h.ctx, u, c, ports.Meta{})
	h.stepped(t, "a leave", after, want, got, err)
}

func (h *presenceHistory) choose(t *rapid.T, u domain.UserID, s domain.Status) {
	after, want := h.known(u).Set(s, h.now)
	got, err := h.store.SetStatus(h.ctx, u, s, ports.Meta{})
	h.stepped(t, "a choice", after, want, got, err)
}

// stepped compares the transition of a step in the store with that in the model.
func (h *presenceHistory) stepped(t *rapid.T, what string, after domain.Presence, want []domain.Ephemeral, got *domain.UserStatus, err error) {
	if err != nil {
		t.Fatalf("%s of %s: %v", what, after.User, err)
	}
	if (got != nil) != (len(want) > 0) || got != nil && got.Status != after.Published {
		t.Fatalf("%s of %s published %+v, the model %+v", what, after.User, got, want)
	}
	if got != nil {
		h.heard[after.User] = append(h.heard[after.User], got.Status)
		if !after.LastSeen.IsZero() && got.At.Sub(got.LastSeen)-h.now.Sub(after.LastSeen) > 8*time.Second {
			t.Fatalf("%s of %s: seen %v before, in the model %v", what, after.User, got.At.Sub(got.LastSeen), h.now.Sub(after.LastSeen))
		}
	}
	h.model[after.User] = after
}

func (h *presenceHistory) sweep(t *rapid.T) {
	published, more, err := h.store.Expire(h.ctx, 100)
	if err != nil || more {
		t.Fatalf("a sweep: more %v, error %v", more, err)
	}
	h.swept(t, published)
	for u, p := range h.model {
		after, want := p.Expire(h.now)
		if len(want) > 0 {
			t.Fatalf("the silence of %s was not published, in the model it becomes %d", u, after.Published)
		}
		h.model[u] = after
	}
}

func (h *presenceHistory) repair(t *rapid.T) {
	published, err := h.store.Repair(h.ctx, 100)
	if err != nil {
		t.Fatalf("a repair: %v", err)
	}
	h.swept(t, published)
}

func (h *presenceHistory) swept(t *rapid.T, published []domain.UserStatus) {
	for _, e := range published {
		after, want := h.model[e.User].Expire(h.now)
		h.stepped(t, "silence", after, want, &e, nil)
	}
}

// check compares all results of the store.
func (h *presenceHistory) check(t *rapid.T) {
	statuses, err := h.store.Statuses(h.ctx, h.users...)
	if err != nil {
		t.Fatal(err)
	}
	online, err := h.store.AreOnline(h.ctx, h.users...)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[domain.UserID]bool{}
	for user, err := range h.store.Online(h.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		listed[user] = true
	}
	for i, u := range h.users {
		p := h.known(u)
		want := p.StatusAt(h.now)
		there := want != domain.Offline
		if statuses[i].Status != want || online[i] != there || listed[u] != there {
			t.Fatalf("%s: %+v, online %v, listed %v; in the model %d of %+v", u, statuses[i], online[i], listed[u], want, p)
		}
		h.checkDevices(t, p)
	}
}

// checkDevices compares the devices that other programs see. A device whose last heartbeat has expired may still be listed.
func (h *presenceHistory) checkDevices(t *rapid.T, p domain.Presence) {
	if h.store.Devices == nil {
		return
	}
	live, _ := p.Expire(h.now)
	got, want := h.store.Devices(h.ctx, p.User), live.Devices()
	if len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
		t.Fatalf("the devices of %s are %q", p.User, got)
	}
	for _, device := range want {
		if !slices.Contains(got, device) {
			t.Fatalf("the devices of %s are %q, in the model %q", p.User, got, want)
		}
	}
	if len(p.Connections) == 0 && len(got) > 0 {
		t.Fatalf("%s has the devices %q, in the model none", p.User, got)
	}
}
