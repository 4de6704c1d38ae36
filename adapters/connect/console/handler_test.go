package console_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/console"
	"chatcore/adapters/memory"
	"chatcore/domain"
	"chatcore/tests/apptest"
)

const script = "/assets/index-abc.js"

var files = fstest.MapFS{ //nolint:gochecknoglobals // read only
	"index.html":          {Data: []byte("<!doctype html>" + strings.Repeat(" ", 2000))},
	"assets/index-abc.js": {Data: []byte(strings.Repeat("export{};", 500))},
	"assets/mark.svg":     {Data: []byte("<svg/>")},
	"sources.sha256":      {Data: []byte("not served")},
}

// served is a console in front of an API that answers 418.
type served struct {
	handler http.Handler
	token   string
}

func newServed(t testing.TB, local bool) served {
	t.Helper()
	token, entry, err := auth.NewServiceToken("shop", []auth.Scope{auth.ScopeChatsRead})
	if err != nil {
		t.Fatal(err)
	}
	onError := func(w http.ResponseWriter, _ *http.Request, err error) {
		switch {
		case errors.Is(err, auth.ErrUnauthenticated):
			w.WriteHeader(http.StatusUnauthorized)
		case errors.Is(err, auth.ErrCrossSite), errors.Is(err, auth.ErrNotLocal):
			w.WriteHeader(http.StatusForbidden)
		case errors.Is(err, domain.ErrInvalid):
			w.WriteHeader(http.StatusBadRequest)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	config := auth.Config{Local: local, OnError: onError}
	if !local {
		if config.Tokens, err = auth.OpenServiceTokens(auth.TokensConfig{Entries: []auth.TokenEntry{entry}}); err != nil {
			t.Fatal(err)
		}
		config.Browsers = &auth.Browsers{Store: memory.NewFeedState(apptest.Clock{})}
	}
	authenticator, err := auth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := console.New(console.Config{
		Files: files, Authenticator: authenticator, Local: local, OnError: onError,
		Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return served{handler, string(token)}
}

// do sends a request of a page of the console with headers NAME: VALUE.
func (s served) do(method, path, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://127.0.0.1:7460"+path, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	s.handler.ServeHTTP(answer, r)
	return answer.Result()
}

func bodyOf(t testing.TB, response *http.Response) []byte {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestHandler_Files serves the page and its files with their headers, to GET and HEAD alone, and passes other paths on.
func TestHandler_Files(t *testing.T) {
	s := newServed(t, false)
	for path, want := range map[string]struct{ contentType, cache string }{
		"/":                {"text/html; charset=utf-8", "no-cache"},
		script:             {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/assets/mark.svg": {"image/svg+xml", "public, max-age=31536000, immutable"},
	} {
		got := s.do(http.MethodGet, path, "")
		h := got.Header
		if got.StatusCode != http.StatusOK || h.Get("Content-Type") != want.contentType || h.Get("Cache-Control") != want.cache || h.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", path, got.StatusCode, h)
		}
		if policy := h.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Vary": "Accept-Encoding",
		} {
			if h.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), value)
			}
		}
		body := bodyOf(t, got)
		if head := s.do(http.MethodHead, path, ""); head.StatusCode != http.StatusOK || len(bodyOf(t, head)) != 0 || head.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %s: %d, %d bytes", path, head.StatusCode, head.ContentLength)
		}
		if post := s.do(http.MethodPost, path, "x"); post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, post.StatusCode)
		}
	}
	for path, status := range map[string]int{
		"/assets/old-123.js": http.StatusNotFound, "/sources.sha256": http.StatusTeapot, "/index.html": http.StatusTeapot, "/assets": http.StatusTeapot,
		"/chatcore.v1.ChatService/GetChat": http.StatusTeapot, "/v1/feed": http.StatusTeapot, "/console": http.StatusTeapot,
	} {
		if got := s.do(http.MethodGet, path, ""); got.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, status)
		}
	}
}

// TestHandler_Compression serves gzip to clients that take it, under another ETag, and nothing to those that have the file.
func TestHandler_Compression(t *testing.T) {
	s := newServed(t, false)
	plain := bodyOf(t, s.do(http.MethodGet, script, ""))
	for accept, zipped := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "GZIP": true, "": false, "br": false, "gzip;q=0": false, "gzip; q=0.0": false, "gzipped": false} {
		got := s.do(http.MethodGet, script, "", "Accept-Encoding: "+accept)
		body := bodyOf(t, got)
		if (got.Header.Get("Content-Encoding") == "gzip") != zipped {
			t.Errorf("%q: encoding %q", accept, got.Header.Get("Content-Encoding"))
			continue
		}
		if zipped {
			reader, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, plain) {
			t.Errorf("%q: %d bytes", accept, len(body))
		}
		tag := got.Header.Get("ETag")
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			again := s.do(http.MethodGet, script, "", "Accept-Encoding: "+accept, "If-None-Match: "+known)
			if again.StatusCode != http.StatusNotModified || len(bodyOf(t, again)) != 0 || again.Header.Get("ETag") != tag {
				t.Errorf("%q with %s: %d", accept, known, again.StatusCode)
			}
		}
		if other := s.do(http.MethodGet, script, "", "Accept-Encoding: "+accept, `If-None-Match: "other"`); other.StatusCode != http.StatusOK {
			t.Errorf("%q with another tag: %d", accept, other.StatusCode)
		}
	}
	if got := s.do(http.MethodGet, "/assets/mark.svg", "", "Accept-Encoding: gzip"); got.Header.Get("Content-Encoding") != "" {
		t.Error("a file that gzip does not make smaller is compressed")
	}
}

