package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

var _ auth.Sessions = (*app.Sessions)(nil)

// failingSessions return an error for every token, and count the calls.
type failingSessions struct {
	err   error
	calls atomic.Int64
}

func (s *failingSessions) Get(context.Context, app.SessionToken) (domain.Session, error) {
	s.calls.Add(1)
	return domain.Session{}, s.err
}

func (s *failingSessions) Ref(app.SessionToken, domain.Session) ports.SessionRef {
	return ports.SessionRef{}
}

func (s *failingSessions) Live(context.Context, []ports.SessionRef) ([]bool, error) {
	return nil, s.err
}

// TestMiddleware serves a request with its principal, or has the error answered and nothing served.
func TestMiddleware(t *testing.T) {
	sessions, opened := newSessions(t, false)
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	signer := newSigner(t, "k")
	jwt := signer.sign(t, signer.claims())
	var refused []error
	a := authenticator(t, auth.Config{
		Sessions: sessions, Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), JWT: signer.fileJWT(t),
		OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
			refused = append(refused, err)
			w.WriteHeader(http.StatusTeapot)
		},
	})
	var served []auth.Principal
	handler := a.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served = append(served, auth.From(r.Context())) }))
	for name, c := range map[string]struct {
		header []string
		want   auth.Principal
	}{
		"service": {[]string{"Bearer " + string(service)}, auth.Service{ID: "shop", Scopes: auth.Scopes{auth.ScopeChatsRead}}},
		"session": {[]string{"Bearer " + string(opened.Token)}, auth.User{ID: "ada", Session: opened.ID, Expires: opened.EndsAt}},
		"JWT":     {[]string{"Bearer " + jwt}, auth.User{ID: "ada", Expires: signer.clock.Now().Add(time.Hour).Local()}},
		"nobody":  {nil, auth.Nobody{}},
		"wrong":   {[]string{"Bearer " + string(service) + "A"}, nil},
	} {
		served, refused = nil, nil
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request(c.header...))
		switch {
		case c.want == nil:
			if len(served) != 0 || len(refused) != 1 || !errors.Is(refused[0], auth.ErrUnauthenticated) || answer.Code != http.StatusTeapot {
				t.Errorf("%s: served %v, refused %v", name, served, refused)
			}
		case len(refused) != 0 || len(served) != 1 || !reflect.DeepEqual(served[0], c.want):
			t.Errorf("%s: served %+v, refused %v, want %+v", name, served, refused, c.want)
		}
	}
}

// TestAuthenticate_AsksOneKind has a token looked up as what its form says, and as nothing else.
func TestAuthenticate_AsksOneKind(t *testing.T) {
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	wrong, _ := newToken(t, "shop", auth.ScopeChatsRead)
	signer := newSigner(t, "k")
	tokens, jwt := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), signer.fileJWT(t)
	for name, c := range map[string]struct {
		token string
		jwt   *auth.JWT
		asked int64
	}{
		"service": {string(service), jwt, 0}, "wrong service": {string(wrong), jwt, 0}, "cc_": {"cc_", jwt, 0}, "cc_ with dots": {"cc_a.b.c", jwt, 0},
		"JWT": {signer.sign(t, signer.claims()), jwt, 0}, "wrong JWT": {"a.b.c", jwt, 0}, "dots": {"..", jwt, 0},
		"session": {"YWRh.AAAA", jwt, 1}, "another program's": {"5f1d8a2e-guide", jwt, 1}, "three dots": {"a.b.c.d", jwt, 1}, "two dots without JWTs": {"a.b.c", nil, 1},
	} {
		sessions := &failingSessions{err: domain.ErrNoSession}
		a := authenticator(t, auth.Config{Sessions: sessions, Tokens: tokens, JWT: c.jwt})
		_, err := a.Authenticate(request("Bearer " + c.token))
		if asked := sessions.calls.Load(); asked != c.asked || asked > 0 && !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: sessions are asked %d times, want %d: %v", name, asked, c.asked, err)
		}
	}
}

// TestAuthenticate_NoSource refuses the tokens of kinds that are not configured.
func TestAuthenticate_NoSource(t *testing.T) {
	service, _ := newToken(t, "shop", auth.ScopeChatsRead)
	a := authenticator(t, auth.Config{})
	for _, token := range []string{string(service), "YWRh.AAAA", "a.b.c", "x"} {
		if p, err := a.Authenticate(request("Bearer " + token)); !errors.Is(err, auth.ErrUnauthenticated) || p != nil {
			t.Errorf("%.5q: %v, %v", token, p, err)
		}
	}
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
}

// TestAuthenticate_OtherPrograms takes the tokens that compat mode takes.
func TestAuthenticate_OtherPrograms(t *testing.T) {
	sessions, opened := newSessions(t, true)
	a := authenticator(t, auth.Config{Sessions: sessions})
	if p, err := a.Authenticate(request("Bearer " + string(opened.Token))); err != nil || p.String() != "user ada" {
		t.Errorf("%v, %v", p, err)
	}
}

// TestAuthenticate_SessionErrors maps what the store answers. Only "no such session" is unauthenticated.
func TestAuthenticate_SessionErrors(t *testing.T) {
	const secret = "YWRh.AAAA"
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context //nolint:containedctx // of one case
		err   error
		want  error
		isnot error
	}{
		"no session":  {t.Context(), domain.ErrNoSession, auth.ErrUnauthenticated, ports.ErrUnavailable},
		"wrapped":     {t.Context(), fmt.Errorf("x: %w", domain.ErrNoSession), auth.ErrUnauthenticated, ports.ErrUnavailable},
		"unavailable": {t.Context(), fmt.Errorf("x: %w", ports.ErrUnavailable), ports.ErrUnavailable, auth.ErrUnauthenticated},
		"closed":      {t.Context(), ports.ErrClosed, ports.ErrUnavailable, auth.ErrUnauthenticated},
		"unexpected":  {t.Context(), errors.New("MOVED"), ports.ErrUnavailable, auth.ErrUnauthenticated},
		"timeout":     {t.Context(), context.DeadlineExceeded, ports.ErrUnavailable, context.DeadlineExceeded},
		"canceled":    {ended, context.Canceled, context.Canceled, auth.ErrUnauthenticated},
	} {
		a := authenticator(t, auth.Config{Sessions: &failingSessions{err: c.err}})
		p, err := a.Authenticate(request("Bearer " + secret).WithContext(c.ctx))
		if p != nil || !errors.Is(err, c.want) || errors.Is(err, c.isnot) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	_, entry := newToken(t, "shop", auth.ScopeChatsRead)
	tokens := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	for name, c := range map[string]auth.Config{
		"no OnError":          {},
		"local beside tokens": {OnError: ignoreError, Local: true, Tokens: tokens},
		"local beside JWTs":   {OnError: ignoreError, Local: true, JWT: newSigner(t, "k").fileJWT(t)},
	} {
		if _, err := auth.New(c); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAuthenticator_Run follows both sources, and ends them.
func TestAuthenticator_Run(t *testing.T) {
	s := newSigner(t, "k")
	j := s.remote(t, newKeyServer(t, s.jwk()), nil)
	_, entry := newToken(t, "shop", auth.ScopeChatsRead)
	a := authenticator(t, auth.Config{Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), JWT: j})
	if err := a.Ready(); !errors.Is(err, ports.ErrUnavailable) {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	wait.Until(t, "it is ready", func() bool { return a.Ready() == nil })
	stop()
	<-done
}
