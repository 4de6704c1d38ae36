package porttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// testConnections guards against an old connection that takes a device offline while a newer one keeps it alive.
func testConnections(t *testing.T, s PresenceStore) {
	user := newUserID()
	devices := func(want ...domain.DeviceID) {
		t.Helper()
		if s.Devices == nil {
			return
		}
		if got := s.Devices(t.Context(), user); !slices.Equal(got, want) {
			t.Fatalf("the devices are %q, want %q", got, want)
		}
	}
	s.beat(t, user, "phone old", domain.Online)
	s.Forward(10 * time.Second)
	s.beat(t, user, "phone new")
	devices("phone")
	s.leave(t, user, "phone old")
	s.leave(t, user, "phone old")
	s.is(t, user, domain.Online)
	devices("phone")
	s.beat(t, user, "laptop")
	s.leave(t, user, "laptop new")
	s.leave(t, user, "phone") // the device itself has no heartbeat
	devices("laptop", "phone")
	s.leave(t, user, "phone new")
	devices("laptop")
	s.beat(t, user, "laptop c1")
	s.leave(t, user, "laptop") // its connection remains
	s.is(t, user, domain.Online)
	devices("laptop")
	s.Forward(50 * time.Second)
	s.beat(t, user, "laptop c2")
	s.Forward(50 * time.Second) // c1 has expired
	s.leave(t, user, "laptop c1")
	s.is(t, user, domain.Online)
	s.Forward(50 * time.Second)
	s.is(t, user, domain.Offline)
	s.beat(t, user, "laptop c3")
	s.leave(t, user, "laptop c2")
	s.is(t, user, domain.Online)
	devices("laptop")
	s.leave(t, user, "laptop c3", domain.Offline)
	devices()
}

// testManyConnections checks that a leave counts only for connections that are still known.
func testManyConnections(t *testing.T, s PresenceStore) {
	user := newUserID()
	name := func(i int) string { return fmt.Sprintf("d%d c%d", i%7, i) }
	s.beat(t, user, name(0), domain.Online)
	for i := 1; i < 3*domain.MaxConnections; i++ {
		if i%domain.MaxConnections == 0 {
			s.Forward(time.Second)
		}
		s.beat(t, user, name(i))
	}
	for i := 2 * domain.MaxConnections; i < 3*domain.MaxConnections-1; i++ {
		s.leave(t, user, name(i))
	}
	s.leave(t, user, name(3*domain.MaxConnections-1), domain.Offline)
}

// testConcurrentPresence has processes beat, leave, choose and sweep at once. Afterwards the stored status is the one published last.
func testConcurrentPresence(t *testing.T, s PresenceStore) {
	user := newUserID()
	stores := []ports.PresenceStore{s.PresenceStore, s.PresenceStore}
	if s.Others != nil {
		stores[1] = s.Others
	}
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for g := range errs {
		wg.Go(func() {
			store, c := stores[g%2], on(fmt.Sprintf("d%d c%d", g%2, g%4))
			for i := range 25 {
				var err error
				switch (g + i) % 4 {
				case 0, 1:
					_, err = store.Heartbeat(t.Context(), user, c, ports.Meta{})
				case 2:
					_, err = store.Leave(t.Context(), user, c, ports.Meta{})
				case 3:
					_, err = store.SetStatus(t.Context(), user, domain.Status(1+i%3), ports.Meta{})
				}
				_, repair := store.Repair(t.Context(), 100)
				errs[g] = errors.Join(errs[g], err, repair)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	last := domain.Offline
	for _, status := range s.heard(user) {
		if status == last {
			t.Fatalf("listeners heard %v", s.heard(user))
		}
		last = status
	}
	s.is(t, user, last)
}

func testEndedPresence(t *testing.T, s PresenceStore) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	user := newUserID()
	for name, call := range map[string]func() error{
		"a heartbeat": func() error { _, err := s.Heartbeat(ctx, user, on("phone"), ports.Meta{}); return err },
		"a leave":     func() error { _, err := s.Leave(ctx, user, on("phone"), ports.Meta{}); return err },
		"a choice":    func() error { _, err := s.SetStatus(ctx, user, domain.Away, ports.Meta{}); return err },
		"statuses":    func() error { _, err := s.Statuses(ctx, user); return err },
		"online":      func() error { _, err := s.AreOnline(ctx, user); return err },
		"lead":        func() error { _, err := s.AcquireLease(ctx, time.Minute); return err },
		"expire":      func() error { _, _, err := s.Expire(ctx, 1); return err },
		"repair":      func() error { _, err := s.Repair(ctx, 1); return err },
		"a list": func() error {
			for _, err := range s.Online(ctx) {
				return err
			}
			return nil
		},
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.is(t, user, domain.Offline)
}
