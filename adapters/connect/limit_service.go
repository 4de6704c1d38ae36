package connect

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// limitService implements chatcore.v1.LimitService.
type limitService struct{ *calls }

// Take returns the decision of a limit. A refusal is a decision, and no error.
func (s *limitService) Take(ctx context.Context, req *v1.TakeRequest) (*v1.TakeResponse, error) {
	count := 1
	if req.Count != nil {
		count = int(req.GetCount())
	}
	decision, err := s.core.Limits.AllowN(ctx, req.GetKind(), count, req.GetSubject()...)
	if err != nil && !errors.Is(err, ports.ErrRateLimited) {
		return nil, err
	}
	res := &v1.TakeResponse{Allowed: decision.Allowed, Remaining: countOf(decision.Remaining), ResetAfter: durationpb.New(decision.ResetAfter)}
	if !decision.Allowed {
		res.RetryAfter = durationpb.New(decision.RetryAfter)
	}
	return res, nil
}
