package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/connect/server"
	"chatcore/domain"
	"chatcore/tests/wait"
)

func TestServer_Protocols(t *testing.T) {
	r := start(t, server.Config{Handler: hello()})
	for want, client := range r.clients() {
		got, err := r.try(client, http.MethodPost, "/x", strings.NewReader("four"))
		if err != nil || got.protocol != want || got.body != "hello 4" || got.status != http.StatusOK {
			t.Errorf("%s: %+v, error %v", want, got, err)
		}
	}
}

// TestConfig_Validate names every invalid field.
func TestConfig_Validate(t *testing.T) {
	_, err := server.New(server.Config{
		MaxConnections: -1, MaxInFlight: -1, MaxStreams: -1, MaxConcurrentStreams: -1, MaxHeaderBytes: -1, DrainDelay: -1, StopTimeout: -1,
		Timeouts: server.Timeouts{Header: -1, Idle: -1, Stall: -1, Client: -1, Request: -1},
	})
	if !errors.Is(err, domain.ErrInvalid) {
		t.Fatalf("the error is %v", err)
	}
	for _, field := range []string{
		"Handler", "Probes", "MaxConnections", "MaxInFlight", "MaxStreams", "MaxConcurrentStreams", "MaxHeaderBytes", "DrainDelay", "StopTimeout",
		"Timeouts.Header", "Timeouts.Idle", "Timeouts.Stall", "Timeouts.Client", "Timeouts.Request",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
}

func TestProbes(t *testing.T) {
	var failing atomic.Bool
	log := &buffer{}
	probes := server.NewProbes(func(context.Context) error {
		if failing.Load() {
			return errors.New("secret reason")
		}
		return nil
	}, slog.New(slog.NewTextHandler(log, nil)))
	r := start(t, server.Config{Handler: http.HandlerFunc(server.NotFound), Probes: probes})
	client := r.http1()
	check := func(live, ready int, text string) {
		t.Helper()
		if got := r.get(client, server.LivePath); got.status != live || got.body != "live\n" {
			t.Errorf("live: %+v", got)
		}
		if got := r.get(client, server.ReadyPath); got.status != ready || got.body != text+"\n" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("ready: %+v", got)
		}
	}
	check(200, 200, "ready")
	for range 2 {
		failing.Store(true)
		for range 3 {
			check(200, 503, "not ready")
		}
		failing.Store(false)
		check(200, 200, "ready")
	}
	if warned := strings.Count(log.String(), "level=WARN"); warned != 2 || strings.Count(log.String(), "ready again") != 2 {
		t.Errorf("changes are logged as\n%s", log)
	}
	probes.Drain()
	check(200, 503, "draining")
	if got, err := r.try(client, http.MethodPost, server.ReadyPath, nil); err != nil || got.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %+v, error %v", got, err)
	}
}

// TestNotFound is JSON, of a bounded length.
func TestNotFound(t *testing.T) {
	r := start(t, server.Config{Handler: http.HandlerFunc(server.NotFound)})
	got := r.get(r.http2(), "/"+strings.Repeat("é", 4000)+"?secret")
	var body struct{ Code, Message string }
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != http.StatusNotFound || body.Code != "unimplemented" ||
		got.header.Get("Content-Type") != "application/json" || len(got.body) > 2000 || strings.Contains(got.body, "secret") {
		t.Errorf("%+v, error %v", got, err)
	}
}

