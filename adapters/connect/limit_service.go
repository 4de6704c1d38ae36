package connect

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// limitService implements chatcore.v1.LimitService.
type limitService struct{ *calls }

// Take returns the decision of a limit. A refusal is a decision, and no error.
func (s *limitService) Take(ctx context.Context, req *v1.TakeRequest) (*v1.TakeResponse, error) {
	if err := checkSubject(req.GetSubject()); err != nil {
		return nil, err
	}
	count := 1
	if req.Count != nil {
		count = int(req.GetCount())
	}
	decision, err := s.core.Limits.AllowN(ctx, req.GetKind(), count, req.GetSubject()...)
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && invalid.Field == "n" {
		err = inField("count", err)
	}
	if err != nil && !errors.Is(err, ports.ErrRateLimited) {
		return nil, err
	}
	res := &v1.TakeResponse{Allowed: decision.Allowed, Remaining: countOf(decision.Remaining), ResetAfter: durationpb.New(decision.ResetAfter)}
	if !decision.Allowed {
		res.RetryAfter = durationpb.New(decision.RetryAfter)
	}
	return res, nil
}

// maxSubject is the number of parts of a subject. With the kind they are a name of [ports.Limiter].
const maxSubject = 3

func checkSubject(subject []string) error {
	problem := ""
	if n := len(subject); n == 0 || n > maxSubject {
		problem = fmt.Sprintf("has %d parts", n)
	}
	for _, part := range subject {
		if part == "" || len(part) > ports.MaxNamePart {
			problem = fmt.Sprintf("has a part of %d bytes", len(part))
		}
	}
	if problem == "" {
		return nil
	}
	return &domain.InvalidError{Field: "subject", Problem: problem, Allowed: fmt.Sprintf("1 to %d parts, each of 1 to %d bytes", maxSubject, ports.MaxNamePart)}
}
