package connect_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
	"chatcore/ports"
	"chatcore/tests/wait"
)

func (g *guarded) presence(token string) chatcorev1connect.PresenceServiceClient {
	return chatcorev1connect.NewPresenceServiceClient(g.client, g.url, as(token))
}

// TestPresence_OfOthers shows a user the users that share a chat. Any other user is shown as one that was never seen.
func TestPresence_OfOthers(t *testing.T) {
	g := newGuarded(t)
	p, ctx := g.newPlace(), t.Context()
	service := g.presence(g.services["all"])
	for _, user := range []string{p.member(), p.outsider()} {
		if _, err := service.Heartbeat(ctx, &v1.HeartbeatRequest{UserId: user, DeviceId: "d"}); err != nil {
			t.Fatal(err)
		}
	}
	users := []string{p.member(), p.outsider(), "never-seen"}
	statuses := func(client chatcorev1connect.PresenceServiceClient, actor string) (found string) {
		res, err := client.GetStatuses(ctx, &v1.GetStatusesRequest{UserIds: users, ActorId: actor})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range res.GetStatuses() {
			if s.GetUserId() != users[i] || s.GetLastSeenAt() != nil != (s.GetStatus() == v1.Status_STATUS_ONLINE) {
				t.Errorf("status %d is %v", i, s)
			}
			found += strings.TrimPrefix(s.GetStatus().String(), "STATUS_") + " "
		}
		return found
	}
	wait.Until(t, "the owner's chats are known", func() bool {
		chats, err := g.core.Queries.ChatsOf(ctx, domain.UserID(p.owner()))
		others, otherErr := g.core.Queries.ChatsOf(ctx, domain.UserID(p.member()))
		return err == nil && otherErr == nil && len(chats) == 1 && len(others) == 1
	})
	owner := g.presence(p.login(p.owner()).token)
	for what, test := range map[string]struct{ got, want string }{
		"a service":                  {statuses(service, ""), "ONLINE ONLINE OFFLINE "},
		"a service for a user":       {statuses(service, p.owner()), "ONLINE OFFLINE OFFLINE "},
		"a user who shares a chat":   {statuses(owner, ""), "ONLINE OFFLINE OFFLINE "},
		"a user who shares no chat":  {statuses(g.presence(p.login("nina").token), ""), "OFFLINE OFFLINE OFFLINE "},
		"a user of the outsider's":   {statuses(g.presence(p.login(p.outsider()).token), ""), "OFFLINE ONLINE OFFLINE "},
		"a user who names itself":    {statuses(owner, p.owner()), "ONLINE OFFLINE OFFLINE "},
		"a member, of itself online": {statuses(g.presence(p.login(p.member()).token), ""), "ONLINE OFFLINE OFFLINE "},
	} {
		if test.got != test.want {
			t.Errorf("%s sees %s, want %s", what, test.got, test.want)
		}
	}
	if _, err := owner.GetStatuses(ctx, &v1.GetStatusesRequest{UserIds: users, ActorId: p.member()}); rpc.CodeOf(err) != rpc.CodePermissionDenied {
		t.Errorf("in another's name: %v", err)
	}
}