// TestHandler_Session signs a browser in and out, and says who it is.
func TestHandler_Session(t *testing.T) {
	s := newServed(t, false)
	who := func(headers ...string) (kind string) {
		got := s.do(http.MethodGet, "/console/session", "", headers...)
		var session struct {
			Kind, ID string
			Local    bool
			Scopes   []string
		}
		if err := json.Unmarshal(bodyOf(t, got), &session); err != nil || got.StatusCode != http.StatusOK || session.Local || got.Header.Get("Cache-Control") != "no-store" || session.Scopes == nil {
			t.Fatalf("%d %+v %v", got.StatusCode, session, err)
		}
		return strings.TrimSpace(session.Kind + " " + session.ID)
	}
	if got := who(); got != "" {
		t.Errorf("before the sign-in: %q", got)
	}
	in := s.do(http.MethodPost, "/console/session", `{"token":"`+s.token+`"}`, "Content-Type: application/json", "Origin: http://127.0.0.1:7460")
	if in.StatusCode != http.StatusOK || len(in.Cookies()) != 1 || !in.Cookies()[0].HttpOnly || in.Cookies()[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("sign-in: %d, %v", in.StatusCode, in.Cookies())
	}
	cookie := "Cookie: " + in.Cookies()[0].Name + "=" + in.Cookies()[0].Value
	if got := who(cookie); got != "service shop" {
		t.Errorf("after the sign-in: %q", got)
	}
	if out := s.do(http.MethodDelete, "/console/session", "", cookie, "Origin: http://127.0.0.1:7460"); out.StatusCode != http.StatusNoContent || out.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign-out: %d", out.StatusCode)
	}
	if got := who(cookie); got != "" {
		t.Errorf("after the sign-out: %q", got)
	}
}

// TestHandler_SessionRefuses refuses sign-ins of other sites, of forms and with tokens that are not valid.
func TestHandler_SessionRefuses(t *testing.T) {
	s := newServed(t, false)
	good := `{"token":"` + s.token + `"}`
	const isJSON, own = "Content-Type: application/json", "Origin: http://127.0.0.1:7460"
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
	}{
		"no origin":           {good, []string{isJSON}, http.StatusForbidden},
		"another origin":      {good, []string{isJSON, "Origin: http://evil.example"}, http.StatusForbidden},
		"another site":        {good, []string{isJSON, "Sec-Fetch-Site: cross-site"}, http.StatusForbidden},
		"a form":              {"token=" + s.token, []string{"Content-Type: application/x-www-form-urlencoded", own}, http.StatusUnsupportedMediaType},
		"a form of JSON":      {good, []string{"Content-Type: text/plain", own}, http.StatusUnsupportedMediaType},
		"no content type":     {good, []string{own}, http.StatusUnsupportedMediaType},
		"a wrong token":       {`{"token":"cc_shop_x"}`, []string{isJSON, own}, http.StatusUnauthorized},
		"no token":            {`{}`, []string{isJSON, own}, http.StatusBadRequest},
		"another field":       {`{"token":"x","next":"http://evil.example"}`, []string{isJSON, own}, http.StatusBadRequest},
		"no JSON":             {"token", []string{isJSON, own}, http.StatusBadRequest},
		"two values":          {good + good, []string{isJSON, own}, http.StatusBadRequest},
		"more than there may": {`{"token":"` + strings.Repeat("a", 17<<10) + `"}`, []string{isJSON, own}, http.StatusBadRequest},
	} {
		if got := s.do(http.MethodPost, "/console/session", c.body, c.headers...); got.StatusCode != c.status || len(got.Cookies()) != 0 {
			t.Errorf("%s: %d, want %d, cookies %v", name, got.StatusCode, c.status, got.Cookies())
		}
	}
	if got := s.do(http.MethodPut, "/console/session", good, isJSON, own); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, POST, DELETE" {
		t.Errorf("PUT: %d", got.StatusCode)
	}
}

// TestHandler_LocalMode has no sign-in in local mode, and refuses pages of other sites.
func TestHandler_LocalMode(t *testing.T) {
	s := newServed(t, true)
	got := s.do(http.MethodGet, "/console/session", "", "Sec-Fetch-Site: same-origin")
	var session struct {
		Local bool
		Kind  string
	}
	if err := json.Unmarshal(bodyOf(t, got), &session); err != nil || !session.Local || session.Kind != "service" {
		t.Errorf("%d %+v %v", got.StatusCode, session, err)
	}
	if got := s.do(http.MethodGet, "/console/session", "", "Sec-Fetch-Site: cross-site"); got.StatusCode != http.StatusForbidden {
		t.Errorf("another site: %d", got.StatusCode)
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		if got := s.do(method, "/console/session", `{"token":"x"}`, "Content-Type: application/json"); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET" {
			t.Errorf("%s: %d", method, got.StatusCode)
		}
	}
}

// TestNew_ChecksFiles refuses a configuration without a page.
func TestNew_ChecksFiles(t *testing.T) {
	authenticator, err := auth.New(auth.Config{OnError: func(http.ResponseWriter, *http.Request, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	config := console.Config{Files: fstest.MapFS{}, Authenticator: authenticator, OnError: func(http.ResponseWriter, *http.Request, error) {}, Next: http.NotFoundHandler()}
	if _, err := console.New(config); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no page: %v", err)
	}
	if _, err := console.New(console.Config{}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
}
