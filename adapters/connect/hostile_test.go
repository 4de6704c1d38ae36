package connect_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

// exposed is a guarded server behind the listener of package server.
type exposed struct {
	*guarded
	address string
	chat    string
}

func newExposed(t *testing.T) *exposed {
	t.Helper()
	g := newGuarded(t)
	quiet := slog.New(slog.DiscardHandler)
	s, err := server.New(server.Config{Handler: g.handler, Probes: server.NewProbes(g.core.Ready, quiet), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	e := &exposed{guarded: g, address: listener.Addr().String(), chat: g.newPlace().chat}
	e.url = "http://" + e.address
	return e
}

// serves fails if the server does not answer another client.
func (e *exposed) serves(what string) {
	e.t.Helper()
	got := e.post("/chatcore.v1.ChatService/GetChat", e.services["all"], "application/json", fmt.Appendf(nil, `{"chat_id":%q}`, e.chat))
	if got.status != http.StatusOK {
		e.t.Errorf("after %s another call gets %d %s", what, got.status, got.body)
	}
}

// attack is a request of HTTP/1.1, as bytes: what its client sends, and the results that it may have.
type attack struct {
	path    string // of SendMessage unless set
	header  []string
	body    []byte
	length  int      // Content-Length; 0: that of the body, below 0: chunks
	open    bool     // the client sends no more, and keeps the connection open
	status  []int    // 0 is a connection that was closed without an answer
	reasons []string // of the detail of an error in JSON; nil: any
}

// send sends an attack. It returns the status, 0 if there is none, and the body of the answer.
func (e *exposed) send(a attack) (status int, header http.Header, body []byte) {
	e.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(e.t.Context(), "tcp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	path := a.path
	if path == "" {
		path = "/chatcore.v1.MessageService/SendMessage"
	}
	length := "Content-Length: " + strconv.Itoa(max(a.length, len(a.body)))
	if a.length < 0 {
		length = "Transfer-Encoding: chunked"
	}
	head := []string{"POST " + path + " HTTP/1.1", "Host: x", "Authorization: Bearer " + e.services["all"], length}
	head = append(head, a.header...)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n")
		if a.length < 0 {
			_, _ = fmt.Fprintf(conn, "%x\r\n", len(a.body))
		}
		_, _ = conn.Write(a.body) // the server may close the connection before it has read all
		if a.length < 0 && !a.open {
			_, _ = io.WriteString(conn, "\r\n0\r\n\r\n")
		}
		if tcp, ok := conn.(*net.TCPConn); ok && !a.open && a.length > len(a.body) { // after a whole body it would cancel the call
			_ = tcp.CloseWrite()
		}
	}()
	defer func() { _ = conn.Close(); <-sent }()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil, nil
	}
	defer func() { _ = response.Body.Close() }()
	body, _ = io.ReadAll(response.Body) // a closed connection ends it
	return response.StatusCode, response.Header, body
}

// squeezed returns a text in the form of gzip.
func squeezed(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

// framed returns a message of gRPC with a length that need not be its own.
func framed(flags byte, length int, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(length)), message...)
}

const (
	jsonType = "Content-Type: application/json"
	grpcWeb  = "Content-Type: application/grpc-web+proto"
)

