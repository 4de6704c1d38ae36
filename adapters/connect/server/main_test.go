package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server under test.
type running struct {
	*server.Server
	t        *testing.T
	listener net.Listener
	address  string
	log      *buffer
	scheme   string
	end      context.CancelFunc
	ended    chan error
}

// start serves until the test ends or stop is called.
func start(t *testing.T, config server.Config) *running {
	t.Helper()
	log := &buffer{}
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if config.Probes == nil {
		config.Probes = server.NewProbes(func(context.Context) error { return nil }, config.Logger)
	}
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{Server: s, t: t, listener: listener, address: listener.Addr().String(), log: log, scheme: "http", end: end, ended: make(chan error, 1)}
	if config.TLS != nil {
		r.scheme = "https"
	}
	go func() { r.ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop ends the server and returns the result of Serve.
func (r *running) stop() error {
	r.end()
	err := <-r.ended
	r.ended <- err
	return err
}

// dial opens a connection, which the test closes at its end.
func (r *running) dial() net.Conn {
	r.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(r.t.Context(), "tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client returns a client of one protocol, with connections of its own.
func (r *running) client(set func(*http.Protocols)) *http.Client {
	var protocols http.Protocols
	set(&protocols)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: trusting(r.t)}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *running) http1() *http.Client { return r.client(func(p *http.Protocols) { p.SetHTTP1(true) }) }

func (r *running) http2() *http.Client {
	return r.client(func(p *http.Protocols) {
		p.SetHTTP2(true)
		p.SetUnencryptedHTTP2(true)
	})
}

// clients are those of the protocols of a listener without TLS.
func (r *running) clients() map[string]*http.Client {
	return map[string]*http.Client{"HTTP/1.1": r.http1(), "HTTP/2.0": r.http2()}
}

// answer is a response that was read.
type answer struct {
	status   int
	protocol string
	header   http.Header
	body     string
}

// try sends a request and reads the response.
func (r *running) try(client *http.Client, method, path string, body io.Reader) (answer, error) {
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.scheme+"://"+r.address+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Proto, response.Header, string(text)}, err
}

func (r *running) get(client *http.Client, path string) answer {
	r.t.Helper()
	got, err := r.try(client, http.MethodGet, path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// serves checks that a new client is answered on both protocols.
func (r *running) serves(what string) {
	r.t.Helper()
	for protocol, client := range r.clients() {
		wait.Until(r.t, what+": another client is answered over "+protocol, func() bool {
			got, err := r.try(client, http.MethodGet, "/other", nil)
			return err == nil && got.status == http.StatusOK
		})
		client.CloseIdleConnections()
	}
}

// closes waits until the server closes a connection, and returns what it has sent before.
func closes(conn net.Conn) string {
	text, _ := io.ReadAll(conn)
	return string(text)
}

// once asks for a path on a connection of HTTP/1.1, which stays open.
func once(t *testing.T, conn net.Conn, path string) int {
	t.Helper()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// hello answers every request.
func hello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "hello %d", len(body))
	})
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// until waits for a text in the log.
func (b *buffer) until(t *testing.T, text string) {
	t.Helper()
	wait.Until(t, "the log has "+text, func() bool { return strings.Contains(b.String(), text) })
}
