package webhook

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// TestTarget_Request checks the headers and the body of a request, and its signature as a receiver checks it.
func TestTarget_Request(t *testing.T) {
	var got http.Header
	var body []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	g := newTestGuard(t, false, "127.0.0.1")
	u, err := g.Check(server.URL + "/in?x=y")
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport(g, 1, &tls.Config{RootCAs: pool})
	defer transport.CloseIdleConnections()
	secrets := []liveSecret{{secret: NewSecret()}, {NewSecret(), time.Now().Add(time.Hour)}, {NewSecret(), time.Now()}}
	at := time.Date(2026, 5, 4, 3, 2, 1, 5e6, time.UTC)
	d := ports.Delivery{
		ID:    ports.DeliveryID{Log: "log-1", Chat: "ch ä%t", Seq: 7, Event: "01JEVENT"},
		Event: domain.MessageNew{Chat: "ch ä%t", Message: "m1", Sender: "ada", Content: "hi <b>", At: at}, Ordinal: 9,
		Meta: ports.Meta{TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, Attempt: 3, Epoch: 12,
	}
	codec := wireformat.New()
	m, err := messageOf(codec, "hook", d)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().Unix()
	a := (&target{url: u, timeout: time.Minute, secrets: secrets}).post(t.Context(), transport, m)
	if a.err != nil || a.result != Succeeded || a.status != 200 {
		t.Fatalf("%+v", a)
	}
	for name, want := range map[string]string{
		"content-type": "application/json", "user-agent": "chatcore-webhook/1", "webhook-id": "01JEVENT", "chatcore-chat": "ch%20%C3%A4%25t", "chatcore-seq": "7",
		"chatcore-log": "log-1", "chatcore-attempt": "3", "chatcore-epoch": "12", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "idempotency-key": "",
	} {
		if value := got.Get(name); value != want {
			t.Errorf("header %s: %q, want %q", name, value, want)
		}
	}
	if sent, err := strconv.ParseInt(got.Get("webhook-timestamp"), 10, 64); err != nil || sent < before || sent > time.Now().Unix() {
		t.Errorf("timestamp %q", got.Get("webhook-timestamp"))
	}
	var signatures []string
	for _, s := range secrets[:2] {
		mac := hmac.New(sha256.New, s.secret)
		fmt.Fprintf(mac, "%s.%s.%s", got.Get("webhook-id"), got.Get("webhook-timestamp"), body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if got.Get("webhook-signature") != strings.Join(signatures, " ") {
		t.Errorf("signature %q, want %q", got.Get("webhook-signature"), signatures)
	}
	var e struct {
		Type      string          `json:"type"`
		Timestamp string          `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type != "message:new" || e.Timestamp != "2026-05-04T03:02:01.005Z" {
		t.Errorf("body %s: %v", body, err)
	}
	r, err := codec.Decode(e.Data)
	if err != nil || r.Seq != 7 || r.Ordinal != 9 || r.ID != "01JEVENT" || fmt.Sprint(r.Event) != fmt.Sprint(d.Event) {
		t.Errorf("data is %+v: %v", r, err)
	}
}

// TestTarget_Answers has a server answer in ways that are no plain answer.
func TestTarget_Answers(t *testing.T) {
	release := make(chan struct{})
	for name, test := range map[string]struct {
		handle func(conn net.Conn)
		want   Result
	}{
		"breaks off in the body":        {func(c net.Conn) { _, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf") }, Succeeded},
		"breaks off in a chunked body":  {func(c net.Conn) { _, _ = fmt.Fprint(c, "HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha") }, Succeeded},
		"breaks off in the header":      {func(c net.Conn) { _, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\ncontent-le") }, Broken},
		"closes without an answer":      {func(net.Conn) {}, Broken},
		"is no HTTP":                    {func(c net.Conn) { _, _ = fmt.Fprint(c, "SSH-2.0-OpenSSH\r\n\r\n") }, Broken},
		"has a header without end":      {func(c net.Conn) { endless(c, "HTTP/1.1 200 OK\r\nx: ") }, Broken},
		"has informational ones at end": {func(c net.Conn) { endless(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n", 1000)) }, Broken},
		"has a body without end":        {func(c net.Conn) { endless(c, "HTTP/1.1 500 Oh\r\n\r\n") }, Failed},
		"never comes":                   {func(net.Conn) { <-release }, TimedOut},
		"has a body that never ends": {func(c net.Conn) {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
			<-release
		}, Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
						_, _ = io.Copy(io.Discard, r.Body)
						test.handle(conn)
					}
					_ = conn.Close()
				}
			}()
			g := newTestGuard(t, true, "127.0.0.1")
			transport := newTransport(g, 1, nil)
			u, err := g.Check("http://" + listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			timeout := time.Minute
			if strings.Contains(name, "never") {
				timeout = 300 * time.Millisecond
			}
			a := (&target{url: u, timeout: timeout, secrets: []liveSecret{{secret: NewSecret()}}}).post(t.Context(), transport, testMessage("hook", time.Now()))
			if a.result != test.want || (a.err == nil) != (test.want == Succeeded) || len(a.body) > keptAnswer {
				t.Errorf("%s: %v, %d bytes; want %s", a.result, a.err, len(a.body), test.want)
			}
			transport.CloseIdleConnections()
			_ = listener.Close()
			if test.want == TimedOut || strings.Contains(name, "never") {
				return
			}
			<-done
		})
	}
	t.Cleanup(func() { close(release) })
}

func endless(c net.Conn, first string) {
	_, err := io.WriteString(c, first)
	for text := strings.Repeat("x", 1000); err == nil; {
		_, err = io.WriteString(c, text)
	}
}

// TestTarget_NoConnection posts to a port where nobody listens, and to a server whose certificate is not trusted.
func TestTarget_NoConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request without trust") }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	for raw, text := range map[string]string{"http://" + listener.Addr().String(): "connection refused", server.URL: "certificate"} {
		if a := postTo(t, newTestGuard(t, true, "127.0.0.1"), raw); a.result != Unreachable || !strings.Contains(a.err.Error(), text) || strings.Contains(a.err.Error(), "127.0.0.1:") {
			t.Errorf("%s: %s, %v", raw, a.result, a.err)
		}
	}
}

// TestTarget_IdleConnection has a server close each connection after an answer without a word: the next request is repeated on another one at once.
func TestTarget_IdleConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reader := bufio.NewReader(conn)
			for range 2 {
				r, err := http.ReadRequest(reader)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, r.Body)
				if _, err := fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
					break
				}
				_, _ = http.ReadRequest(reader) // the second request on the connection gets no answer
				break
			}
			_ = conn.Close()
		}
	}()
	g := newTestGuard(t, true, "127.0.0.1")
	transport := newTransport(g, 1, nil)
	defer transport.CloseIdleConnections()
	u, err := g.Check("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		a := (&target{url: u, timeout: time.Minute, secrets: []liveSecret{{secret: NewSecret()}}}).post(t.Context(), transport, testMessage("hook", time.Now()))
		if a.result != Succeeded {
			t.Errorf("request %d: %s, %v", i+1, a.result, a.err)
		}
	}
}

// TestRetryAfter reads the header.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "soon": 0, "1.5": 0, "10": 10 * time.Second, " 10 ": 10 * time.Second, "3601": time.Hour, "99999999999999999999999": time.Hour,
		"Thu, 01 Jan 2026 00:05:00 GMT": 5 * time.Minute, "Wed, 31 Dec 2025 23:00:00 GMT": 0, "Fri, 01 Jan 2027 00:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
