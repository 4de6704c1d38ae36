package auth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/memory"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/apptest"
)

const consoleHost = "chat.example"

// browserRequest is a request of a browser's page at consoleHost, with headers NAME: VALUE.
func browserRequest(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://"+consoleHost+"/chatcore.v1.ChatService/GetChat", nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func browsers(t testing.TB, clock ports.Clock) *auth.Browsers {
	t.Helper()
	return &auth.Browsers{Store: memory.NewFeedState(clock)}
}

// signIn signs a browser in, and returns its cookie.
func signIn(t testing.TB, a *auth.Authenticator, token string, change ...func(*http.Request)) *http.Cookie {
	t.Helper()
	r := browserRequest(http.MethodPost, "Sec-Fetch-Site: same-origin")
	for _, c := range change {
		c(r)
	}
	answer := httptest.NewRecorder()
	if _, err := a.SignIn(answer, r, token); err != nil {
		t.Fatal(err)
	}
	cookies := answer.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	return cookies[0]
}

// overTLS makes a request one over https.
func overTLS(r *http.Request) { r.TLS = &tls.ConnectionState{} }

// TestBrowsers_SignIn has each kind of credential be one of a browser by its cookie, which does not contain it, until the browser signs out.
func TestBrowsers_SignIn(t *testing.T) {
	sessions, opened := newSessions(t, false)
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	signer := newSigner(t, "k")
	a := authenticator(t, auth.Config{
		Sessions: sessions, Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}, Clock: signer.clock.Now}), JWT: signer.fileJWT(t), Browsers: browsers(t, apptest.Clock{}),
	})
	for token, want := range map[string]string{string(service): "service shop", string(opened.Token): "user ada", signer.sign(t, signer.claims()): "user ada"} {
		cookie := signIn(t, a, token)
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || cookie.Secure || cookie.MaxAge <= 0 || strings.Contains(cookie.String(), token) {
			t.Errorf("%s: cookie %v", want, cookie)
		}
		r := browserRequest(http.MethodPost, "Sec-Fetch-Site: same-origin", "Origin: http://"+consoleHost)
		r.AddCookie(cookie)
		p, err := a.Authenticate(r)
		if err != nil || p.String() != want {
			t.Fatalf("%v, %v, want %s", p, err, want)
		}
		answer := httptest.NewRecorder()
		if err := a.SignOut(answer, r); err != nil {
			t.Fatal(err)
		}
		if gone := answer.Result().Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Name != cookie.Name {
			t.Errorf("sign-out sets %v", gone)
		}
		if p, err := a.Authenticate(r); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("after the sign-out: %v, %v", p, err)
		}
	}
}

// TestBrowsers_RefuseTokens signs nobody in with a token that is not valid.
func TestBrowsers_RefuseTokens(t *testing.T) {
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	sessions, _ := newSessions(t, false)
	a := authenticator(t, auth.Config{Sessions: sessions, Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), Browsers: browsers(t, apptest.Clock{})})
	for _, token := range []string{"", " ", string(service) + "A", "cc_", "a.b.c", "x", "two words", string(service) + "\nX-Other: 1", strings.Repeat("a", 9<<10)} {
		answer := httptest.NewRecorder()
		p, err := a.SignIn(answer, browserRequest(http.MethodPost, "Sec-Fetch-Site: same-origin"), token)
		if !errors.Is(err, auth.ErrUnauthenticated) || p != nil || len(answer.Result().Cookies()) != 0 {
			t.Errorf("%.12q: %v, %v", token, p, err)
		}
	}
}