// TestPresence_WrongFields names the field that is wrong as the protos do.
func TestPresence_WrongFields(t *testing.T) {
	g := newGuarded(t)
	client, ctx := g.presence(g.services["all"]), t.Context()
	failed := func(_ any, err error) error { return err }
	many := make([]string, 257)
	for i := range many {
		many[i] = fmt.Sprint("u", i)
	}
	for field, errs := range map[string][]error{
		"user_id": {
			failed(client.Heartbeat(ctx, &v1.HeartbeatRequest{DeviceId: "d"})), failed(client.SetStatus(ctx, &v1.SetStatusRequest{Status: v1.Status_STATUS_AWAY})),
			failed(client.Disconnect(ctx, &v1.DisconnectRequest{UserId: "a b", DeviceId: "d"})),
		},
		"device_id":     {failed(client.Heartbeat(ctx, &v1.HeartbeatRequest{UserId: "u"})), failed(client.Disconnect(ctx, &v1.DisconnectRequest{UserId: "u", DeviceId: "a b"}))},
		"connection_id": {failed(client.Heartbeat(ctx, &v1.HeartbeatRequest{UserId: "u", DeviceId: "d", ConnectionId: "a b"}))},
		"status":        {failed(client.SetStatus(ctx, &v1.SetStatusRequest{UserId: "u"})), failed(client.SetStatus(ctx, &v1.SetStatusRequest{UserId: "u", Status: 9}))},
		"user_ids":      {failed(client.GetStatuses(ctx, &v1.GetStatusesRequest{})), failed(client.GetStatuses(ctx, &v1.GetStatusesRequest{UserIds: many}))},
		"user_ids[1]":   {failed(client.GetStatuses(ctx, &v1.GetStatusesRequest{UserIds: []string{"u", "a b"}}))},
		"chat_id":       {failed(client.StartTyping(ctx, &v1.StartTypingRequest{ActorId: "u"})), failed(client.ListTyping(ctx, &v1.ListTypingRequest{}))},
		"actor_id":      {failed(client.StartTyping(ctx, &v1.StartTypingRequest{ChatId: "c"})), failed(client.StopTyping(ctx, &v1.StopTypingRequest{ChatId: "c"}))},
	} {
		for i, err := range errs {
			isInvalid(t, fmt.Sprint(field, " ", i), err, field)
		}
	}
	if _, d := detailOf(t, failed(client.SetStatus(ctx, &v1.SetStatusRequest{UserId: "u"}))); !strings.Contains(d.GetAllowed(), "STATUS_AWAY") || strings.Contains(d.GetAllowed(), "UNSPECIFIED") {
		t.Errorf("allowed are %q", d.GetAllowed())
	}
}

// onlineUsers is presence whose list of online users is a sequence of the test's.
type onlineUsers struct {
	ports.PresenceStore
	of func(ctx context.Context) iter.Seq2[domain.UserID, error]
}

func (o onlineUsers) Online(ctx context.Context) iter.Seq2[domain.UserID, error] { return o.of(ctx) }

// onlineClient returns a client of a server whose list of online users is the given one.
func onlineClient(t *testing.T, config connect.Config, of func(ctx context.Context) iter.Seq2[domain.UserID, error]) chatcorev1connect.PresenceServiceClient {
	t.Helper()
	s := httptest.NewServer(onlineHandler(t, config, of))
	t.Cleanup(s.Close)
	return chatcorev1connect.NewPresenceServiceClient(s.Client(), s.URL)
}

// onlineHandler returns a handler, in local mode, whose list of online users is the given one.
func onlineHandler(t *testing.T, config connect.Config, of func(ctx context.Context) iter.Seq2[domain.UserID, error]) http.Handler {
	t.Helper()
	core, err := chatcore.NewInMemory(chatcore.Config{}, chatcore.WithPresence(onlineUsers{of: of}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	handler, err := connect.New(core, config)
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Local: true, OnError: connect.OnAuthError(nil)})
	if err != nil {
		t.Fatal(err)
	}
	return authenticator.Middleware(handler)
}

// someUsers yields n users.
func someUsers(n int) func(context.Context) iter.Seq2[domain.UserID, error] {
	return func(context.Context) iter.Seq2[domain.UserID, error] {
		return func(yield func(domain.UserID, error) bool) {
			for i := range n {
				if !yield(domain.UserID(fmt.Sprint("user-", i)), nil) {
					return
				}
			}
		}
	}
}

