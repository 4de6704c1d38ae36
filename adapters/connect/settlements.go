package connect

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/adapters/subscribers/pull"
	"chatcore/domain"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
)

// settlementsOf returns the settlements of a call or message.
func settlementsOf(list []*consumerv1.Settlement) ([]pull.Settlement, error) {
	if len(list) > pull.MaxSettlements {
		return nil, &domain.InvalidError{Field: "settlements", Problem: fmt.Sprintf("are %d", len(list)), Allowed: fmt.Sprintf("at most %d", pull.MaxSettlements)}
	}
	settlements := make([]pull.Settlement, len(list))
	for i, s := range list {
		if err := settlementOf(&settlements[i], s); err != nil {
			if invalid, ok := err.(*domain.InvalidError); ok { //nolint:errorlint // never wrapped
				invalid.Field = fmt.Sprintf("settlements[%d].%s", i, invalid.Field)
			}
			return nil, err
		}
	}
	return settlements, nil
}

const allowedOutcomes = "one of ack, retry, dead, postpone, extend"

// settlementOf converts a settlement.
func settlementOf(to *pull.Settlement, s *consumerv1.Settlement) (err error) {
	if to.Token = s.GetToken(); to.Token == "" {
		return &domain.InvalidError{Field: "token", Problem: "is empty", Allowed: "the token of a delivery"}
	}
	switch o := s.GetOutcome().(type) {
	case *consumerv1.Settlement_Ack:
		to.Kind = pull.Ack
	case *consumerv1.Settlement_Retry:
		to.Kind, to.Reason = pull.Retry, o.Retry.GetReason()
		to.After, err = pauseOf("retry.after", o.Retry.GetAfter())
	case *consumerv1.Settlement_Dead:
		to.Kind, to.Reason = pull.Dead, o.Dead.GetReason()
	case *consumerv1.Settlement_Postpone:
		to.Kind, to.Reason = pull.Postpone, o.Postpone.GetReason()
		to.After, err = pauseOf("postpone.after", o.Postpone.GetAfter())
	case *consumerv1.Settlement_Extend:
		to.Kind = pull.Extend
		to.After, err = leaseOf("extend.lease", o.Extend.GetLease(), 0)
	default:
		return &domain.InvalidError{Field: "outcome", Problem: "is not set", Allowed: allowedOutcomes}
	}
	if err == nil && len(to.Reason) > pull.MaxReason {
		return &domain.InvalidError{
			Field: to.Kind.String() + ".reason", Problem: fmt.Sprintf("has %d bytes", len(to.Reason)), Allowed: fmt.Sprintf("at most %d", pull.MaxReason),
		}
	}
	return err
}

// pauseOf returns a pause, 0 for one that is not set. One of no time is the shortest.
func pauseOf(field string, d *durationpb.Duration) (time.Duration, error) {
	pause, err := durationWithin(field, d, 0, 0, pull.MaxPause)
	if d != nil && pause == 0 {
		pause = time.Millisecond
	}
	return pause, err
}

// leaseOf returns a lease.
func leaseOf(field string, d *durationpb.Duration, otherwise time.Duration) (time.Duration, error) {
	return durationWithin(field, d, otherwise, pull.MinLease, pull.MaxLease)
}

// durationWithin returns a duration within bounds, or another one if it is not set.
func durationWithin(field string, d *durationpb.Duration, otherwise, least, most time.Duration) (time.Duration, error) {
	if d == nil {
		return otherwise, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, &domain.InvalidError{Field: field, Problem: "is no duration", Allowed: fmt.Sprintf("%v to %v", least, most)}
	}
	if v := d.AsDuration(); v < least || v > most {
		return 0, &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %v", v), Allowed: fmt.Sprintf("%v to %v", least, most)}
	}
	return d.AsDuration(), nil
}