// TestBrowsers_RefuseOtherSites has the cookie count for no request that a page of another site may have caused, nor for a sign-in or sign-out of one.
func TestBrowsers_RefuseOtherSites(t *testing.T) {
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	a := authenticator(t, auth.Config{Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), Browsers: browsers(t, apptest.Clock{})})
	cookie := signIn(t, a, string(service))
	for _, c := range []struct {
		method  string
		headers []string
		allowed bool
	}{
		{http.MethodPost, []string{"Origin: http://" + consoleHost}, true},
		{http.MethodPost, []string{"Sec-Fetch-Site: same-origin"}, true},
		{http.MethodGet, nil, true}, // SameSite has kept the cookie from other sites, and CORS the answer
		{http.MethodHead, []string{"Sec-Fetch-Site: none"}, true},
		{http.MethodGet, []string{"Sec-Fetch-Site: same-origin"}, true},

		{http.MethodPost, nil, false},
		{http.MethodDelete, nil, false},
		{http.MethodPost, []string{"Content-Type: application/x-www-form-urlencoded"}, false},
		{http.MethodPost, []string{"Origin: http://evil.example"}, false},
		{http.MethodPost, []string{"Origin: null"}, false},
		{http.MethodPost, []string{"Origin: https://" + consoleHost}, false}, // another scheme is another origin
		{http.MethodPost, []string{"Origin: http://" + consoleHost + ":81"}, false},
		{http.MethodPost, []string{"Origin: http://sub." + consoleHost}, false},
		{http.MethodPost, []string{"Origin: http://" + consoleHost, "Origin: http://evil.example"}, false},
		{http.MethodPost, []string{"Sec-Fetch-Site: same-site", "Origin: http://" + consoleHost}, false},
		{http.MethodPost, []string{"Sec-Fetch-Site: cross-site"}, false},
		{http.MethodPost, []string{"Sec-Fetch-Site: none"}, false},
		{http.MethodPost, []string{"Sec-Fetch-Site: same-origin", "Origin: http://evil.example"}, false},
		{http.MethodGet, []string{"Sec-Fetch-Site: cross-site"}, false},
		{http.MethodGet, []string{"Sec-Fetch-Site: same-site"}, false},
		{http.MethodGet, []string{"Origin: http://evil.example"}, false},
	} {
		r := browserRequest(c.method, c.headers...)
		r.AddCookie(cookie)
		p, err := a.Authenticate(r)
		if allowed := err == nil; allowed != c.allowed || !allowed && (!errors.Is(err, auth.ErrCrossSite) || p != nil || !strings.Contains(err.Error(), "allowed: ")) {
			t.Errorf("%s %v: %v, %v", c.method, c.headers, p, err)
		}
		if c.allowed || c.method == http.MethodGet {
			continue
		}
		answer := httptest.NewRecorder()
		if _, err := a.SignIn(answer, r, string(service)); !errors.Is(err, auth.ErrCrossSite) {
			t.Errorf("sign-in by %s %v: %v", c.method, c.headers, err)
		}
		if err := a.SignOut(answer, r); !errors.Is(err, auth.ErrCrossSite) || len(answer.Result().Cookies()) != 0 {
			t.Errorf("sign-out by %s %v: %v", c.method, c.headers, err)
		}
	}
	r := browserRequest(http.MethodPost, "Origin: http://"+consoleHost)
	r.AddCookie(cookie)
	if _, err := a.Authenticate(r); err != nil {
		t.Errorf("the browser is not signed in any more: %v", err)
	}
}

