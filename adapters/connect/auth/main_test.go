package auth_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatcore/adapters/connect/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests move.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock() *clock {
	c := &clock{}
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	c.now.Store(&now)
	return c
}

func (c *clock) Now() time.Time { return *c.now.Load() }

func (c *clock) move(d time.Duration) {
	now := c.Now().Add(d)
	c.now.Store(&now)
}

// request returns a request with Authorization headers.
func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/chatcore.v1.ChatService/GetChat", nil)
	r.Header["Authorization"] = authorization
	if len(authorization) == 0 {
		r.Header.Del("Authorization")
	}
	return r
}

func ignoreError(http.ResponseWriter, *http.Request, error) {}

// authenticator returns an authenticator of a configuration.
func authenticator(t testing.TB, config auth.Config) *auth.Authenticator {
	t.Helper()
	if config.OnError == nil {
		config.OnError = ignoreError
	}
	a, err := auth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newToken returns a token and its entry.
func newToken(t testing.TB, id string, scopes ...auth.Scope) (auth.ServiceToken, auth.TokenEntry) {
	t.Helper()
	token, entry, err := auth.NewServiceToken(id, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return token, entry
}

func openTokens(t testing.TB, config auth.TokensConfig) *auth.ServiceTokens {
	t.Helper()
	tokens, err := auth.OpenServiceTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}