// attacks returns requests that no client of ours sends.
func (e *exposed) attacks() map[string]attack {
	message := fmt.Sprintf(`{"chat_id":%q,"actor_id":"olga-1","message_id":"x","content":"never sent"`, e.chat) // without its end
	noise := make([]byte, 2<<20)
	_, _ = rand.Read(noise)
	bomb := squeezed([]byte(message + `,"content":"` + strings.Repeat("a", 64<<20) + `"}`))
	utf8 := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "\xff\xfe")
	bad, big, slow := []int{http.StatusBadRequest}, []int{http.StatusTooManyRequests, 0}, []int{http.StatusGatewayTimeout}
	ok, unsupported := []int{http.StatusOK}, []int{http.StatusUnsupportedMediaType}
	all := map[string]attack{
		"a truncated body":            {header: []string{jsonType}, body: []byte(message), length: 1000, status: append(bad, 0, http.StatusRequestTimeout, 499)},
		"a truncated chunk":           {header: []string{jsonType, "Connect-Timeout-Ms: 200"}, body: []byte(message), length: -1, open: true, status: slow},
		"a body that never comes":     {header: []string{jsonType, "Connect-Timeout-Ms: 200"}, length: 1000, open: true, status: slow},
		"a message that never comes":  {header: []string{grpcWeb, "Grpc-Timeout: 200m"}, body: framed(0, 1000, utf8), length: 1005, open: true, status: ok},
		"a JSON text without its end": {header: []string{jsonType}, body: []byte(message), status: bad, reasons: []string{"invalid"}},
		"a truncated message":         {header: []string{grpcWeb}, body: framed(0, 1000, utf8), status: ok},
		"a length of 4 GiB":           {header: []string{grpcWeb}, body: framed(0, 1<<32-1, utf8), status: ok},
		"a length that is announced":  {header: []string{jsonType}, length: 2 << 20, open: true, status: big, reasons: []string{"body_too_large"}},
		"too large a body":            {header: []string{jsonType}, body: noise, length: -1, status: big},
		"too large a message":         {header: []string{grpcWeb}, body: framed(0, len(noise), noise), length: -1, status: append(ok, 0)},
		"a gzip bomb":                 {header: []string{jsonType, "Content-Encoding: gzip"}, body: bomb, status: big},
		"a gzip bomb in gRPC":         {header: []string{grpcWeb, "Grpc-Encoding: gzip"}, body: framed(1, len(bomb), bomb), status: ok},
		"gzip that is none":           {header: []string{jsonType, "Content-Encoding: gzip"}, body: []byte(message + "}"), status: bad},
		"half of gzip":                {header: []string{jsonType, "Content-Encoding: gzip"}, body: squeezed(noise[:1000])[:500], status: bad},
		"gzip that is not said":       {header: []string{jsonType}, body: squeezed([]byte(message + "}")), status: bad, reasons: []string{"invalid"}},
		"an unknown encoding":         {header: []string{jsonType, "Content-Encoding: br"}, body: []byte(message + "}"), status: []int{http.StatusNotImplemented}},
		"compressed without encoding": {header: []string{grpcWeb}, body: framed(1, len(utf8), utf8), status: ok},
		"an unknown flag":             {header: []string{grpcWeb}, body: framed(0x7e, len(utf8), utf8), status: ok},
		"no UTF-8 in JSON":            {header: []string{jsonType}, body: []byte(message + `,"client_meta":"` + "\xff\xfe" + `"}`), status: bad, reasons: []string{"invalid"}},
		"no UTF-8 in a message":       {header: []string{"Content-Type: application/proto"}, body: utf8, status: bad, reasons: []string{"invalid"}},
		"bytes that are no message":   {header: []string{"Content-Type: application/proto"}, body: noise[:1000], status: bad, reasons: []string{"invalid"}},
		"an empty message":            {header: []string{"Content-Type: application/proto"}, status: bad, reasons: []string{"invalid"}},
		"no body":                     {header: []string{jsonType}, status: bad, reasons: []string{"invalid"}},
		"two Content-Types":           {header: []string{jsonType, "Content-Type: text/plain"}, body: []byte(message + "}}"), status: append(bad, unsupported...)},
		"two tokens":                  {header: []string{jsonType, "Authorization: Bearer other"}, body: []byte(message + "}"), status: []int{http.StatusUnauthorized}},
		"a wrong timeout":             {header: []string{jsonType, "Connect-Timeout-Ms: soon"}, body: []byte(message + "}"), status: bad},
		"a timeout that has passed":   {header: []string{jsonType, "Connect-Timeout-Ms: 0"}, body: []byte(message + "}"), status: slow},
		"a wrong version":             {header: []string{jsonType, "Connect-Protocol-Version: 9"}, body: []byte(message + "}"), status: bad},
		"a long path":                 {path: "/" + strings.Repeat("x", 8000), header: []string{jsonType}, body: []byte("{}"), status: []int{http.StatusNotFound, http.StatusNotImplemented}},
		"a path with dots":            {path: "/chatcore.v1.MessageService/../SendMessage", header: []string{jsonType}, body: []byte("{}"), status: []int{http.StatusNotFound, http.StatusNotImplemented}},
	}
	const deep = 10_000
	for what, nested := range map[string]string{
		"arrays":                   strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"objects":                  strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep),
		"arrays without an end":    strings.Repeat("[", deep),
		"arrays in a known field":  `{"attachments":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + "}",
		"objects in a known field": `{"attachments":[` + strings.Repeat(`{"name":`, deep) + "1" + strings.Repeat("}", deep) + "]}",
	} {
		all["10,000 nested "+what] = attack{header: []string{jsonType}, body: []byte(nested), status: bad, reasons: []string{"invalid"}}
	}
	for _, kind := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/jsonp", "application/connect+json",
		"application/grpc+xml", "application/grpc-web-text", "application/connect+proto", "nonsense", "application/json, text/plain", strings.Repeat("x", 5000),
	} {
		all[fmt.Sprintf("the content type %.40q", kind)] = attack{header: []string{"Content-Type: " + kind}, body: []byte(message + "}"), status: unsupported}
	}
	return all
}

// TestHostile_Requests sends what no client of ours sends. Each attack has an answer that blames the client; nothing is done for it, other clients are
// answered, and no goroutine or memory remains.
func TestHostile_Requests(t *testing.T) {
	e := newExposed(t)
	e.serves("the start")
	attacks := e.attacks()
	e.client.CloseIdleConnections()
	goroutines := runtime.NumGoroutine()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var sending sync.WaitGroup
	limit := make(chan struct{}, 8)
	for what, a := range attacks {
		limit <- struct{}{}
		sending.Go(func() {
			defer func() { <-limit }()
			status, header, body := e.send(a)
			if !slices.Contains(a.status, status) {
				t.Errorf("%s: status %d, want one of %v: %.300s", what, status, a.status, body)
			}
			text := header.Get("Grpc-Message") + string(body)
			if strings.Contains(text, "incident") || strings.Contains(text, "panic") || strings.Contains(text, `"code":"internal"`) || header.Get("Grpc-Status") == "13" {
				t.Errorf("%s: it is an internal error: %v %.300s", what, header, text)
			}
			if status == http.StatusOK && !strings.Contains(text, "rpc-status: ") && header.Get("Grpc-Status") == "" || strings.Contains(text, "rpc-status: 0") || header.Get("Grpc-Status") == "0" {
				t.Errorf("%s: it succeeded: %v %.300s", what, header, text)
			}
			if reason := reasonOf(body); status != 0 && a.reasons != nil && !slices.Contains(a.reasons, reason) {
				t.Errorf("%s: the reason is %q, want one of %q: %.300s", what, reason, a.reasons, body)
			}
			e.serves(what)
		})
	}
	sending.Wait()
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 256<<20 { // the bombs alone have 128 MiB
		t.Errorf("%d attacks allocated %d MiB", len(attacks), bytes>>20)
	}
	if events := e.post("/chatcore.v1.MessageService/ListMessages", e.services["all"], "application/json", fmt.Appendf(nil, `{"chat_id":%q}`, e.chat)); strings.Contains(string(events.body), "never sent") {
		t.Errorf("a message was sent: %s", events.body)
	}
	e.client.CloseIdleConnections()
	wait.Until(t, fmt.Sprintf("no more than %d goroutines remain", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
}

// reasonOf returns the reason of an error in JSON, or "".
func reasonOf(body []byte) string {
	var e struct {
		Details []struct{ Debug struct{ Reason string } }
	}
	if err := json.Unmarshal(body, &e); err != nil || len(e.Details) == 0 {
		return ""
	}
	return e.Details[0].Debug.Reason
}

// TestHostile_Trickle sends bodies byte by byte over both versions of HTTP, also of a stream, until the server ends the call.
func TestHostile_Trickle(t *testing.T) {
	e := newExposed(t)
	e.serves("the start")
	e.client.CloseIdleConnections()
	goroutines := runtime.NumGoroutine()
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	for version, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: &only}} {
		client := &http.Client{Transport: transport}
		for _, contentType := range []string{"application/json", "application/proto", "application/grpc-web+proto", "application/grpc-web+json"} {
			reader, writer := io.Pipe()
			trickled := make(chan struct{})
			go func() {
				defer close(trickled)
				for i := 0; ; i++ {
					if _, err := writer.Write([]byte{" \x0a\x00\x00"[i%4]}); err != nil {
						return
					}
					runtime.Gosched()
				}
			}()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/chatcore.v1.ChatService/GetChat", reader)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+e.services["all"])
			request.Header.Set("Content-Type", contentType)
			request.Header.Set("Connect-Timeout-Ms", "300")
			request.Header.Set("Grpc-Timeout", "300m")
			response, err := client.Do(request)
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK && !strings.HasPrefix(contentType, "application/grpc") {
					t.Errorf("%s over %s: status 200", contentType, version)
				}
			}
			_ = writer.CloseWithError(errors.New("ended"))
			_ = reader.Close()
			<-trickled
			e.serves(contentType + " over " + version)
		}
		transport.CloseIdleConnections()
	}
	e.client.CloseIdleConnections()
	wait.Until(t, fmt.Sprintf("no more than %d goroutines remain", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestHostile_Cancels begins many calls, and cancels each at once: by resets over HTTP/2, by closed connections over HTTP/1.1.
func TestHostile_Cancels(t *testing.T) {
	e := newExposed(t)
	e.serves("the start")
	e.client.CloseIdleConnections()
	goroutines := runtime.NumGoroutine()
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	for version, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: &only}} {
		client := &http.Client{Transport: transport}
		var calling sync.WaitGroup
		for range 4 {
			calling.Go(func() {
				for i := range 150 {
					ctx, cancel := context.WithCancel(t.Context())
					body := fmt.Sprintf(`{"chat_id":%q}`, e.chat)
					request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/chatcore.v1.ChatService/GetChat", &canceling{strings.NewReader(body), cancel, i % 3})
					if err != nil {
						t.Error(err)
						cancel()
						return
					}
					request.Header.Set("Authorization", "Bearer "+e.services["all"])
					request.Header.Set("Content-Type", "application/json")
					if response, err := client.Do(request); err == nil {
						_ = response.Body.Close()
					}
					cancel()
				}
			})
		}
		calling.Wait()
		transport.CloseIdleConnections()
		e.serves(version)
	}
	e.client.CloseIdleConnections()
	wait.Until(t, fmt.Sprintf("no more than %d goroutines remain", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
}

// canceling is a body that cancels its request before some read.
type canceling struct {
	io.Reader
	cancel context.CancelFunc
	after  int
}

func (c *canceling) Read(p []byte) (int, error) {
	if c.after--; c.after < 0 {
		c.cancel()
	}
	return c.Reader.Read(p)
}