// TestBrowsers_Secure has the cookie be one for https alone over TLS and behind a proxy, and the origin one of https.
func TestBrowsers_Secure(t *testing.T) {
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	tokens := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	direct := authenticator(t, auth.Config{Tokens: tokens, Browsers: browsers(t, apptest.Clock{})})
	proxied := browsers(t, apptest.Clock{})
	proxied.BehindProxy = true
	behind := authenticator(t, auth.Config{Tokens: tokens, Browsers: proxied})
	plain := func(*http.Request) {}
	for name, c := range map[string]struct {
		a      *auth.Authenticator
		change func(*http.Request)
	}{"TLS": {direct, overTLS}, "proxy": {behind, plain}} {
		cookie := signIn(t, c.a, string(service), c.change)
		if !cookie.Secure || !strings.HasPrefix(cookie.Name, "__Host-") {
			t.Errorf("%s: cookie %v", name, cookie)
		}
		for origin, want := range map[string]bool{"https://" + consoleHost: true, "http://" + consoleHost: false} {
			r := browserRequest(http.MethodPost, "Origin: "+origin)
			c.change(r)
			r.AddCookie(cookie)
			if _, err := c.a.Authenticate(r); err == nil != want {
				t.Errorf("%s: origin %s: %v", name, origin, err)
			}
		}
	}
	// A proxy that changes Host: the browser knows the server by another name.
	cookie := signIn(t, behind, string(service))
	for _, header := range []string{"X-Forwarded-Host: public.example", "Sec-Fetch-Site: same-origin"} {
		r := browserRequest(http.MethodPost, "Origin: https://public.example", header)
		r.AddCookie(cookie)
		if _, err := behind.Authenticate(r); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
	// Without a proxy X-Forwarded-Host is of the client, and a cookie over plain HTTP is none over TLS.
	r := browserRequest(http.MethodPost, "Origin: http://public.example", "X-Forwarded-Host: public.example")
	r.AddCookie(signIn(t, direct, string(service)))
	if _, err := direct.Authenticate(r); !errors.Is(err, auth.ErrCrossSite) {
		t.Errorf("without a proxy: %v", err)
	}
	r = browserRequest(http.MethodPost, "Origin: https://"+consoleHost)
	overTLS(r)
	r.AddCookie(signIn(t, direct, string(service)))
	if p, err := direct.Authenticate(r); err != nil || p != (auth.Nobody{}) {
		t.Errorf("a cookie of plain HTTP over TLS: %v, %v", p, err)
	}
}

// TestBrowsers_EndWithCredential signs a browser out with the end of its credential: an expired or revoked token, a closed session.
func TestBrowsers_EndWithCredential(t *testing.T) {
	sessions, opened := newSessions(t, false)
	clock := newClock()
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	entry.Expires = clock.Now().Add(time.Hour)
	tokens := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}, Clock: clock.Now})
	a := authenticator(t, auth.Config{Sessions: sessions, Tokens: tokens, Browsers: browsers(t, apptest.Clock{})})
	byToken, bySession := signIn(t, a, string(service)), signIn(t, a, string(opened.Token))
	if byToken.MaxAge > int(time.Hour.Seconds()) {
		t.Errorf("the cookie outlasts its token: %d s", byToken.MaxAge)
	}
	clock.move(2 * time.Hour)
	if err := sessions.Close(t.Context(), "ada", opened.ID); err != nil {
		t.Fatal(err)
	}
	for name, cookie := range map[string]*http.Cookie{"expired token": byToken, "closed session": bySession} {
		r := browserRequest(http.MethodGet)
		r.AddCookie(cookie)
		if p, err := a.Authenticate(r); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// failingStore does not answer.
type failingStore struct{}

var errStore = errors.Join(ports.ErrUnavailable, errors.New("the store is gone"))

func (failingStore) Keep(context.Context, string, []byte, time.Duration) error { return errStore }
func (failingStore) Get(context.Context, string) ([]byte, bool, error)         { return nil, false, errStore }

func (failingStore) Take(context.Context, string) ([]byte, bool, error) { return nil, false, errStore }

// TestBrowsers_StoreFails returns that a cookie cannot be checked, and not that it is not valid.
func TestBrowsers_StoreFails(t *testing.T) {
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	tokens := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	cookie := signIn(t, authenticator(t, auth.Config{Tokens: tokens, Browsers: browsers(t, apptest.Clock{})}), string(service))
	a := authenticator(t, auth.Config{Tokens: tokens, Browsers: &auth.Browsers{Store: failingStore{}}})
	r := browserRequest(http.MethodPost, "Sec-Fetch-Site: same-origin")
	_, signing := a.SignIn(httptest.NewRecorder(), r, string(service))
	r.AddCookie(cookie)
	_, checking := a.Authenticate(r)
	for name, err := range map[string]error{"sign-in": signing, "check": checking, "sign-out": a.SignOut(httptest.NewRecorder(), r)} {
		if !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBrowsers_HeaderWins has an Authorization header count instead of the cookie, whatever site asks: no page can set it for another origin.
func TestBrowsers_HeaderWins(t *testing.T) {
	service, entry := newToken(t, "shop", auth.ScopeChatsRead)
	other, otherEntry := newToken(t, "other", auth.ScopeAdmin)
	a := authenticator(t, auth.Config{Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry, otherEntry}}), Browsers: browsers(t, apptest.Clock{})})
	r := browserRequest(http.MethodPost, "Origin: http://evil.example", "Authorization: Bearer "+string(other))
	r.AddCookie(signIn(t, a, string(service)))
	if p, err := a.Authenticate(r); err != nil || p.String() != "service other" {
		t.Errorf("%v, %v", p, err)
	}
}

// TestBrowsers_ConfigIsChecked refuses the sign-in of browsers in local mode, and without a store.
func TestBrowsers_ConfigIsChecked(t *testing.T) {
	for name, config := range map[string]auth.Config{
		"local": {Local: true, OnError: ignoreError, Browsers: browsers(t, apptest.Clock{})}, "no store": {OnError: ignoreError, Browsers: &auth.Browsers{}},
	} {
		if _, err := auth.New(config); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := authenticator(t, auth.Config{})
	if _, err := a.SignIn(httptest.NewRecorder(), browserRequest(http.MethodPost), "x"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("without a configuration: %v", err)
	}
}
