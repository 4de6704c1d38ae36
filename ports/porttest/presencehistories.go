package porttest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// T is what opens a store in the middle of a property.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// silent is how long someone who is not there is known; see [PresenceTTL].
type silent struct {
	domain.Presence
	until time.Time
}

// PresenceHistories holds random histories of heartbeats, leaves, choices, crashes, sweeps and time against [domain.Presence]: what
// each step tells, what listeners hear, who is online and what the statuses are. Time goes in steps of ten seconds and ends fall between
// them, so that a store may take up to five seconds of its own.
func PresenceHistories(t *testing.T, open func(t T) PresenceStore) {
	users := []domain.UserID{"ann", "b:{e}n", `c"e\m`}
	devices := []domain.DeviceID{"phone", "laptop", `"d\`}
	ttl := PresenceTTL()
	rapid.Check(t, func(t *rapid.T) {
		s := open(t)
		ctx, now, swept := t.Context(), time.Unix(0, 0), time.Unix(0, 0)
		model, heard := map[domain.UserID]silent{}, map[domain.UserID][]domain.Status{}
		known := func(user domain.UserID) domain.Presence {
			if p, ok := model[user]; ok && (p.until.IsZero() || now.Before(p.until)) {
				return p.Presence
			}
			return domain.Presence{User: user}
		}
		// stepped compares what a step told, in the store and in the model.
		stepped := func(what string, user domain.UserID, after domain.Presence, want []domain.Ephemeral, got *domain.UserStatus, err error) {
			if err != nil {
				t.Fatalf("%s of %s: %v", what, user, err)
			}
			if (got != nil) != (len(want) > 0) || got != nil && got.Status != after.Told {
				t.Fatalf("%s of %s told %+v, the model %+v", what, user, got, want)
			}
			if got != nil {
				heard[user] = append(heard[user], got.Status)
				if !after.LastSeen.IsZero() && got.At.Sub(got.LastSeen)-now.Sub(after.LastSeen) > 9*time.Second {
					t.Fatalf("%s of %s: seen %v before, in the model %v", what, user, got.At.Sub(got.LastSeen), now.Sub(after.LastSeen))
				}
			}
			next := silent{Presence: after}
			if len(after.Devices) == 0 {
				next.until = now.Add(ttl.Kept)
			}
			model[user] = next
		}
		user, device := rapid.SampledFrom(users), rapid.SampledFrom(devices)
		beat := func(t *rapid.T) {
			u, d := user.Draw(t, "user"), device.Draw(t, "device")
			after, want := known(u).Beat(d, ttl.Heartbeat, now)
			got, err := s.Beat(ctx, u, d, ports.Meta{})
			stepped("a heartbeat", u, after, want, got, err)
		}
		sweep := func(told []domain.UserStatus, expired func(silent) bool) {
			for _, e := range told {
				before := model[e.User]
				after, want := before.Expire(now)
				stepped("silence", e.User, after, want, &e, nil)
			}
			for u, p := range model {
				if after, want := p.Expire(now); expired(p) && len(want) > 0 {
					t.Fatalf("the silence of %s was not told, in the model it becomes %d", u, after.Told)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"beat": beat, "beat again": beat,
			"leave": func(t *rapid.T) {
				u, d := user.Draw(t, "user"), device.Draw(t, "device")
				before := known(u)
				after, want := before.Leave(d, now)
				got, err := s.Leave(ctx, u, d, ports.Meta{})
				if _, ok := model[u]; !ok || !model[u].until.IsZero() && !now.Before(model[u].until) {
					if got != nil || err != nil {
						t.Fatalf("the leave of someone unknown told %v, error %v", got, err)
					}
					return
				}
				stepped("a leave", u, after, want, got, err)
			},
			"choose": func(t *rapid.T) {
				u, c := user.Draw(t, "user"), domain.Status(rapid.IntRange(0, 3).Draw(t, "status"))
				after, want := known(u).Set(c, now)
				got, err := s.Choose(ctx, u, c, ports.Meta{})
				stepped("a choice", u, after, want, got, err)
			},
			"time": func(t *rapid.T) {
				d := time.Duration(rapid.IntRange(1, 12).Draw(t, "tens")) * 10 * time.Second
				if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
					d *= 10
				}
				now = now.Add(d)
				s.Forward(d)
			},
			"sweep": func(*rapid.T) {
				told, more, err := s.Expire(ctx, 100)
				if err != nil || more {
					t.Fatalf("a sweep: more %v, error %v", more, err)
				}
				sweep(told, func(silent) bool { return true })
				swept = now
				for u, p := range model { // who hides and is gone tells nothing, and counts as gone from then on
					if after, _ := p.Expire(now); p.until.IsZero() && len(after.Devices) == 0 {
						model[u] = silent{after, now.Add(ttl.Kept)}
					}
				}
			},
			"repair": func(*rapid.T) {
				told, err := s.Repair(ctx, 100)
				if err != nil {
					t.Fatalf("a repair: %v", err)
				}
				sweep(told, func(silent) bool { return false })
			},
			"": func(*rapid.T) {
				statuses, err := s.Of(ctx, users...)
				if err != nil {
					t.Fatal(err)
				}
				online, err := s.AreOnline(ctx, users...)
				if err != nil {
					t.Fatal(err)
				}
				for i, u := range users {
					p := known(u)
					expires := now.Sub(swept) > 100*time.Second // a status need not outlast a sweeper that does not sweep
					if statuses[i].Status != p.Told && !expires || online[i] != (p.Told != domain.Offline) {
						t.Fatalf("%s: %+v, online %v, in the model %s", u, statuses[i], online[i], fmt.Sprintf("%+v", p))
					}
				}
			},
		})
		got := map[domain.UserID][]domain.Status{}
		for _, e := range s.Told() {
			got[e.User] = append(got[e.User], e.Status)
		}
		if !maps.EqualFunc(got, heard, slices.Equal) {
			t.Fatalf("listeners heard %v, in the model %v", got, heard)
		}
	})
}
