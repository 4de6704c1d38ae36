package server_test

import (
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

// wrapping is a handler that does something after its next one.
func wrapping(next http.Handler, after func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		after()
	})
}

// TestAfterHandler completes responses after the handlers have returned: their frames are not on the stack, and the request counts until the response is
// complete.
func TestAfterHandler(t *testing.T) {
	var returned atomic.Bool
	var r *running
	handler := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		returned.Store(false)
		if err := server.Stream(request.Context()); err != nil {
			t.Error(err)
		}
		ctx := request.Context()
		server.AfterHandler(w, func() {
			if stack := string(debug.Stack()); !returned.Load() || strings.Contains(stack, "wrapping") || strings.Contains(stack, "Server).handle(") {
				t.Errorf("the handler has returned: %t; the stack is\n%s", returned.Load(), stack)
			}
			if n := r.Stats().Streams; n != 1 || ctx.Err() != nil || request.Header.Get("X-Kept") != "kept" {
				t.Errorf("%d streams, context %v, header %v", n, ctx.Err(), request.Header)
			}
			_, _ = io.WriteString(w, "served")
		})
	})
	r = start(t, server.Config{Handler: wrapping(handler, func() { returned.Store(true) })})
	for protocol, client := range r.clients() {
		for range 2 { // the second one on the same connection
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+"/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Kept", "kept")
			res, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if _ = res.Body.Close(); string(body) != "served" {
				t.Errorf("%s: %q", protocol, body)
			}
		}
	}
	wait.Until(t, "the streams have ended", func() bool { return r.Stats().Streams == 0 })
	r.log.until(t, "bytes=6")
}

// TestAfterHandler_Wrapped serves at once if another handler has wrapped the writer, or if there is no server.
func TestAfterHandler_Wrapped(t *testing.T) {
	var served atomic.Bool
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Store(false)
		server.AfterHandler(struct{ http.ResponseWriter }{w}, func() { served.Store(true) })
		if !served.Load() {
			t.Error("it is served later")
		}
	})
	r := start(t, server.Config{Handler: handler})
	r.get(r.http1(), "/")
	if !served.Load() {
		t.Error("it is not served")
	}
}

// TestAfterHandler_Panics serves a response once, also if a handler panics afterwards, and treats a panic of serve as one of the handler.
func TestAfterHandler_Panics(t *testing.T) {
	for _, where := range []string{"handler", "serve"} {
		t.Run(where, func(t *testing.T) {
			var served atomic.Int64
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := server.Stream(r.Context()); err != nil {
					t.Error(err)
				}
				server.AfterHandler(w, func() {
					served.Add(1)
					if where == "serve" {
						panic("serve")
					}
				})
				if where == "handler" {
					panic("handler")
				}
			})
			log := &buffer{}
			r := start(t, server.Config{Handler: handler, Logger: slog.New(slog.NewTextHandler(log, nil))})
			if res, err := r.http1().Get("http://" + r.address + "/"); err == nil {
				_ = res.Body.Close()
				t.Errorf("the response is complete: %s", res.Status)
			}
			log.until(t, "handler panicked")
			wait.Until(t, "the stream has ended", func() bool { return r.Stats().Streams == 0 })
			if n := served.Load(); n != 1 {
				t.Errorf("served %d times", n)
			}
		})
	}
}
