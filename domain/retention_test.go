package domain_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
)

func TestRetention_Check(t *testing.T) {
	for r, valid := range map[domain.Retention]bool{
		{}: true, {MaxAge: time.Minute}: true, {MaxAge: time.Minute - time.Millisecond}: false, {MaxAge: time.Minute + time.Microsecond}: false,
		{MaxAge: -time.Hour}: false, {MaxMessages: 1}: true, {MaxMessages: -1}: false,
	} {
		if err := r.Check(); valid != (err == nil) || !valid && !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestRetention_Due(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		r             domain.Retention
		age           time.Duration
		ordinal, last domain.Ordinal
		due, later    bool
	}{
		{domain.Retention{}, 1e6 * time.Hour, 1, 100, false, false},
		{domain.Retention{MaxAge: time.Hour}, time.Hour, 1, 1, true, true},
		{domain.Retention{MaxAge: time.Hour}, time.Hour - 1, 1, 1, false, false},
		{domain.Retention{MaxAge: time.Hour}, 0, 1, 1, false, false},
		{domain.Retention{MaxAge: time.Hour}, -1, 1, 1, false, true},
		{domain.Retention{MaxMessages: 3}, 0, 7, 10, true, true},
		{domain.Retention{MaxMessages: 3}, 1e6 * time.Hour, 8, 10, false, false},
		{domain.Retention{MaxMessages: 30}, 0, 1, 10, false, false},
		{domain.Retention{MaxAge: time.Hour, MaxMessages: 3}, time.Hour, 8, 10, true, true},
		{domain.Retention{MaxAge: time.Hour, MaxMessages: 3}, 0, 7, 10, true, true},
		{domain.Retention{MaxAge: time.Hour, MaxMessages: 3}, 0, 8, 10, false, false},
	} {
		if due, later := test.r.Due(now.Add(-test.age), test.ordinal, test.last, now); due != test.due || later != test.later {
			t.Errorf("%+v: due %t, later ones %t", test, due, later)
		}
	}
}

func drawRetention(t *rapid.T, name string) domain.Retention {
	return domain.Retention{
		MaxAge:      time.Duration(rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, name+" age")) * time.Hour,
		MaxMessages: rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, name+" messages"),
	}
}

// TestRetentionPolicy_Grace sets policies one after the other: until 24 h after a policy was set nothing is due that was not due under the one before, and
// from then on what is due is that of the policy alone. A policy that is not stricter applies at once.
func TestRetentionPolicy_Grace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, log := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), drawRetention(t, "log")
		policy, before := domain.RetentionPolicy{Inherits: true}, log
		for range rapid.IntRange(1, 4).Draw(t, "policies") {
			policy = domain.RetentionPolicy{Retention: drawRetention(t, "next"), Inherits: rapid.Bool().Draw(t, "inherits")}.Begin(before, log, now)
			target := policy.Retention
			if policy.Inherits {
				target = log
			}
			for _, passed := range []time.Duration{0, domain.RetentionGrace - 1} {
				if got := policy.Applied(log, now.Add(passed)); got != target.Loosest(before) {
					t.Fatalf("%+v after %+v: %s later %+v applies", policy, before, passed, got)
				}
			}
			if got := policy.Applied(log, now.Add(domain.RetentionGrace)); got != target {
				t.Fatalf("%+v: after its grace %+v applies", policy, got)
			}
			if stricter := target.Loosest(before) != target; policy.Graced(now) != stricter {
				t.Fatalf("%+v after %+v: in its grace: %t", policy, before, policy.Graced(now))
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "hours")) * time.Hour)
			before = policy.Applied(log, now)
		}
	})
}

func TestRetentionPolicy_Clamp(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for from, want := range map[time.Duration]time.Duration{
		0: 0, domain.RetentionGrace: domain.RetentionGrace, domain.RetentionGrace + 1: domain.RetentionGrace, 1e5 * time.Hour: domain.RetentionGrace,
	} {
		p, changed := domain.RetentionPolicy{From: now.Add(from)}.Clamp(now)
		if !p.From.Equal(now.Add(want)) || changed != (from != want) {
			t.Errorf("a grace that ends in %s ends in %s, changed: %t", from, p.From.Sub(now), changed)
		}
	}
	if p, changed := (domain.RetentionPolicy{}).Clamp(now); changed || !p.From.IsZero() {
		t.Errorf("a policy without a grace: %+v", p)
	}
}

func TestLegalHoldError(t *testing.T) {
	for subject, text := range map[domain.HoldSubject]string{{}: "the log", {Chat: "c"}: `chat "c"`, {User: "u"}: `user "u"`} {
		err := error(&domain.LegalHoldError{HoldSubject: subject})
		if !errors.Is(err, domain.ErrLegalHold) || err.Error() != text+" is under a legal hold; allowed: an erasure after all of its holds were removed" {
			t.Errorf("%s: %v", subject, err)
		}
	}
}
