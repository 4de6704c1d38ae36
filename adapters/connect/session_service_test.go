package connect_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"chatcore/adapters/connect"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
)

func (g *guarded) sessions(token string) chatcorev1connect.SessionServiceClient {
	return chatcorev1connect.NewSessionServiceClient(g.client, g.url, as(token))
}

// TestSessions_OfAUser opens, lists, rotates and closes the sessions of a user, in the name of the user.
func TestSessions_OfAUser(t *testing.T) {
	g := newGuarded(t)
	service, ctx := g.sessions(g.services["all"]), t.Context()
	opened, err := service.OpenSession(ctx, &v1.OpenSessionRequest{UserId: "ada", Device: &v1.Device{Id: "d", Name: "phone", UserAgent: "agent", Ip: "192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	device := opened.GetSession().GetDevice()
	if s := opened.GetSession(); s.GetId() == "" || s.GetUserId() != "ada" || s.GetExpiresAt() == nil || fmt.Sprint(device.GetId(), device.GetName(), device.GetUserAgent(), device.GetIp()) != "dphoneagent192.0.2.1" {
		t.Errorf("the session is %v", s)
	}
	got, err := service.GetSession(ctx, &v1.GetSessionRequest{Token: opened.GetToken()})
	if err != nil || got.GetSession().GetId() != opened.GetSession().GetId() {
		t.Errorf("found by its token: %v, %v", got, err)
	}
	user := g.sessions(opened.GetToken())
	rotated, err := user.RotateSession(ctx, &v1.RotateSessionRequest{})
	if err != nil || rotated.GetToken() == opened.GetToken() || rotated.GetSession().GetId() != opened.GetSession().GetId() {
		t.Fatal(rotated.GetSession(), err)
	}
	if _, err := user.ListSessions(ctx, &v1.ListSessionsRequest{}); rpc.CodeOf(err) != rpc.CodeUnauthenticated {
		t.Errorf("with the old token: %v", err)
	}
	user = g.sessions(rotated.GetToken())
	second, err := service.OpenSession(ctx, &v1.OpenSessionRequest{UserId: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := user.ListSessions(ctx, &v1.ListSessionsRequest{})
	if err != nil || len(list.GetSessions()) != 2 {
		t.Errorf("the sessions are %v, %v", list, err)
	}
	if _, err := user.CloseSession(ctx, &v1.CloseSessionRequest{SessionId: second.GetSession().GetId()}); err != nil {
		t.Error(err)
	}
	if _, err := user.CloseSession(ctx, &v1.CloseSessionRequest{SessionId: second.GetSession().GetId()}); rpc.CodeOf(err) != rpc.CodeNotFound {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := user.CloseSession(ctx, &v1.CloseSessionRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := user.ListSessions(ctx, &v1.ListSessionsRequest{}); rpc.CodeOf(err) != rpc.CodeUnauthenticated {
		t.Errorf("after its session: %v", err)
	}
	for range 2 {
		if _, err := service.OpenSession(ctx, &v1.OpenSessionRequest{UserId: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	if closed, err := service.CloseAllSessions(ctx, &v1.CloseAllSessionsRequest{UserId: "ada"}); err != nil || closed.GetClosed() != 2 {
		t.Errorf("all were closed: %v, %v", closed, err)
	}
}

// TestSessions_OfAnother has a user use the token and the sessions of another one.
func TestSessions_OfAnother(t *testing.T) {
	g := newGuarded(t)
	ctx, ada, bob := t.Context(), g.login("ada"), g.login("bob")
	client := g.sessions(ada.token)
	if _, err := client.RotateSession(ctx, &v1.RotateSessionRequest{Token: bob.token}); rpc.CodeOf(err) != rpc.CodeUnauthenticated || strings.Contains(err.Error(), bob.token) {
		t.Errorf("rotate: %v", err)
	}
	if _, err := client.CloseSession(ctx, &v1.CloseSessionRequest{SessionId: bob.id}); rpc.CodeOf(err) != rpc.CodeNotFound {
		t.Errorf("close: %v", err)
	}
	for what, err := range map[string]error{
		"list":      second(client.ListSessions(ctx, &v1.ListSessionsRequest{UserId: "bob"})),
		"close":     second(client.CloseSession(ctx, &v1.CloseSessionRequest{UserId: "bob", SessionId: bob.id})),
		"close all": second(client.CloseAllSessions(ctx, &v1.CloseAllSessionsRequest{UserId: "bob"})),
	} {
		if code, d := detailOf(t, err); code != rpc.CodePermissionDenied || d.GetReason() != "other_user" || d.GetField() != "user_id" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := g.sessions(bob.token).ListSessions(ctx, &v1.ListSessionsRequest{}); err != nil || len(got.GetSessions()) != 1 {
		t.Errorf("the other's session: %v, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestSessions_OfAJWT means the session of a call that has none.
func TestSessions_OfAJWT(t *testing.T) {
	g := newGuarded(t)
	ctx, session := t.Context(), g.login("ada")
	client := g.sessions(g.sign("ada", time.Now().Add(time.Hour)))
	for what, err := range map[string]error{
		"rotate": second(client.RotateSession(ctx, &v1.RotateSessionRequest{})), "close": second(client.CloseSession(ctx, &v1.CloseSessionRequest{})),
	} {
		if code, d := detailOf(t, err); code != rpc.CodeFailedPrecondition || d.GetReason() != "no_call_session" {
			t.Errorf("%s: %v, %v", what, err, d)
		}
	}
	rotated, err := client.RotateSession(ctx, &v1.RotateSessionRequest{Token: session.token})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CloseSession(ctx, &v1.CloseSessionRequest{SessionId: rotated.GetSession().GetId()}); err != nil {
		t.Error(err)
	}
}

// TestSessions_WrongFields names the field that is wrong as the protos do.
func TestSessions_WrongFields(t *testing.T) {
	g := newGuarded(t)
	client, ctx := g.sessions(g.services["all"]), t.Context()
	open := func(d *v1.Device) error {
		return second(client.OpenSession(ctx, &v1.OpenSessionRequest{UserId: "u", Device: d}))
	}
	long := strings.Repeat("x", 600)
	for field, err := range map[string]error{
		"user_id":           second(client.OpenSession(ctx, &v1.OpenSessionRequest{})),
		"device.id":         open(&v1.Device{Id: "a b"}),
		"device.name":       open(&v1.Device{Name: long}),
		"device.user_agent": open(&v1.Device{UserAgent: long}),
		"device.ip":         open(&v1.Device{Ip: long}),
		"token":             second(client.GetSession(ctx, &v1.GetSessionRequest{})),
		"session_id":        second(client.CloseSession(ctx, &v1.CloseSessionRequest{UserId: "u"})),
	} {
		isInvalid(t, field, err, field)
	}
	isInvalid(t, "rotate", second(client.RotateSession(ctx, &v1.RotateSessionRequest{})), "token")
	isInvalid(t, "close all", second(client.CloseAllSessions(ctx, &v1.CloseAllSessionsRequest{})), "user_id")
}

// lines is a buffer that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestSessions_TokensStaySecret uses tokens in every way that fails: they occur in no answer, log or span, and no method that GET may call takes one.
func TestSessions_TokensStaySecret(t *testing.T) {
	for name, m := range apiMethods() {
		if m.Input().Fields().ByName("token") != nil && isQuery(m) {
			t.Errorf("%s takes a token and may be called by GET", name)
		}
	}
	log, spans := &lines{}, tracetest.NewSpanRecorder()
	g := newGuarded(t, func(c *connect.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.TracerProvider = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	})
	live, closed, service := g.login("ada"), g.newPlace().closedLogin(), g.services["all"]
	var answers strings.Builder
	for _, token := range []string{live.token, closed, service, "cc_all_wrong-" + strings.Repeat("s", 30), live.token + "x"} {
		for _, method := range []string{"GetSession", "RotateSession", "CloseSession"} {
			path := "/chatcore.v1.SessionService/" + method
			for _, body := range []string{
				fmt.Sprintf(`{"token":%q}`, token), fmt.Sprintf(`{"token":[%q]}`, token), fmt.Sprintf(`{%q:1}`, token), fmt.Sprintf(`{"token":%q`, token), fmt.Sprintf(`%q`, token),
				fmt.Sprintf(`{"token":%q,"token":%q}`, token, token), fmt.Sprintf(`{"session_id":%q,"user_id":"ada"}`, token),
			} {
				for _, caller := range []string{token, service, ""} {
					got := g.post(path, caller, "application/json", []byte(body))
					if got.status != http.StatusOK { // a rotation returns another token
						fmt.Fprintf(&answers, "%s %s as %.6s: %d %s %v\n", method, body[:8], caller, got.status, got.body, got.header)
					}
				}
			}
		}
	}
	for what, text := range map[string]string{"an error": answers.String(), "the log": log.String(), "a span": fmt.Sprintf("%+v", spans.Ended())} {
		for _, token := range []string{live.token, closed, service} {
			secret := token[len(token)-20:]
			for line := range strings.Lines(text) {
				if strings.Contains(line, secret) {
					t.Errorf("%s has a token: %.300s", what, line)
				}
			}
		}
	}
	if len(spans.Ended()) == 0 || answers.Len() == 0 {
		t.Error("there are no spans or errors")
	}
}
