package consume

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	consumerv1 "chatcore/gen/chatcore/consumer/v1"
)

// outcomeError is an error that says what becomes of the delivery.
type outcomeError struct {
	error

	kind  kind
	after time.Duration
}

type kind uint8

const (
	retries kind = iota
	dies
	waits
)

// String returns the name of the kind.
func (k kind) String() string {
	switch k {
	case retries:
		return "retry"
	case dies:
		return "dead"
	case waits:
		return "postpone"
	}
	return "unknown"
}

func (e *outcomeError) Unwrap() error { return e.error }

// Permanent marks the error of a handler that no retry mends: the event becomes a dead letter. A nil error stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &outcomeError{error: err, kind: dies}
}

// RetryAfter marks the error of a failed attempt with the pause before the next one, instead of that of the group. A nil error stays nil.
func RetryAfter(after time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &outcomeError{error: err, kind: retries, after: max(after, time.Millisecond)}
}

// NotNow returns the error of a handler that cannot handle the event now: the event is delivered again after a pause, and no attempt is counted.
func NotNow(after time.Duration, err error) error {
	if err == nil {
		err = errors.New("not now")
	}
	return &outcomeError{error: err, kind: waits, after: max(after, time.Millisecond)}
}

// maxReason is the most bytes of a reason.
const maxReason = 1024

//nolint:gochecknoglobals // never changes
var acked = &consumerv1.Settlement_Ack{Ack: &consumerv1.Ack{}}

// settlementOf returns the settlement of a delivery whose handler returned err.
func settlementOf(token string, err error) *consumerv1.Settlement {
	s := &consumerv1.Settlement{Token: token}
	if err == nil {
		s.Outcome = acked
		return s
	}
	reason := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	marked, _ := errors.AsType[*outcomeError](err)
	switch {
	case marked == nil:
		s.Outcome = &consumerv1.Settlement_Retry{Retry: &consumerv1.Retry{Reason: reason}}
	case marked.kind == dies:
		s.Outcome = &consumerv1.Settlement_Dead{Dead: &consumerv1.Dead{Reason: reason}}
	case marked.kind == waits:
		s.Outcome = &consumerv1.Settlement_Postpone{Postpone: &consumerv1.Postpone{After: durationpb.New(marked.after), Reason: reason}}
	default:
		s.Outcome = &consumerv1.Settlement_Retry{Retry: &consumerv1.Retry{After: durationpb.New(marked.after), Reason: reason}}
	}
	return s
}

// extension returns the settlement that has the lease of a delivery begin anew.
func extension(token string) *consumerv1.Settlement {
	return &consumerv1.Settlement{Token: token, Outcome: &consumerv1.Settlement_Extend{Extend: &consumerv1.Extend{}}}
}
