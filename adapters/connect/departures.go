package connect

import (
	"context"
	"errors"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// maxDepartures is the most chats that one DepartUser leaves.
const maxDepartures = 256

var errDepartures = errors.New("as many chats were left as one call does")

func (s *chatService) DepartUser(ctx context.Context, req *v1.DepartUserRequest) (*v1.DepartUserResponse, error) {
	in := s.read(ctx)
	cmd := app.DepartUser{User: in.user("user_id", req.GetUserId()), Successors: make(map[domain.ChatID]domain.UserID)}
	for id, successor := range req.GetSuccessorIds() {
		chat, err := domain.ParseChatID(id)
		cmd.Successors[parsed(in, "successor_ids", chat, err)] = in.user("successor_ids", successor)
	}
	if in.err != nil {
		return nil, in.err
	}
	res, left := &v1.DepartUserResponse{}, 0
	done, err := s.core.Users.Depart(ctx, cmd, func(c app.DepartedChat) error {
		departed := &v1.DepartedChat{ChatId: string(c.Chat), SuccessorId: string(c.Successor), Closed: c.Closed}
		if c.Err != nil {
			f := failureOf(ctx, s.config.Logger, method{name: "chatcore.v1.ChatService.DepartUser"}, c.Err)
			departed.Failure, departed.Problem = f.detail.GetReason(), f.text
		} else {
			left++
		}
		res.Chats = append(res.Chats, departed)
		if left == maxDepartures {
			return errDepartures
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDepartures) {
		return nil, err
	}
	res.Complete, res.Sessions = err == nil, uint32(done.Sessions) //nolint:gosec // a count of one user
	return res, nil
}
