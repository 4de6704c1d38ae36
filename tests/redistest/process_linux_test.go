package redistest_test

import (
	"strings"
	"testing"
	"time"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestShiftClock_MovesTimeAndOutlivesARestart(t *testing.T) {
	s := redistest.Start(t, redistest.NewClock(t).Arg())
	client := s.Client(t)
	ahead := func() time.Duration {
		t.Helper()
		before := time.Now()
		now, err := client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return now.Sub(before)
	}
	if d := ahead(); d < -time.Second || d > time.Hour/2 {
		t.Errorf("not shifted, the clock is %v ahead", d)
	}
	s.ShiftClock(t, time.Hour)
	wait.Until(t, "an hour ahead", func() bool { return ahead() > time.Hour/2 })
	s.ShiftClock(t, -time.Hour)
	wait.Until(t, "an hour behind", func() bool { return ahead() < -time.Hour/2 })
	s.Restart(t)
	if d := ahead(); d > -time.Hour/2 {
		t.Errorf("restarted, the clock is %v ahead", d)
	}
}

// TestShiftClock_LeavesNoThreadSpinning shifts the clock back: a thread that waits until a time of the shifted clock would never wait.
func TestShiftClock_LeavesNoThreadSpinning(t *testing.T) {
	s := redistest.Start(t, redistest.NewClock(t).Arg())
	settings, err := s.Client(t).ConfigGet(t.Context(), "jemalloc-bg-thread").Result()
	if err != nil || settings["jemalloc-bg-thread"] != "no" {
		t.Errorf("settings %v, error %v: the allocator's thread waits by the wall clock", settings, err)
	}
}

func TestLimitFiles_StopsWritesUntilItEnds(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec")
	client := s.Client(t)
	s.LimitFiles(t, 1)
	wait.Until(t, "writes are refused", func() bool {
		err := client.Set(t.Context(), "a", "b", 0).Err()
		return err != nil && strings.HasPrefix(err.Error(), "MISCONF")
	})
	s.LimitFiles(t, redistest.NoLimit)
	wait.Until(t, "writes are taken", func() bool { return client.Set(t.Context(), "a", "c", 0).Err() == nil })
}
