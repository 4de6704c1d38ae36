package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

// brief is a timeout of tests that wait for it to pass.
const brief = 100 * time.Millisecond

// TestHostile_SlowHeaders sends a byte of a header at a time, and over HTTP/2 a header that never ends.
func TestHostile_SlowHeaders(t *testing.T) {
	r := start(t, server.Config{Handler: hello(), Timeouts: server.Timeouts{Header: brief, Idle: brief}})
	for _, begin := range []string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n"} {
		conn := r.dial()
		fmt.Fprintf(conn, "%s", begin)
		drip, dripped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(dripped)
			for {
				select {
				case <-drip:
					return
				case <-time.After(brief / 10):
					if begin != "" {
						fmt.Fprintf(conn, "%s", "x")
					}
				}
			}
		}()
		closes(conn)
		close(drip)
		<-dripped
	}
	framer, conn := r.frames()
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}); err != nil {
		t.Fatal(err)
	}
	closes(conn)
	r.serves("after slow headers")
	wait.Until(t, "no connection remains", func() bool { return r.Stats().Connections == 0 })
}

// TestHostile_SlowBodies holds every slot by bodies that do not arrive, until the request timeout.
func TestHostile_SlowBodies(t *testing.T) {
	r := start(t, server.Config{Handler: hello(), MaxInFlight: 2, Timeouts: server.Timeouts{Request: brief, Client: 2 * wait.Limit}})
	slow := r.dial()
	fmt.Fprintf(slow, "%s", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
	framer, _ := r.frames()
	r.headers(framer, 1, "POST", false)
	if err := framer.WriteData(1, false, []byte("some")); err != nil {
		t.Fatal(err)
	}
	r.serves("while bodies are slow")
	if text := closes(slow); text != "" && !strings.Contains(text, "400 Bad Request") {
		t.Errorf("the slow client gets %q", text)
	}
	wait.Until(t, "both slots are free", func() bool { return r.Stats().InFlight == 0 })
}

// TestHostile_NeverReading writes to clients that do not read: a connection whose buffers are full, and an HTTP/2 stream without a window, whose
// connection is alive.
func TestHostile_NeverReading(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 16<<20)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			if err := server.Stream(r.Context()); err != nil {
				t.Error(err)
			}
		}
		if r.URL.Path != "/other" {
			_, _ = w.Write(large)
		}
	})
	t.Run("stalled connection", func(t *testing.T) {
		r := start(t, server.Config{Handler: handler, MaxInFlight: 4, Timeouts: server.Timeouts{Stall: brief, Client: 2 * wait.Limit}})
		for _, path := range []string{"/large", "/stream"} {
			fmt.Fprintf(r.dial(), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		}
		wait.Until(t, "the handlers have ended", func() bool { got := r.Stats(); return got.Requests == 2 && got.InFlight == 0 && got.Streams == 0 })
		r.serves("after clients that do not read")
	})
	t.Run("no window", func(t *testing.T) {
		r := start(t, server.Config{Handler: handler, MaxInFlight: 4, Timeouts: server.Timeouts{Request: brief, Client: 2 * wait.Limit}})
		framer, conn := r.frames()
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		for id := range uint32(4) {
			r.headers(framer, 2*id+1, "GET", true)
		}
		wait.Until(t, "the handlers have ended", func() bool { got := r.Stats(); return got.Requests == 4 && got.InFlight == 0 })
		r.serves("after streams without a window")
	})
}

