package connect

import (
	"context"
	"fmt"

	rpc "connectrpc.com/connect"

	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// presenceService implements chatcore.v1.PresenceService.
type presenceService struct{ *calls }

func (s *presenceService) Heartbeat(ctx context.Context, req *v1.HeartbeatRequest) (*v1.HeartbeatResponse, error) {
	in := s.read(ctx)
	user, connection := in.subject(req.GetUserId()), in.connection(req.GetDeviceId(), req.GetConnectionId())
	if in.err != nil {
		return nil, in.err
	}
	return &v1.HeartbeatResponse{}, s.core.Presence.Heartbeat(ctx, user, connection.Device, connection.ID)
}

func (s *presenceService) Disconnect(ctx context.Context, req *v1.DisconnectRequest) (*v1.DisconnectResponse, error) {
	in := s.read(ctx)
	user, connection := in.subject(req.GetUserId()), in.connection(req.GetDeviceId(), req.GetConnectionId())
	if in.err != nil {
		return nil, in.err
	}
	return &v1.DisconnectResponse{}, s.core.Presence.Leave(ctx, user, connection.Device, connection.ID)
}

// connection returns the connection of a device.
func (in *input) connection(device, id string) domain.Connection {
	d, err := domain.ParseDeviceID(device)
	c := domain.Connection{Device: parsed(in, "device_id", d, err), ID: domain.ConnectionID(id)}
	if in.err == nil {
		in.keep(inField("connection_id", c.Check()))
	}
	return c
}

func (s *presenceService) SetStatus(ctx context.Context, req *v1.SetStatusRequest) (*v1.SetStatusResponse, error) {
	in := s.read(ctx)
	user := in.subject(req.GetUserId())
	status, err := statuses.parse("status", req.GetStatus())
	in.keep(err)
	if in.err != nil {
		return nil, in.err
	}
	published, err := s.core.Presence.SetStatus(ctx, user, status)
	return &v1.SetStatusResponse{Published: published}, err
}

func (s *presenceService) GetStatuses(ctx context.Context, req *v1.GetStatusesRequest) (*v1.GetStatusesResponse, error) {
	in := s.read(ctx)
	users := in.users("user_ids", req.GetUserIds())
	if n := len(users); n == 0 || n > app.MaxList {
		in.keep(&domain.InvalidError{Field: "user_ids", Problem: fmt.Sprintf("has %d", n), Allowed: fmt.Sprintf("1 to %d", app.MaxList)})
	}
	statuses := s.core.Presence.Statuses
	if _, service := auth.From(ctx).(auth.Service); !service || req.GetActorId() != "" {
		statuses = s.core.As(in.actor(req.GetActorId())).Presence.Statuses
	}
	if in.err != nil {
		return nil, in.err
	}
	found, err := statuses(ctx, users...)
	return &v1.GetStatusesResponse{Statuses: each(found, userStatusOf)}, err
}

func userStatusOf(s domain.UserStatus) *v1.UserStatus {
	return &v1.UserStatus{UserId: string(s.User), Status: statuses.of(s.Status), LastSeenAt: timeOf(s.LastSeen)}
}

// StreamOnlineUsers reads presence as fast as the caller takes the messages. It ends with unavailable when the server begins to stop.
func (s *presenceService) StreamOnlineUsers(ctx context.Context, _ *v1.StreamOnlineUsersRequest, stream *rpc.ServerStream[v1.StreamOnlineUsersResponse]) error {
	users := make([]string, 0, app.MaxList)
	for user, err := range s.core.Presence.Online(ctx) {
		if err != nil {
			return err
		}
		if users = append(users, string(user)); len(users) < app.MaxList {
			continue
		}
		if err := sendOnline(ctx, stream, users); err != nil {
			return err
		}
		users = users[:0]
	}
	if len(users) == 0 {
		return nil
	}
	return sendOnline(ctx, stream, users)
}

// sendOnline sends one message, unless the stream has to end.
func sendOnline(ctx context.Context, stream *rpc.ServerStream[v1.StreamOnlineUsersResponse], users []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return stream.Send(&v1.StreamOnlineUsersResponse{UserIds: users})
}

func (s *presenceService) StartTyping(ctx context.Context, req *v1.StartTypingRequest) (*v1.StartTypingResponse, error) {
	in := s.read(ctx)
	typing := domain.Typing{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId())}
	if in.err != nil {
		return nil, in.err
	}
	published, err := s.core.Chats.StartTyping(ctx, typing)
	return &v1.StartTypingResponse{Published: published}, s.shown(ctx, typing.Chat, err)
}

func (s *presenceService) StopTyping(ctx context.Context, req *v1.StopTypingRequest) (*v1.StopTypingResponse, error) {
	in := s.read(ctx)
	typing := domain.Typing{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId())}
	if in.err != nil {
		return nil, in.err
	}
	return &v1.StopTypingResponse{}, s.shown(ctx, typing.Chat, s.core.Chats.StopTyping(ctx, typing))
}

func (s *presenceService) ListTyping(ctx context.Context, req *v1.ListTypingRequest) (*v1.ListTypingResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), 0)
	if in.err != nil {
		return nil, in.err
	}
	users, err := reader.Typing(ctx, chat)
	return &v1.ListTypingResponse{UserIds: texts(users)}, err
}