// TestServer_AccessLog has one line for each request, and no secret of any.
func TestServer_AccessLog(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.SetPrincipal(r.Context(), "service:shop")
		switch r.URL.Path {
		case "/panic":
			panic("secret-panic")
		case "/status":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		case "/flush":
			w.(http.Flusher).Flush() //nolint:forcetypeassert // every writer of the server is one
		}
		if r.URL.Path != "/silent" {
			_, _ = io.WriteString(w, "hello")
		}
	})
	r := start(t, server.Config{Handler: handler})
	for protocol, client := range r.clients() {
		for path, want := range map[string]string{
			"/plain": "status=200 bytes=5", "/status": "status=418 bytes=5", "/flush": "status=200 bytes=5", "/silent": "status=0 bytes=0", "/panic": "status=0 bytes=0",
			"/livez": "status=200 bytes=5", "/" + strings.Repeat("long", 1000): "status=200 bytes=5",
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.scheme+"://"+r.address+path+"?ticket=secret-ticket", strings.NewReader("secret-body"))
			if path == "/livez" {
				request.Method, request.Body, request.ContentLength = http.MethodGet, nil, 0
			}
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer secret-token")
			before := len(r.log.String())
			response, err := client.Do(request)
			if (err != nil) != (path == "/panic") {
				t.Errorf("%s: %v", path, err)
			}
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			logged := ""
			wait.Until(t, path+" is logged", func() bool {
				logged = r.log.String()[before:]
				return strings.Contains(logged, "msg=request ")
			})
			for _, part := range []string{"level=DEBUG", "method=" + request.Method, "path=" + path[:min(len(path), 256)] + " ", "protocol=" + protocol, want, "duration=", "peer=127.0.0.1:"} {
				if !strings.Contains(logged, part) {
					t.Errorf("%s over %s: no %s in\n%s", path, protocol, part, logged)
				}
			}
			if path != "/livez" && !strings.Contains(logged, "principal=service:shop") || strings.Count(logged, "msg=request ") != 1 {
				t.Errorf("%s: logged is\n%s", path, logged)
			}
		}
	}
	if strings.Contains(r.log.String(), "secret") {
		t.Errorf("the log has a secret:\n%s", r.log)
	}
	if n := strings.Count(r.log.String(), `msg="handler panicked" panic=string path=/panic stack=`); n != 2 {
		t.Errorf("%d panics are logged:\n%s", n, r.log)
	}
}

// TestServer_NoAccessLog logs nothing above level debug.
func TestServer_NoAccessLog(t *testing.T) {
	log := &buffer{}
	r := start(t, server.Config{Handler: hello(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	for _, client := range r.clients() {
		r.get(client, "/x")
	}
	if err := r.stop(); err != nil || log.String() != "" {
		t.Errorf("error %v, log\n%s", err, log)
	}
}

// TestServer_InFlight refuses a request beyond the bound in the caller's form, and answers probes.
func TestServer_InFlight(t *testing.T) {
	release, entered := make(chan struct{}), make(chan error, 16)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			entered <- server.Stream(r.Context())
		} else {
			entered <- nil
		}
		<-release
		_, _ = io.WriteString(w, "done")
	})
	r := start(t, server.Config{Handler: handler, MaxInFlight: 2, MaxStreams: 3})
	answered := make(chan answer, 16)
	open := func(path string) {
		go func() {
			got, err := r.try(r.http2(), http.MethodGet, path, nil)
			if err != nil {
				got.body = err.Error()
			}
			answered <- got
		}()
	}
	for range 3 { // streams need no slot
		open("/stream")
		if err := <-entered; err != nil {
			t.Fatal(err)
		}
	}
	open("/call")
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	open("/stream") // one too many: it keeps its slot
	if err := <-entered; !errors.Is(err, server.ErrTooManyStreams) {
		t.Errorf("the fourth stream: %v", err)
	}
	for protocol, client := range r.clients() {
		got := r.get(client, "/call")
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, `"code":"unavailable"`) {
			t.Errorf("%s: %+v", protocol, got)
		}
		if got := r.get(client, server.ReadyPath); got.status != http.StatusOK {
			t.Errorf("a probe over %s: %+v", protocol, got)
		}
	}
	if got := r.Stats(); got.InFlight != 2 || got.Streams != 3 || got.RequestsRefused != 3 || got.Requests != 9 {
		t.Errorf("%+v", got)
	}
	close(release)
	for range 5 {
		if got := <-answered; got.body != "done" {
			t.Errorf("%+v", got)
		}
	}
	wait.Until(t, "all have ended", func() bool { got := r.Stats(); return got.InFlight == 0 && got.Streams == 0 })
	if got := r.get(r.http1(), "/call"); got.body != "done" {
		t.Errorf("afterwards: %+v", got)
	}
}

