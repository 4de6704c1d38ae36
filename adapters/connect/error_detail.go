package connect

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/adapters/connect/auth"
	v1 "chatcore/gen/chatcore/v1"

	"chatcore/domain"
	"chatcore/ports"
)

// overloadPause is after which time a call that met an overload may be given again.
const overloadPause = time.Second

// method is what the errors of a method depend on.
type method struct {
	name  string
	query bool // it has no side effects
	rule  rule
}

// failure is an error as a client sees it.
type failure struct {
	code   rpc.Code
	text   string
	detail *v1.ErrorDetail
}

// failureOf returns an error of a call as its client sees it, and logs what the client does not. The end of the caller's context comes first, whatever err
// is: its reason is then that of the end, except that an outcome that is not known stays one.
func failureOf(ctx context.Context, logger *slog.Logger, m method, err error) failure {
	if cause, ended := errors.AsType[*callError](context.Cause(ctx)); ended { // of a stream that the server ends
		ctx, err = context.WithoutCancel(ctx), cause
	}
	class := classOf(err)
	if ended := ports.Ended(ctx, err); ended != nil {
		end := classOf(ended)
		if class.reason == "outcome_unknown" {
			end.reason = class.reason
		}
		class = end
	}
	if m.query && class.reason == "not_member" { // a query about a user that is no member
		class.code = rpc.CodeNotFound
	}
	f := failure{code: class.code, text: textFor(class, err), detail: &v1.ErrorDetail{Reason: class.reason}}
	f.detail.Retryable = retryable(class, m) && !isFinal(err) && !isRequestError(err)
	fillDetail(f.detail, class, err)
	if class.text == hidden || class.code == rpc.CodeDataLoss {
		f.detail.IncidentId = rand.Text()
		f.text = fmt.Sprintf("%s; the log of the server has it as incident %s", f.text, f.detail.IncidentId)
		logger.ErrorContext(ctx, "call failed", "method", m.name, "incident_id", f.detail.IncidentId, "error", err)
	}
	f.text = strings.ToValidUTF8(f.text, "\uFFFD") // a message with other bytes does not encode
	for _, text := range []*string{&f.detail.Field, &f.detail.Problem, &f.detail.Allowed, &f.detail.Entity, &f.detail.Limit} {
		*text = strings.ToValidUTF8(*text, "\uFFFD")
	}
	return f
}

func textFor(class errorClass, err error) string {
	switch class.text {
	case sentinel:
		return class.err.Error()
	case hidden:
		return "internal error"
	case whole:
	}
	if invalid := invalidOf(err); invalid != nil {
		return invalid.Error()
	}
	return err.Error()
}

// invalidOf returns an error about a field of the request, under the name of the protos, or nil for another error.
func invalidOf(err error) *domain.InvalidError {
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok {
		return protoField(invalid)
	}
	if capped, ok := errors.AsType[*domain.CapError](err); ok && errors.Is(capped, domain.ErrInvalid) {
		field := "metadata"
		if capped.Cap == domain.CapMembers {
			field = "member_ids"
		}
		return &domain.InvalidError{Field: field, Problem: "has more than the cap " + string(capped.Cap), Allowed: fmt.Sprintf("at most %d", capped.Max)}
	}
	return nil
}

// retryable reports whether a call that failed may be given again with the same id.
func retryable(class errorClass, m method) bool {
	if m.rule.single && !class.undone {
		return false
	}
	switch class.code {
	case rpc.CodeUnavailable, rpc.CodeDeadlineExceeded, rpc.CodeCanceled, rpc.CodeResourceExhausted:
		return true
	case rpc.CodeAborted:
		return true
	default:
		return false
	}
}

// fillDetail sets the fields of a detail that the type of the error has.
func fillDetail(d *v1.ErrorDetail, class errorClass, err error) {
	switch class.reason {
	case "invalid":
		if invalid := invalidOf(err); invalid != nil {
			d.Field, d.Problem, d.Allowed = invalid.Field, invalid.Problem, invalid.Allowed
		}
	case "not_local":
		if refused, ok := errors.AsType[*auth.NotLocalError](err); ok {
			d.Field, d.Problem, d.Allowed = refused.Field, refused.Problem, refused.Allowed
		}
	case "cross_site":
		if refused, ok := errors.AsType[*auth.CrossSiteError](err); ok {
			d.Field, d.Problem, d.Allowed = refused.Field, refused.Problem, refused.Allowed
		}
	case "conflict":
		if conflict, ok := errors.AsType[*ports.ConflictError](err); ok {
			d.Entity, d.Version = conflict.Condition.Entity.String(), clampSeq(conflict.Version)
		}
	case "seq_range":
		if beyond, ok := errors.AsType[*domain.SeqRangeError](err); ok {
			d.HeadSeq = clampSeq(beyond.Head)
		}
	case "banned", "muted":
		if restricted, ok := errors.AsType[*domain.RestrictedError](err); ok {
			d.Until = timeOf(restricted.Until)
		}
	case "rate_limited":
		if limited, ok := errors.AsType[*ports.LimitedError](err); ok {
			d.Limit, d.RetryAfter = limited.Kind, durationpb.New(limited.RetryAfter)
		}
	case "too_soon":
		if soon, ok := errors.AsType[*domain.TooSoonError](err); ok {
			d.RetryAfter = durationpb.New(max(0, time.Until(soon.Until)))
		}
	case "overloaded", "too_many_streams":
		d.RetryAfter = durationpb.New(overloadPause)
	}
	if denied, ok := errors.AsType[*accessError](err); ok {
		d.Field, d.Problem, d.Allowed = denied.field, denied.problem, denied.allowed
	}
	if refused, ok := errors.AsType[*requestError](err); ok && class.reason == refused.reason {
		d.Field, d.Problem, d.Allowed = refused.field, refused.problem, refused.allowed
	}
	if capped, ok := errors.AsType[*domain.CapError](err); ok {
		d.Limit, d.Allowed = string(capped.Cap), fmt.Sprintf("at most %d", capped.Max)
	}
}

// clampSeq returns a seq of an error as the API shows it.
func clampSeq(seq domain.Seq) uint32 { return uint32(min(seq, math.MaxUint32)) }

// connectError returns a failure as an error of the protocol, with its detail, and with a header Retry-After in whole seconds if it has a time.
func (f failure) connectError() *rpc.Error {
	e := rpc.NewError(f.code, errors.New(f.text))
	if detail, err := rpc.NewErrorDetail(f.detail); err == nil {
		e.AddDetail(detail)
	}
	if after := f.detail.GetRetryAfter(); after != nil {
		e.Meta().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.AsDuration().Seconds()))))
	}
	return e
}

// finalError is an error that giving the call again would only repeat.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	_, final := errors.AsType[finalError](err)
	return final
}