// TestHostile_SlotsOfOthers holds the only slot by a client that sends or reads slowly, for longer than the test. Requests of others end it.
func TestHostile_SlotsOfOthers(t *testing.T) {
	for name, begin := range map[string]func(r *running){
		"body over HTTP/1.1": func(r *running) {
			fmt.Fprintf(r.dial(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
		},
		"response over HTTP/1.1": func(r *running) { fmt.Fprintf(r.dial(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"body over HTTP/2": func(r *running) {
			framer, _ := r.frames()
			r.headers(framer, 1, http.MethodPost, false)
		},
		"response over HTTP/2": func(r *running) {
			framer, _ := r.frames()
			r.headers(framer, 1, http.MethodGet, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			entered := make(chan struct{}, 1)
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/other" {
					return
				}
				entered <- struct{}{}
				if _, err := io.ReadAll(r.Body); err == nil {
					_, _ = w.Write(make([]byte, 16<<20))
				}
			})
			r := start(t, server.Config{Handler: handler, MaxInFlight: 1, Timeouts: server.Timeouts{Client: brief, Request: 2 * wait.Limit, Stall: 2 * wait.Limit}})
			begin(r)
			<-entered
			r.serves("while another one holds the slot")
		})
	}
}

// TestHostile_SlowReader reads a large response slowly: more than the stall timeout in all, less for each part.
func TestHostile_SlowReader(t *testing.T) {
	const size = 32 << 20 // more than the kernel's buffers
	r := start(t, server.Config{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }),
		Timeouts: server.Timeouts{Stall: wait.Limit},
	})
	conn := r.dial()
	fmt.Fprintf(conn, "%s", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got := closes(conn)
	if _, body, _ := strings.Cut(got, "\r\n\r\n"); !strings.Contains(got, "200 OK") || len(body) < size {
		t.Errorf("%d bytes arrived", len(got))
	}
}

// TestHostile_OversizedHeaders are refused on both protocols; headers within the bound are not.
func TestHostile_OversizedHeaders(t *testing.T) {
	r := start(t, server.Config{Handler: hello()})
	for protocol, client := range r.clients() {
		for size, want := range map[int]int{30 << 10: http.StatusOK, 64 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Large", strings.Repeat("x", size))
			response, err := client.Do(request)
			if err != nil { // an HTTP/2 client knows the bound
				if want == http.StatusOK || protocol != "HTTP/2.0" {
					t.Errorf("%s, %d bytes: %v", protocol, size, err)
				}
				continue
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s, %d bytes: %s", protocol, size, response.Status)
			}
		}
	}
	conn := r.dial()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	if text := closes(conn); text != "" && !strings.HasPrefix(text, "HTTP/1.1 431 ") {
		t.Errorf("got %.80q", text)
	}
	r.serves("after oversized headers")
}

// TestHostile_Truncated ends requests at every place.
func TestHostile_Truncated(t *testing.T) {
	r := start(t, server.Config{Handler: hello(), MaxInFlight: 4})
	request := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	for end := range len(request) {
		conn := r.dial()
		fmt.Fprintf(conn, "%s", request[:end])
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // of a TCP listener
			t.Fatal(err)
		}
		if text := closes(conn); strings.Contains(text, "200 OK") {
			t.Errorf("after %d bytes: %q", end, text)
		}
	}
	framer, conn := r.frames()
	r.headers(framer, 1, "POST", false)
	_ = conn.Close()
	r.serves("after truncated requests")
	wait.Until(t, "no request remains", func() bool { return r.Stats().InFlight == 0 })
}

// TestHostile_IdleConnections opens a thousand connections that send nothing, or one request: more than the bound. Busy ones remain.
func TestHostile_IdleConnections(t *testing.T) {
	const most, attackers = 50, 1000
	entered, release := make(chan struct{}), make(chan struct{})
	r := start(t, server.Config{MaxConnections: most, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			close(entered)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})})
	ended := make(chan answer, 1)
	go func() {
		got, err := r.try(r.http2(), http.MethodGet, "/busy", nil)
		if err != nil {
			got.body = err.Error()
		}
		ended <- got
	}()
	<-entered
	for i := range attackers {
		conn := r.dial()
		switch i % 3 {
		case 1:
			once(t, conn, "/livez")
		case 2:
			r.preface(conn)
		}
	}
	r.serves("among idle connections")
	wait.Until(t, "the connections are bounded", func() bool { return r.Stats().ConnectionsClosed >= attackers-most })
	if got := r.Stats(); got.Connections > most || got.ConnectionsRefused != 0 {
		t.Errorf("%+v", got)
	}
	close(release)
	if got := <-ended; got.body != "done" {
		t.Errorf("the busy connection: %+v", got)
	}
}

// TestHostile_BusyConnections refuses a connection when all others are busy, and accepts one afterwards.
func TestHostile_BusyConnections(t *testing.T) {
	entered, release := make(chan struct{}, 2), make(chan struct{})
	r := start(t, server.Config{MaxConnections: 2, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			entered <- struct{}{}
			<-release
		}
	})})
	for range 2 {
		fmt.Fprintf(r.dial(), "%s", "GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered
	}
	if text := closes(r.dial()); text != "" {
		t.Errorf("a third connection gets %q", text)
	}
	if got := r.Stats(); got.ConnectionsRefused != 1 || got.Connections != 2 {
		t.Errorf("%+v", got)
	}
	close(release)
	r.serves("after busy connections")
}
