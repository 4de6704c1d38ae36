package connect

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"chatcore"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
)

// deadLetterService implements chatcore.admin.v1.DeadLetterService.
type deadLetterService struct{ *calls }

// ListDeadLetters reads one page, and one dead letter more. The cursor is the id of the page's last one.
func (s *deadLetterService) ListDeadLetters(ctx context.Context, req *adminv1.ListDeadLettersRequest) (*adminv1.ListDeadLettersResponse, error) {
	in := s.read(ctx)
	in.keep(checkGroup(req.GetGroup()))
	size, tokens := in.size(req.GetPageSize()), tokensOf("ListDeadLetters", req.GetGroup())
	after, err := tokens.cursor(req.GetPageToken())
	in.keep(err)
	if in.err != nil {
		return nil, in.err
	}
	var out output
	cursor := after
	res, bytes := &adminv1.ListDeadLettersResponse{}, 0
	for d, err := range s.core.Groups().DeadLettersAfter(ctx, req.GetGroup(), after) {
		if err != nil {
			if errors.Is(err, domain.ErrInvalid) {
				err = badPageToken(req.GetPageToken())
			}
			return nil, err
		}
		letter := out.deadLetter(d)
		if bytes += proto.Size(letter); len(res.GetDeadLetters()) == size || bytes > maxPageBytes && cursor != after {
			res.NextPageToken = tokens.token(cursor)
			break
		}
		res.DeadLetters, cursor = append(res.DeadLetters, letter), d.ID
	}
	return res, out.err
}

func (s *deadLetterService) GetDeadLetter(ctx context.Context, req *adminv1.GetDeadLetterRequest) (*adminv1.GetDeadLetterResponse, error) {
	if err := checkLetter(req.GetGroup(), req.GetId()); err != nil {
		return nil, err
	}
	d, err := s.core.Groups().DeadLetter(ctx, req.GetGroup(), req.GetId())
	if err != nil {
		return nil, letterError(err)
	}
	var out output
	return &adminv1.GetDeadLetterResponse{DeadLetter: out.deadLetter(d)}, out.err
}

func (s *deadLetterService) RetryDeadLetter(ctx context.Context, req *adminv1.RetryDeadLetterRequest) (*adminv1.RetryDeadLetterResponse, error) {
	if err := checkLetter(req.GetGroup(), req.GetId()); err != nil {
		return nil, err
	}
	return &adminv1.RetryDeadLetterResponse{}, letterError(s.core.Groups().Retry(ctx, req.GetGroup(), req.GetId()))
}

func (s *deadLetterService) DropDeadLetter(ctx context.Context, req *adminv1.DropDeadLetterRequest) (*adminv1.DropDeadLetterResponse, error) {
	if err := checkLetter(req.GetGroup(), req.GetId()); err != nil {
		return nil, err
	}
	return &adminv1.DropDeadLetterResponse{}, letterError(s.core.Groups().Drop(ctx, req.GetGroup(), req.GetId()))
}

func checkLetter(group, id string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	if id == "" {
		return &domain.InvalidError{Field: "id", Problem: "is empty", Allowed: "the id of a dead letter"}
	}
	return nil
}

// letterError returns an error about the id of a dead letter under the name that the protos give it.
func letterError(err error) error {
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && invalid.Field == "letter" {
		return inField("id", err)
	}
	return err
}

func (o *output) deadLetter(d chatcore.DeadLetter) *adminv1.DeadLetter {
	letter := &adminv1.DeadLetter{
		Id: d.ID, Group: d.Group, Reason: validText(d.Reason), Attempts: countOf(d.Attempts), CreatedAt: timeOf(d.At), FailedAt: timeOf(d.FailedAt),
		FirstReason: validText(d.First), Parked: d.Parked, Retrying: d.Again, ChatId: validText(string(d.Chat)), Seq: o.seq(d.Seq), EventId: validText(string(d.EventID)),
		EntryId: d.Entry, Payload: d.Payload,
	}
	for name, value := range d.Metadata {
		if letter.Metadata == nil {
			letter.Metadata = make(map[string]string, len(d.Metadata))
		}
		letter.Metadata[validText(name)] = validText(value)
	}
	return letter
}
