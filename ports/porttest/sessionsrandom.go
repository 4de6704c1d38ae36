package porttest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// sessionModel is the model of a user's sessions. It has its own clock.
type sessionModel struct {
	now  time.Duration
	live []modelSession // in the order of their opening
}

type modelSession struct {
	id         domain.SessionID
	device     domain.Device
	key        ports.SessionKey
	seen, ends time.Duration
}

func (m *sessionModel) pass(d time.Duration) {
	m.now += d
	m.live = slices.DeleteFunc(m.live, func(s modelSession) bool { return m.now >= s.ends || m.now-s.seen >= time.Hour })
}

func (m *sessionModel) by(key ports.SessionKey) *modelSession {
	for i := range m.live {
		if m.live[i].key == key {
			return &m.live[i]
		}
	}
	return nil
}

func (m *sessionModel) use(s *modelSession) {
	if m.now-s.seen >= 6*time.Minute {
		s.seen = m.now
	}
}

// testSessionsRandom compares a store with the model. The test itself takes far less than a minute, the unit of the model's time.
func testSessionsRandom(t *testing.T, s sessions) {
	rapid.Check(t, func(rt *rapid.T) {
		s.t = rt
		user, m := newUserID(), &sessionModel{}
		keys, ids := []ports.SessionKey{newSessionKey()}, []domain.SessionID{"none"}
		same := func(got domain.Session, err error, want *modelSession) {
			rt.Helper()
			if want == nil {
				if !errors.Is(err, domain.ErrNoSession) {
					rt.Fatalf("got %+v, error %v, want none", got, err)
				}
				return
			}
			left := got.EndsAt.Sub(got.SeenAt)
			if err != nil || got.ID != want.id || got.User != user || got.Device != want.device || (left-(want.ends-want.seen)).Abs() > 30*time.Second {
				rt.Fatalf("got %+v, error %v, want %+v", got, err, want)
			}
		}
		all := func(got []domain.Session, err error, want []modelSession) {
			rt.Helper()
			if err != nil || len(got) != len(want) {
				rt.Fatalf("got %+v, error %v, want %+v", got, err, want)
			}
			for i := range got {
				same(got[i], nil, &want[i])
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"open": func(rt *rapid.T) {
				device := domain.Device{ID: rapid.SampledFrom([]domain.DeviceID{"", "a", "b"}).Draw(rt, "device"), Name: rapid.SampledFrom([]string{"", "n"}).Draw(rt, "name")}
				opened, key, closed := s.opened(user, device)
				excess := max(len(m.live)-2, 0)
				all(closed, nil, m.live[:excess])
				m.live = append(slices.Clone(m.live[excess:]), modelSession{opened.ID, device, key, m.now, m.now + 5*time.Hour})
				keys, ids = append(keys, key), append(ids, opened.ID)
			},
			"find": func(rt *rapid.T) {
				key := rapid.SampledFrom(keys).Draw(rt, "key")
				found, err := s.Find(rt.Context(), user, key)
				want := m.by(key)
				if want != nil {
					m.use(want)
				}
				same(found, err, want)
			},
			"rotate": func(rt *rapid.T) {
				from, to := rapid.SampledFrom(keys).Draw(rt, "key"), newSessionKey()
				rotated, err := s.Rotate(rt.Context(), user, from, to)
				want := m.by(from)
				if want != nil {
					m.use(want)
					want.key = to
				}
				same(rotated, err, want)
				keys = append(keys, to)
			},
			"close": func(rt *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(rt, "id")
				closed, err := s.Close(rt.Context(), user, id)
				i := slices.IndexFunc(m.live, func(s modelSession) bool { return s.id == id })
				if i < 0 {
					same(closed, err, nil)
					return
				}
				same(closed, err, &m.live[i])
				m.live = slices.Delete(m.live, i, i+1)
			},
			"close all": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "whether") > 0 {
					return
				}
				closed, err := s.CloseAll(rt.Context(), user)
				all(closed, err, m.live)
				m.live = nil
			},
			"pass": func(rt *rapid.T) {
				d := time.Duration(rapid.SampledFrom([]int{1, 3, 5, 6, 20, 53, 59, 60, 240}).Draw(rt, "minutes")) * time.Minute
				s.Pass(user, d)
				m.pass(d)
			},
			"": func(rt *rapid.T) {
				list, err := s.List(rt.Context(), user)
				all(list, err, m.live)
				var refs []ports.SessionRef
				var want []bool
				for _, key := range keys {
					for _, id := range ids {
						of := m.by(key)
						refs, want = append(refs, ports.SessionRef{User: user, ID: id, Key: key}), append(want, of != nil && of.id == id)
					}
				}
				s.lives(refs, want...)
			},
		})
	})
}
