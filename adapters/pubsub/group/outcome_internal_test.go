package group

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/ports"
)

// TestOutcomeOf covers the marks of errors, also of errors that wrap each other.
func TestOutcomeOf(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		err   error
		kind  delivery.OutcomeKind
		after time.Duration
		cause string
	}{
		"plain":                     {broken, delivery.Failed, 0, "broken"},
		"retried after":             {RetryAfter(broken, time.Minute), delivery.Failed, time.Minute, "broken"},
		"retried after less than 0": {RetryAfter(broken, -time.Minute), delivery.Failed, 0, "broken"},
		"transient, retried after":  {RetryAfter(ports.ErrUnavailable, time.Minute), delivery.FailedTransiently, time.Minute, "store unavailable"},
		"permanent, retried after":  {RetryAfter(Permanent(broken), time.Minute), delivery.FailedForGood, time.Minute, "broken"},
		"postponed":                 {NotNow(time.Hour, broken), delivery.Postponed, time.Hour, "broken"},
		"postponed without a cause": {NotNow(0, nil), delivery.Postponed, 0, "not now"},
		"postponed, wrapped":        {fmt.Errorf("endpoint: %w", NotNow(time.Second, ports.ErrUnavailable)), delivery.Postponed, time.Second, "endpoint: store unavailable"},
		"postponed, permanent":      {NotNow(time.Second, Permanent(broken)), delivery.FailedForGood, 0, "broken"},
		"postponed after a retry":   {NotNow(time.Second, RetryAfter(broken, time.Hour)), delivery.Postponed, time.Second, "broken"},
	} {
		got := outcomeOf(test.err)
		if got.Kind != test.kind || got.Cause != test.cause || got.Kind != delivery.FailedForGood && got.After != test.after {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if RetryAfter(nil, time.Second) != nil {
		t.Error("RetryAfter marks nil")
	}
	if err := NotNow(0, nil); !errors.Is(err, ErrNotNow) {
		t.Error(err)
	}
}
