package domain

import (
	"strings"
	"testing"
	"time"
)

func TestSessionsEndAndAreUsed(t *testing.T) {
	at := time.Date(2024, time.May, 6, 7, 8, 9, 0, time.UTC)
	opened := SessionPolicy{Idle: time.Hour, Lifetime: 90 * time.Minute}.Open("id", "ada", Device{}, at)
	for _, test := range []struct {
		seen, after  time.Duration // after it was opened
		alive, noted bool
		expires      time.Duration
	}{
		{0, 0, true, false, time.Hour},
		{0, 6*time.Minute - 1, true, false, time.Hour},
		{0, 6 * time.Minute, true, true, time.Hour},
		{0, time.Hour - 1, true, true, time.Hour},
		{0, time.Hour, false, true, time.Hour},
		{30 * time.Minute, 80 * time.Minute, true, true, 90 * time.Minute},
		{80 * time.Minute, 90*time.Minute - 1, true, true, 90 * time.Minute},
		{80 * time.Minute, 90 * time.Minute, false, true, 90 * time.Minute},
		{80 * time.Minute, 79 * time.Minute, true, true, 90 * time.Minute}, // the clock was put back
	} {
		s := opened
		s.SeenAt = at.Add(test.seen)
		now := at.Add(test.after)
		used, noted := s.Use(now)
		if s.Alive(now) != test.alive || noted != test.noted || noted != used.SeenAt.Equal(now) && test.after > 0 || !s.ExpiresAt().Equal(at.Add(test.expires)) {
			t.Errorf("seen after %v, at %v: alive %t, noted %t, %+v, expires %v", test.seen, test.after, s.Alive(now), noted, used, s.ExpiresAt())
		}
	}
}

func TestParseSessionID(t *testing.T) {
	for s, ok := range map[string]bool{"aZ0-_": true, "": false, "a b": false, "a:b": false, "%d": false, "日": false, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false} {
		if _, err := ParseSessionID(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
