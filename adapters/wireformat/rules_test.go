package wireformat_test

import (
	"testing"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// TestRules_Wire pins the JSON of policies and holds: other versions read it, from Redis and from vaults.
func TestRules_Wire(t *testing.T) {
	at := time.UnixMilli(1767323045678).UTC()
	for want, policy := range map[string]domain.RetentionPolicy{
		`{"maxAgeMs":3600000,"maxMessages":7,"before":{},"from":1767409445678,"setAt":1767323045678,"setBy":"ada"}`: {
			Retention: domain.Retention{MaxAge: time.Hour, MaxMessages: 7}, From: at.Add(domain.RetentionGrace), SetAt: at, SetBy: "ada",
		},
		`{"inherits":true,"before":{"maxMessages":3},"setAt":1767323045678,"setBy":"ops"}`: {Inherits: true, Before: domain.Retention{MaxMessages: 3}, SetAt: at, SetBy: "ops"},
	} {
		if text := wireformat.EncodePolicy(policy); text != want {
			t.Errorf("%+v is %s", policy, text)
		}
		if back, err := wireformat.DecodePolicy(want); err != nil || back != policy {
			t.Errorf("%s is %+v, %v", want, back, err)
		}
	}
	const want = `[{"id":"case-1","reason":"a claim","by":"ops","at":1767323045678}]`
	hold := domain.Hold{HoldSubject: domain.HoldSubject{User: "ben"}, ID: "case-1", Reason: "a claim", By: "ops", At: at}
	if text := wireformat.EncodeHolds([]domain.Hold{hold}); text != want {
		t.Errorf("the hold is %s", text)
	}
	if back, err := wireformat.DecodeHolds(hold.HoldSubject, want); err != nil || len(back) != 1 || back[0] != hold {
		t.Errorf("%s is %+v, %v", want, back, err)
	}
	for _, text := range []string{"", "x", "7", `{"maxAgeMs":"x"}`} {
		_, err1 := wireformat.DecodePolicy(text)
		_, err2 := wireformat.DecodeHolds(hold.HoldSubject, text)
		if err1 == nil || err2 == nil {
			t.Errorf("%q: %v, %v", text, err1, err2)
		}
	}
}
