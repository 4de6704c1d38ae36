package app

import (
	"context"
	"errors"

	"chatcore/domain"
	"chatcore/ports"
)

// callLimits are the limits of one call of a command. A call takes from them once, all or none: with its append, if the log can ([ports.LimitTaker]),
// and otherwise by themselves. nil is a call without limits.
type callLimits struct {
	limits   *Limits
	takes    []limitRequest
	together bool // an append may take from them
	taken    bool
	err      error // of take
}

// limitsOf returns the limits of a call by a user: those of the kinds that are set, of the user and, for [LimitSendInChat], of the chat.
func (c *Chats) limitsOf(by domain.UserID, chat domain.ChatID, kinds ...string) *callLimits {
	if c.limits == nil {
		return nil
	}
	var takes []limitRequest
	for _, kind := range kinds {
		if _, set := c.limits.kinds[kind]; !set {
			continue
		}
		subject := []string{string(by)}
		if kind == LimitSendInChat {
			subject = append(subject, string(chat))
		}
		takes = append(takes, limitRequest{kind, subject})
	}
	if len(takes) == 0 {
		return nil
	}
	return &callLimits{limits: c.limits, takes: takes, together: c.takesTogether}
}

// take takes from the limits by themselves, unless the call has done so. It is one round trip.
func (l *callLimits) take(ctx context.Context) error {
	if l == nil || l.taken {
		return nil
	}
	l.taken = true
	l.err = l.limits.take(ctx, l.takes...)
	return l.err
}

// returned reports whether take returned err.
func (l *callLimits) returned(err error) bool {
	return l != nil && l.err != nil && errors.Is(err, l.err)
}

// before takes from limits that no append takes from.
func (l *callLimits) before(ctx context.Context) error {
	if l == nil || l.together {
		return nil
	}
	return l.take(ctx)
}

// settle returns the result of a call. A call that was decided without an append takes from its limits now: one that changes nothing, or is refused,
// counts too.
func (l *callLimits) settle(ctx context.Context, done Done, err error) (Done, error) {
	if l == nil || l.taken || err != nil && !decided(err) {
		return done, err
	}
	if limited := l.take(ctx); limited != nil && !refusesOutsider(err) {
		return Done{}, limited
	}
	return done, err
}

// decided reports whether an error is a decision about the command. Others are of the log, or of the caller's context.
func decided(err error) bool {
	var refusal *domain.Refusal
	return errors.As(err, &refusal) || errors.Is(err, domain.ErrInvalid) || errors.Is(err, domain.ErrTooSoon)
}

// ofAppend returns the takes of the append.
func (l *callLimits) ofAppend() []ports.Take {
	if l == nil || l.taken {
		return nil
	}
	return l.limits.takesOf(l.takes)
}

// appendFunc appends as [ports.EventLog.Append] does.
type appendFunc func(ctx context.Context, a ports.Append) (ports.Appended, error)

// append appends, and takes from the limits. A limit that cannot be checked lets the append go on or fails it, as its [Limit.OnFailure] says.
func (l *callLimits) append(ctx context.Context, a ports.Append, do appendFunc) (ports.Appended, error) {
	a.Takes = l.ofAppend()
	appended, err := do(ctx, a)
	if len(a.Takes) == 0 {
		return appended, err
	}
	var failed *ports.TakeError
	switch {
	case err == nil:
		l.taken = true
	case !errors.As(err, &failed):
	case failed.Cause == nil:
		l.taken = true
		l.limits.refused.Add(1)
		err = &ports.LimitedError{Kind: l.takes[failed.Place].kind, RetryAfter: failed.Decision.RetryAfter}
	default:
		if err := l.take(ctx); err != nil {
			return ports.Appended{}, err
		}
		a.Takes = nil
		return do(ctx, a)
	}
	return appended, err
}
