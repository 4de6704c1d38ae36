package auth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// localRequest returns a request as curl sends it, changed.
func localRequest(change func(r *http.Request)) *http.Request {
	r := request()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "curl/8")
	if change != nil {
		change(r)
	}
	return r
}

func setting(name string, values ...string) func(r *http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

func host(name string) func(r *http.Request) { return func(r *http.Request) { r.Host = name } }

func method(name, contentType string) func(r *http.Request) {
	return func(r *http.Request) {
		r.Method = name
		r.Header.Del("Content-Type")
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
	}
}

func TestLocal_Accepts(t *testing.T) {
	a := authenticator(t, auth.Config{Local: true})
	changes := map[string]func(r *http.Request){
		"curl": nil, "GET": method(http.MethodGet, ""), "HEAD": method(http.MethodHead, ""), "JSON with a charset": setting("Content-Type", "application/json; charset=utf-8"),
		"same origin": setting("Origin", "http://127.0.0.1:8080"), "same origin by fetch": setting("Sec-Fetch-Site", "same-origin"), "typed into the browser": setting("Sec-Fetch-Site", "none"),
		"same origin over TLS": func(r *http.Request) {
			r.TLS, r.Header["Origin"] = &tls.ConnectionState{}, []string{"https://127.0.0.1:8080"}
		},
	}
	for _, name := range []string{"localhost", "localhost:8080", "LOCALHOST:1", "localhost.:80", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:80"} {
		changes["host "+name] = host(name)
	}
	for _, media := range []string{"application/proto", "application/connect+json", "application/connect+proto", "application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpc-web+json", "application/grpc-web-text"} {
		changes[media] = setting("Content-Type", media)
	}
	for name, change := range changes {
		p, err := a.Authenticate(localRequest(change))
		service, ok := p.(auth.Service)
		if err != nil || !ok || service.ID != auth.LocalID {
			t.Errorf("%s: %v, %v", name, p, err)
			continue
		}
		for _, scope := range append(auth.AllScopes(), auth.ScopeConsume("push")) {
			if !service.Allows(scope) {
				t.Errorf("%s: does not allow %s", name, scope)
			}
		}
	}
}

// TestLocal_Refuses names the part of each request that a web page or a proxy may have caused.
func TestLocal_Refuses(t *testing.T) {
	a := authenticator(t, auth.Config{Local: true})
	type cause struct {
		field  string
		change func(r *http.Request)
	}
	causes := make(map[string]cause)
	for _, name := range []string{
		"", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io:8080", "evil-localhost", "0.0.0.0:8080", "[::]:8080", "192.168.1.7:8080",
		"10.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1", "127.0.0.1:80:80", "localhost@evil.example", "user@127.0.0.1",
	} {
		causes["host "+name] = cause{"Host", host(name)}
	}
	for _, origin := range []string{
		"", "null", "http://evil.example", "http://127.0.0.1:3000", "http://localhost:8080", "https://127.0.0.1:8080", "http://127.0.0.1:8080.evil.example", "http://evil.example@127.0.0.1:3000",
		"chrome-extension://abc", "file://", "http://127.0.0.1", "%",
	} {
		causes["origin "+origin] = cause{"Origin", setting("Origin", origin)}
		causes["GET of origin "+origin] = cause{"Origin", func(r *http.Request) { method(http.MethodGet, "")(r); r.Header["Origin"] = []string{origin} }}
	}
	causes["two origins"] = cause{"Origin", setting("Origin", "http://127.0.0.1:8080", "http://evil.example")}
	for _, site := range []string{"cross-site", "same-site", "", "SAME-ORIGIN"} {
		causes["site "+site] = cause{"Sec-Fetch-Site", setting("Sec-Fetch-Site", site)}
		causes["GET of site "+site] = cause{"Sec-Fetch-Site", func(r *http.Request) { method(http.MethodGet, "")(r); r.Header["Sec-Fetch-Site"] = []string{site} }}
	}
	for _, media := range []string{
		"text/plain", "text/plain; x=application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "", "application/jsonx", "application/json, text/plain", "application/grpcx",
		"application/octet-stream", ";", "text/html",
	} {
		causes["content type "+media] = cause{"Content-Type", setting("Content-Type", media)}
		causes["PUT of content type "+media] = cause{"Content-Type", method(http.MethodPut, media)}
	}
	causes["no content type"] = cause{"Content-Type", method(http.MethodPost, "")}
	causes["two content types"] = cause{"Content-Type", setting("Content-Type", "application/json", "text/plain")}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		causes[name] = cause{name, setting(name, "127.0.0.1")}
	}
	for name, c := range causes {
		p, err := a.Authenticate(localRequest(c.change))
		refused, ok := errors.AsType[*auth.NotLocalError](err)
		if p != nil || !ok || !errors.Is(err, auth.ErrNotLocal) || refused.Field != c.field || !strings.Contains(err.Error(), "allowed: ") {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// TestLocal_Credentials are checked as always: a wrong one is not replaced by the rights of local mode.
func TestLocal_Credentials(t *testing.T) {
	sessions, opened := newSessions(t, false)
	a := authenticator(t, auth.Config{Local: true, Sessions: sessions})
	for _, header := range []string{"", "Bearer x", "Bearer cc_shop_x", "Basic x", "Bearer a.b.c"} {
		r := localRequest(setting("Authorization", header))
		if p, err := a.Authenticate(r); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%q: %v, %v", header, p, err)
		}
	}
	if p, err := a.Authenticate(localRequest(setting("Authorization", "Bearer "+string(opened.Token)))); err != nil || p.String() != "user ada" {
		t.Errorf("a session: %v, %v", p, err)
	}
}

func TestLocal_IsNotTheDefault(t *testing.T) {
	if p, err := authenticator(t, auth.Config{}).Authenticate(localRequest(nil)); err != nil || p != (auth.Nobody{}) {
		t.Errorf("%v, %v", p, err)
	}
}

// TestCheckExposure walks every combination of address and protection.
func TestCheckExposure(t *testing.T) {
	loopback := []string{"127.0.0.1:8080", "127.1.2.3:0", "[::1]:8080", "localhost:8080", "[::ffff:127.0.0.1]:1"}
	open := []string{":8080", "0.0.0.0:8080", "[::]:8080", "192.168.1.7:8080", "10.0.0.1:1", "[fe80::1%eth0]:80", "chat.example:443", "localhost.example:80", "2130706433:80"}
	for bits := range 8 {
		e := auth.Exposure{Tokens: bits&1 != 0, TLS: bits&2 != 0, BehindProxy: bits&4 != 0}
		for _, address := range loopback {
			wantErr := e.BehindProxy && !e.Tokens
			if err := auth.CheckExposure(address, e); (err != nil) != wantErr {
				t.Errorf("%s %+v: %v", address, e, err)
			}
			if local := auth.IsLocalMode(address, e); local != (!e.Tokens && !e.BehindProxy) {
				t.Errorf("%s %+v is in local mode: %t", address, e, local)
			}
		}
		for _, address := range open {
			err := auth.CheckExposure(address, e)
			if fine := e.Tokens && (e.TLS || e.BehindProxy); (err == nil) != fine {
				t.Errorf("%s %+v: %v", address, e, err)
			}
			exposed, is := errors.AsType[*auth.ExposureError](err)
			if err != nil && (!is || exposed.Address != address || !errors.Is(err, domain.ErrInvalid)) {
				t.Errorf("%s %+v: %v", address, e, err)
			}
			if err != nil && (strings.Contains(err.Error(), "tokens or JWTs") != !e.Tokens || strings.Contains(err.Error(), "lacks TLS") && e.Tokens == (e.TLS || e.BehindProxy)) {
				t.Errorf("%s %+v: %v", address, e, err)
			}
			if auth.IsLocalMode(address, e) {
				t.Errorf("%s %+v is in local mode", address, e)
			}
		}
	}
	for _, address := range []string{"", "8080", "127.0.0.1", "::1:8080", "http://127.0.0.1:8080"} {
		if err := auth.CheckExposure(address, auth.Exposure{Tokens: true, TLS: true}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v", address, err)
		}
		if auth.IsLocalMode(address, auth.Exposure{}) {
			t.Errorf("%q is in local mode", address)
		}
	}
}

// TestLocal_FormTypesAreNotConnects shows that the protocols take none of the content types that a page of another site may send without being asked: the
// check of local mode is a second one.
func TestLocal_FormTypesAreNotConnects(t *testing.T) {
	called := false
	handler := connect.NewUnaryHandler("/s/M", func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
		called = true
		return connect.NewResponse(&emptypb.Empty{}), nil
	})
	for _, media := range []string{"text/plain", "text/plain;charset=UTF-8", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/s/M", strings.NewReader("{}"))
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		if answer.Code != http.StatusUnsupportedMediaType || called {
			t.Errorf("%q: status %d, called: %t", media, answer.Code, called)
		}
	}
}
