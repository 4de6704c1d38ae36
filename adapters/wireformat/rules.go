package wireformat

import (
	"encoding/json"
	"time"

	"chatcore/domain"
)

// storedHold is a legal hold as a hash of Redis and a vault have it, beside its subject.
type storedHold struct {
	ID     domain.HoldID `json:"id"`
	Reason domain.Reason `json:"reason"`
	By     domain.UserID `json:"by"`
	At     int64         `json:"at"` // Unix milliseconds
}

// EncodeHolds returns the JSON of the holds of a subject.
func EncodeHolds(holds []domain.Hold) string {
	stored := make([]storedHold, len(holds))
	for i, h := range holds {
		stored[i] = storedHold{h.ID, h.Reason, h.By, h.At.UnixMilli()}
	}
	return encodeRule(stored)
}

// DecodeHolds returns the holds of a subject.
func DecodeHolds(subject domain.HoldSubject, text string) ([]domain.Hold, error) {
	var stored []storedHold
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, err
	}
	holds := make([]domain.Hold, len(stored))
	for i, h := range stored {
		holds[i] = domain.Hold{HoldSubject: subject, ID: h.ID, Reason: h.Reason, By: h.By, At: time.UnixMilli(h.At).UTC()}
	}
	return holds, nil
}

// storedRetention is a retention as storedPolicy has it.
type storedRetention struct {
	MaxAge      int64 `json:"maxAgeMs,omitempty"`
	MaxMessages int   `json:"maxMessages,omitempty"`
}

func (r storedRetention) retention() domain.Retention {
	return domain.Retention{MaxAge: time.Duration(r.MaxAge) * time.Millisecond, MaxMessages: r.MaxMessages}
}

func storedRetentionOf(r domain.Retention) storedRetention {
	return storedRetention{r.MaxAge.Milliseconds(), r.MaxMessages}
}

// storedPolicy is a retention policy as a hash of Redis and a vault have it. Times are Unix milliseconds.
type storedPolicy struct {
	storedRetention
	Inherits bool            `json:"inherits,omitempty"`
	Before   storedRetention `json:"before"`
	From     int64           `json:"from,omitempty"`
	SetAt    int64           `json:"setAt"`
	SetBy    domain.UserID   `json:"setBy"`
}

// EncodePolicy returns the JSON of a policy.
func EncodePolicy(p domain.RetentionPolicy) string {
	stored := storedPolicy{storedRetentionOf(p.Retention), p.Inherits, storedRetentionOf(p.Before), 0, p.SetAt.UnixMilli(), p.SetBy}
	if !p.From.IsZero() {
		stored.From = p.From.UnixMilli()
	}
	return encodeRule(stored)
}

// DecodePolicy returns the policy of a JSON.
func DecodePolicy(text string) (p domain.RetentionPolicy, err error) {
	var stored storedPolicy
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return p, err
	}
	p = domain.RetentionPolicy{
		Retention: stored.retention(), Inherits: stored.Inherits, Before: stored.Before.retention(), SetAt: time.UnixMilli(stored.SetAt).UTC(), SetBy: stored.SetBy,
	}
	if stored.From != 0 {
		p.From = time.UnixMilli(stored.From).UTC()
	}
	return p, nil
}

func encodeRule(v any) string {
	text, _ := json.Marshal(v) // never fails for these types
	return string(text)
}