// TestServer_OverloadedForm uses the handler of the configuration.
func TestServer_OverloadedForm(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	r := start(t, server.Config{
		MaxInFlight: 1,
		Handler:     http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-release }),
		Overloaded:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }),
	})
	ended := make(chan error, 1)
	go func() {
		_, err := r.try(r.http1(), http.MethodGet, "/", nil)
		ended <- err
	}()
	<-entered
	if got := r.get(r.http1(), "/"); got.status != http.StatusTooManyRequests {
		t.Errorf("%+v", got)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// deadlineWriter counts the deadlines that a handler sets.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	set int
}

func (w *deadlineWriter) SetReadDeadline(time.Time) error  { w.set++; return nil }
func (w *deadlineWriter) SetWriteDeadline(time.Time) error { w.set++; return nil }

// TestServer_CostOfARequest counts what the server adds to a request. It sets no deadlines: net/http does, for which each one that a handler sets costs a
// message to the goroutine of an HTTP/2 connection.
func TestServer_CostOfARequest(t *testing.T) {
	probes := server.NewProbes(func(context.Context) error { return nil }, nil)
	s, err := server.New(server.Config{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Probes: probes})
	if err != nil {
		t.Fatal(err)
	}
	w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("x"))
	const runs, most = 100, 3 // the state, its context and the request
	if n := testing.AllocsPerRun(runs, func() { s.ServeHTTP(w, r) }); n > most {
		t.Errorf("a request allocates %v times, want at most %d", n, most)
	}
	if w.set > 0 {
		t.Errorf("%d deadlines are set", w.set)
	}
}

// TestServer_BeginsStream bounds requests that are about to become streams by the bound of streams alone, and makes room by ending those that wait for
// their clients.
func TestServer_BeginsStream(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 16)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		if r.URL.Path == "/stream/waiting" {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		<-release
		if err := server.Stream(r.Context()); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "done")
	})
	r := start(t, server.Config{
		Handler: handler, MaxInFlight: 1, MaxStreams: 3, Timeouts: server.Timeouts{Client: time.Nanosecond},
		BeginsStream: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/stream") },
	})
	answered := make(chan answer, 16)
	open := func(path string, body io.Reader) {
		go func() {
			got, err := r.try(r.http1(), http.MethodPost, path, body)
			if err != nil {
				got.body = err.Error()
			}
			answered <- got
		}()
		<-entered
	}
	open("/stream", nil)
	open("/stream", nil)
	slow, feed := io.Pipe()
	defer func() { _ = feed.Close() }()
	open("/stream/waiting", slow)
	if got := r.Stats(); got.InFlight != 0 || got.Streams != 3 {
		t.Errorf("%+v", got)
	}
	open("/call", nil)
	if got := r.get(r.http2(), "/stream"); got.status != http.StatusServiceUnavailable {
		t.Errorf("the fourth stream: %+v", got)
	}
	wait.Until(t, "the waiting stream ends", func() bool { return r.Stats().Streams == 2 })
	<-answered
	open("/stream", nil)
	close(release)
	for range 4 {
		if got := <-answered; got.body != "done" {
			t.Errorf("%+v", got)
		}
	}
	wait.Until(t, "all have ended", func() bool { got := r.Stats(); return got.InFlight == 0 && got.Streams == 0 })
}

// TestStream_HasNoRequestTimeout sends for longer than a request may last.
func TestStream_HasNoRequestTimeout(t *testing.T) {
	const timeout = 100 * time.Millisecond
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		if err := server.Stream(r.Context()); err != nil {
			t.Error(err)
		}
		for time.Since(began) < 2*timeout {
			fmt.Fprintf(w, "%s", ".")
			_ = http.NewResponseController(w).Flush()
			<-time.After(timeout / 10)
		}
		fmt.Fprintf(w, "%s", "end")
	})
	r := start(t, server.Config{Handler: handler, Timeouts: server.Timeouts{Request: timeout}})
	for protocol, client := range r.clients() {
		if got := r.get(client, "/"); !strings.HasSuffix(got.body, "end") {
			t.Errorf("%s: %q", protocol, got.body)
		}
	}
}

// TestContext_OfNoServer leaves a context alone that is of no request of a server.
func TestContext_OfNoServer(t *testing.T) {
	server.SetPrincipal(t.Context(), "ada")
	if err := server.Stream(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-server.Draining(t.Context()):
		t.Error("it drains")
	default:
	}
}
