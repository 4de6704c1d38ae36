package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

// TestStop_Drains ends a stream by a status of its own, has calls in flight finish, and accepts no further connection.
func TestStop_Drains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			entered <- struct{}{}
			<-release
			_, _ = io.WriteString(w, "done")
			return
		}
		if err := server.Stream(r.Context()); err != nil {
			t.Error(err)
		}
		entered <- struct{}{}
		<-server.Draining(r.Context())
		_, _ = io.WriteString(w, "resume at 7")
	})
	r := start(t, server.Config{Handler: handler, StopTimeout: wait.Limit})
	type result struct {
		path, protocol string
		answer
		err error
	}
	results := make(chan result, 4)
	for protocol, client := range r.clients() {
		for _, path := range []string{"/stream", "/call"} {
			go func() {
				got, err := r.try(client, http.MethodGet, path, nil)
				results <- result{path, protocol, got, err}
			}()
			<-entered
		}
	}
	r.end()
	for range 2 { // the calls still run
		if got := <-results; got.path != "/stream" || got.body != "resume at 7" || got.err != nil {
			t.Errorf("%+v", got)
		}
	}
	if _, err := r.try(r.http1(), http.MethodGet, "/late", nil); err == nil {
		t.Error("a new connection is accepted")
	}
	close(release)
	for range 2 {
		if got := <-results; got.path != "/call" || got.body != "done" || got.err != nil {
			t.Errorf("%+v", got)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestStop_DrainDelay is not ready at once, and still accepts connections meanwhile.
func TestStop_DrainDelay(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-server.Draining(r.Context()):
			t.Error("streams end before the delay")
		default:
			_, _ = io.WriteString(w, "served")
		}
	})
	r := start(t, server.Config{Handler: handler, DrainDelay: 2 * wait.Limit})
	r.end()
	wait.Until(t, "it is not ready", func() bool { return r.get(r.http1(), server.ReadyPath).status == http.StatusServiceUnavailable })
	if got := r.get(r.http1(), "/"); got.body != "served" {
		t.Errorf("%+v", got)
	}
	if got := r.get(r.http1(), server.LivePath); got.status != http.StatusOK {
		t.Errorf("%+v", got)
	}
	_ = r.listener.Close() // a listener that fails ends the delay
	if err := r.stop(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the stop returns %v", err)
	}
}

// TestStop_CutsOff bounds a stop by its timeout, and reports the requests that were cut off. Their contexts end.
func TestStop_CutsOff(t *testing.T) {
	entered, cut := make(chan struct{}), make(chan struct{}, 4)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			if err := server.Stream(r.Context()); err != nil {
				t.Error(err)
			}
		}
		entered <- struct{}{}
		<-r.Context().Done()
		cut <- struct{}{}
	})
	r := start(t, server.Config{Handler: handler, StopTimeout: brief})
	failed := make(chan error, 4)
	for _, client := range r.clients() {
		for _, path := range []string{"/stream", "/call"} {
			go func() {
				_, err := r.try(client, http.MethodGet, path, nil)
				failed <- err
			}()
			<-entered
		}
	}
	var cutOff *server.CutError
	if err := r.stop(); !errors.As(err, &cutOff) || !errors.Is(err, server.ErrCut) || cutOff.Requests != 2 || cutOff.Streams != 2 || cutOff.Timeout != brief {
		t.Errorf("the stop returns %v", err)
	}
	for range 4 {
		<-cut
		if err := <-failed; err == nil {
			t.Error("a client has a whole response")
		}
	}
}

// TestStop_WithoutRequests does not wait for connections that have no request, whatever they have sent.
func TestStop_WithoutRequests(t *testing.T) {
	r := start(t, server.Config{Handler: hello(), StopTimeout: wait.Limit})
	r.dial()
	fmt.Fprintf(r.dial(), "%s", "GET / HT")
	once(t, r.dial(), "/")
	r.preface(r.dial())
	for _, client := range r.clients() {
		r.get(client, "/")
	}
	wait.Until(t, "all are open", func() bool { return r.Stats().Connections == 6 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if got := r.Stats(); got.Connections != 0 {
		t.Errorf("%+v", got)
	}
}

// failing is a listener that fails.
type failing struct{ net.Listener }

func (failing) Accept() (net.Conn, error) { return nil, errors.New("out of luck") }
func (failing) Close() error              { return nil }

// TestServe_ReportsAListenerThatFails returns its error, after the requests in flight.
func TestServe_ReportsAListenerThatFails(t *testing.T) {
	probes := server.NewProbes(func(context.Context) error { return nil }, nil)
	s, err := server.New(server.Config{Handler: hello(), Probes: probes})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), failing{}); err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("the error is %v", err)
	}
}