func TestStreamOnlineUsers_Chunks(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 1000} {
		stream, err := onlineClient(t, connect.Config{}, someUsers(n)).StreamOnlineUsers(t.Context(), &v1.StreamOnlineUsersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		seen, messages := make(map[string]bool), 0
		for ; stream.Receive(); messages++ {
			if size := len(stream.Msg().GetUserIds()); size == 0 || size > 256 {
				t.Errorf("a message has %d users", size)
			}
			for _, user := range stream.Msg().GetUserIds() {
				seen[user] = true
			}
		}
		if err := stream.Err(); err != nil || len(seen) != n || messages != (n+255)/256 {
			t.Errorf("%d of %d users in %d messages, error %v", len(seen), n, messages, err)
		}
		_ = stream.Close()
	}
}

// waitingUsers yields a full message of users, reports that it did, and then waits until its context ends.
func waitingUsers(began chan<- struct{}) func(context.Context) iter.Seq2[domain.UserID, error] {
	return func(ctx context.Context) iter.Seq2[domain.UserID, error] {
		return func(yield func(domain.UserID, error) bool) {
			for user, err := range someUsers(256)(ctx) {
				if !yield(user, err) {
					return
				}
			}
			began <- struct{}{}
			<-ctx.Done()
			yield("", ctx.Err())
		}
	}
}

// TestStreamOnlineUsers_EndsWithTheServer ends a stream that waits in the middle, by Config.Draining and by a server of package server that stops.
func TestStreamOnlineUsers_EndsWithTheServer(t *testing.T) {
	ends := func(t *testing.T, client chatcorev1connect.PresenceServiceClient, began <-chan struct{}, drain func()) {
		t.Helper()
		stream, err := client.StreamOnlineUsers(t.Context(), &v1.StreamOnlineUsersRequest{})
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		<-began
		drain()
		if stream.Receive() {
			t.Error("another message came")
		}
		if code, d := detailOf(t, stream.Err()); code != rpc.CodeUnavailable || d.GetReason() != "draining" || !d.GetRetryable() {
			t.Errorf("the stream ended with %v, %v", stream.Err(), d)
		}
		_ = stream.Close()
	}
	t.Run("config", func(t *testing.T) {
		draining, began := make(chan struct{}), make(chan struct{}, 1)
		ends(t, onlineClient(t, connect.Config{Draining: draining}, waitingUsers(began)), began, func() { close(draining) })
	})
	t.Run("server", func(t *testing.T) {
		began, quiet := make(chan struct{}, 1), slog.New(slog.DiscardHandler)
		ready := func(context.Context) error { return nil }
		s, err := server.New(server.Config{Handler: onlineHandler(t, connect.Config{}, waitingUsers(began)), Probes: server.NewProbes(ready, quiet), Logger: quiet, StopTimeout: wait.Limit})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, listener) }()
		transport := &http.Transport{}
		client := chatcorev1connect.NewPresenceServiceClient(&http.Client{Transport: transport}, "http://"+listener.Addr().String())
		ends(t, client, began, stop)
		transport.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
}

// TestStreamOnlineUsers_Bound opens as many streams as a caller may have, and one more.
func TestStreamOnlineUsers_Bound(t *testing.T) {
	const most = 100
	began := make(chan struct{}, most+2)
	client := onlineClient(t, connect.Config{}, waitingUsers(began))
	streams := make([]*rpc.ServerStreamForClient[v1.StreamOnlineUsersResponse], most)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	for i := range streams {
		var err error
		if streams[i], err = client.StreamOnlineUsers(ctx, &v1.StreamOnlineUsersRequest{}); err != nil {
			t.Fatal(err)
		}
		<-began
	}
	over, err := client.StreamOnlineUsers(ctx, &v1.StreamOnlineUsersRequest{})
	if err == nil {
		over.Receive()
		err = over.Err()
	}
	if code, d := detailOf(t, err); code != rpc.CodeResourceExhausted || d.GetReason() != "too_many_streams" {
		t.Errorf("one more: %v", err)
	}
	end()
	for _, stream := range streams {
		for stream.Receive() {
			continue
		}
		_ = stream.Close()
	}
	wait.Until(t, "a stream may be opened again", func() bool {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		stream, err := client.StreamOnlineUsers(ctx, &v1.StreamOnlineUsersRequest{})
		return err == nil && stream.Receive()
	})
}
