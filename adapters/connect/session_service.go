package connect

import (
	"context"
	"errors"
	"strings"

	rpc "connectrpc.com/connect"

	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// sessionService implements chatcore.v1.SessionService. No error of it has a part of a token.
type sessionService struct{ *calls }

// errNoCallSession is the error for a user that means the session of the call, and has none.
var errNoCallSession = &callError{
	rpc.CodeFailedPrecondition, "no_call_session", "the credential of the call is no token of a session that can be named; allowed: to name the session, or a call with the token of one",
}

func (s *sessionService) OpenSession(ctx context.Context, req *v1.OpenSessionRequest) (*v1.OpenSessionResponse, error) {
	in := s.read(ctx)
	open := domain.OpenSession{User: in.subject(req.GetUserId()), Device: in.device(req.GetDevice())}
	if in.err != nil {
		return nil, in.err
	}
	opened, err := s.core.Sessions.Open(ctx, open)
	if err != nil {
		return nil, err
	}
	return &v1.OpenSessionResponse{Token: string(opened.Token), Session: sessionOf(opened.Session)}, nil
}

// device returns the device of a session. Its fields are named from the request on.
func (in *input) device(d *v1.Device) domain.Device {
	device := domain.Device{ID: domain.DeviceID(d.GetId()), Name: d.GetName(), UserAgent: d.GetUserAgent(), IP: d.GetIp()}
	err := device.Check()
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && !strings.HasPrefix(invalid.Field, "device.") {
		err = inField("device.id", err)
	}
	in.keep(err)
	return device
}

func (s *sessionService) GetSession(ctx context.Context, req *v1.GetSessionRequest) (*v1.GetSessionResponse, error) {
	if req.GetToken() == "" {
		return nil, errNoToken()
	}
	found, err := s.core.Sessions.Get(ctx, app.SessionToken(req.GetToken()))
	if err != nil {
		return nil, err
	}
	return &v1.GetSessionResponse{Session: sessionOf(found)}, nil
}

func errNoToken() error {
	return &domain.InvalidError{Field: "token", Problem: "is empty", Allowed: "the token of a session"}
}

// RotateSession rotates any token of a service, and only its own tokens of a user.
func (s *sessionService) RotateSession(ctx context.Context, req *v1.RotateSessionRequest) (*v1.RotateSessionResponse, error) {
	token, rotate := app.SessionToken(req.GetToken()), s.core.Sessions.Rotate
	if user, ok := auth.From(ctx).(auth.User); ok {
		rotate = s.core.As(user.ID).Sessions.Rotate
		if token == "" && user.Session == "" {
			return nil, errNoCallSession
		}
		if token == "" {
			token = callToken(ctx)
		}
	}
	if token == "" {
		return nil, errNoToken()
	}
	rotated, err := rotate(ctx, token)
	if err != nil {
		return nil, err
	}
	return &v1.RotateSessionResponse{Token: string(rotated.Token), Session: sessionOf(rotated.Session)}, nil
}

// callToken returns the token of the call's header, or "" if it has none.
func callToken(ctx context.Context) app.SessionToken {
	info, ok := rpc.CallInfoForHandlerContext(ctx)
	if !ok {
		return ""
	}
	_, token, _ := strings.Cut(info.RequestHeader().Get("Authorization"), " ")
	return app.SessionToken(token)
}

func (s *sessionService) ListSessions(ctx context.Context, req *v1.ListSessionsRequest) (*v1.ListSessionsResponse, error) {
	user, err := s.subject(ctx, req.GetUserId())
	if err != nil {
		return nil, err
	}
	list, err := s.core.Sessions.List(ctx, user)
	return &v1.ListSessionsResponse{Sessions: each(list, sessionOf)}, err
}

func (s *sessionService) CloseSession(ctx context.Context, req *v1.CloseSessionRequest) (*v1.CloseSessionResponse, error) {
	in := s.read(ctx)
	user, id := in.subject(req.GetUserId()), domain.SessionID(req.GetSessionId())
	if caller, ok := auth.From(ctx).(auth.User); ok && id == "" {
		if id = caller.Session; id == "" {
			in.keep(errNoCallSession)
		}
	}
	if in.err == nil {
		in.keep(checkSessionID(id))
	}
	if in.err != nil {
		return nil, in.err
	}
	err := s.core.Sessions.Close(ctx, user, id)
	if errors.Is(err, domain.ErrNoSession) {
		err = errSessionNotFound
	}
	return &v1.CloseSessionResponse{}, err
}

// checkSessionID returns an error that does not have the value: it may be a token.
func checkSessionID(id domain.SessionID) error {
	_, err := domain.ParseSessionID(string(id))
	invalid, ok := errors.AsType[*domain.InvalidError](err)
	if !ok {
		return err
	}
	problem := "is no id of a session"
	if id == "" {
		problem = "is empty"
	}
	return &domain.InvalidError{Field: "session_id", Problem: problem, Allowed: invalid.Allowed}
}

// errSessionNotFound is the error for the id of a session that is not live. The credential of the call is valid: it is not unauthenticated.
var errSessionNotFound = &callError{rpc.CodeNotFound, "session_not_found", "the user has no live session of this id"}

func (s *sessionService) CloseAllSessions(ctx context.Context, req *v1.CloseAllSessionsRequest) (*v1.CloseAllSessionsResponse, error) {
	user, err := s.subject(ctx, req.GetUserId())
	if err != nil {
		return nil, err
	}
	closed, err := s.core.Sessions.CloseAll(ctx, user)
	return &v1.CloseAllSessionsResponse{Closed: countOf(closed)}, err
}

// sessionOf returns a session. Texts that another program kept may be any bytes.
func sessionOf(s domain.Session) *v1.Session {
	session := &v1.Session{
		Id: string(s.ID), UserId: string(s.User), OpenedAt: timeOf(s.OpenedAt), SeenAt: timeOf(s.SeenAt),
		Device: &v1.Device{Id: validText(string(s.Device.ID)), Name: validText(s.Device.Name), UserAgent: validText(s.Device.UserAgent), Ip: validText(s.Device.IP)},
	}
	if !s.SeenAt.IsZero() {
		session.ExpiresAt = timeOf(s.ExpiresAt())
	}
	return session
}
