package connect_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore"
	"chatcore/app"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/wait"
)

// TestBodies_AreBounded has a body beyond its bound be refused, also one that is small only while it is compressed, and one up to the bound be read.
func TestBodies_AreBounded(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	const batchPath = "/chatcore.v1.MessageService/SendMessages"
	body := func(size int) string {
		return `{"commandId":"` + strings.Repeat("x", size-len(`{"commandId":""}`)) + `"}`
	}
	for _, row := range []struct {
		path string
		size int
		code rpc.Code
	}{
		{renamePath, 1 << 20, rpc.CodeInvalidArgument},
		{renamePath, 1<<20 + 1, rpc.CodeResourceExhausted},
		{batchPath, 4 << 20, rpc.CodeInvalidArgument},
		{batchPath, 4<<20 + 1, rpc.CodeResourceExhausted},
	} {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := io.WriteString(z, body(row.size)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		for how, send := range map[string]func() (int, http.Header, string){
			"plain": func() (int, http.Header, string) { return w.post(t, row.path, "application/json", body(row.size)) },
			"gzip": func() (int, http.Header, string) {
				return w.post(t, row.path, "application/json", zipped.String(), "Content-Encoding", "gzip")
			},
			"chunked": func() (int, http.Header, string) {
				return w.request(t, http.MethodPost, row.path, struct{ io.Reader }{strings.NewReader(body(row.size))}, "Content-Type", "application/json")
			},
		} {
			status, header, text := send()
			if r := asRefusal(t, status, header, text); r.code != row.code {
				t.Errorf("%s, %s, %d bytes: %v", row.path, how, row.size, r)
			}
		}
	}
}

// dial opens a connection to the server.
func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// readResponse reads one response of HTTP/1.1.
func readResponse(t *testing.T, conn net.Conn) (int, http.Header, string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(wait.Limit)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// TestBodies_TooLargeOverHTTP1 has a client of HTTP/1.1 see the error of a body beyond the bound: one that writes up to 256 KiB beyond it before it reads, and
// one that stops in the middle and waits. The bytes of a chunk are those that its client announces.
func TestBodies_TooLargeOverHTTP1(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	const bound = 1 << 20
	for _, contentType := range []string{"application/json", "application/grpc-web+proto"} {
		for name, row := range map[string]struct {
			header string
			sent   int
		}{
			"Content-Length, all":      {"Content-Length: %d\r\n\r\n", bound + 256<<10},
			"Content-Length, a part":   {"Content-Length: 1000000000\r\n\r\n", 1000},
			"Content-Length, the most": {"Content-Length: 1000000000\r\n\r\n", bound + 256<<10},
			"chunk, all":               {"Transfer-Encoding: chunked\r\n\r\n%x\r\n", bound + 256<<10},
			"chunk, a part":            {"Transfer-Encoding: chunked\r\n\r\n10000000\r\n", bound + 1000},
			"chunk, the most":          {"Transfer-Encoding: chunked\r\n\r\n10000000\r\n", bound + 256<<10},
		} {
			header := row.header
			if strings.Contains(header, "%") {
				header = fmt.Sprintf(header, row.sent)
			}
			conn := w.dial(t)
			head := "POST " + renamePath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + contentType + "\r\n" + header
			body := bytes.Repeat([]byte(" "), row.sent)
			copy(body, framed(0, bound+1, nil))
			if _, err := conn.Write(append([]byte(head), body...)); err != nil {
				t.Errorf("%s, %s: %v", contentType, name, err)
				continue
			}
			status, answer, text := readResponse(t, conn)
			if r := refusalIn(t, status, answer, text); r.code != rpc.CodeResourceExhausted || r.detail.GetReason() != "body_too_large" || answer.Get("Content-Length") == "" {
				t.Errorf("%s, %s: %v, %v", contentType, name, r, answer) // without a length the response ends only with the handler
			}
		}
	}
}

// stuckGate is a gate that waits until the call's context ends.
func stuckGate(entered chan<- context.Context) app.Gate {
	return func(ctx context.Context, _ app.GateQuestion) error {
		entered <- ctx
		<-ctx.Done()
		return ctx.Err()
	}
}

// TestDeadlines has a call get the deadline that its caller names, 10 s without one, and 30 s at most.
func TestDeadlines(t *testing.T) {
	deadlines := make(chan time.Duration, 1)
	gate := func(ctx context.Context, _ app.GateQuestion) error {
		end, _ := ctx.Deadline()
		deadlines <- time.Until(end)
		return nil
	}
	w := memoryWorld(t, worldConfig{options: []chatcore.Option{chatcore.WithGate(gate)}})
	for _, row := range []struct {
		header   []string
		from, to time.Duration
	}{
		{nil, 0, 10 * time.Second},
		{[]string{"Connect-Timeout-Ms", "20000"}, 10 * time.Second, 20 * time.Second},
		{[]string{"Connect-Timeout-Ms", "9999999999"}, 20 * time.Second, 30 * time.Second},
	} {
		id := w.id("chat")
		if r := w.postJSON(t, "/chatcore.v1.ChatService/CreateChat", fmt.Sprintf(`{"chatId":%q,"actorId":"ada","commandId":"1"}`, id), row.header...); r != nil {
			t.Fatal(r)
		}
		if left := <-deadlines; left > row.to || left < row.from {
			t.Errorf("%v: the call may take %v, want %v to %v", row.header, left, row.from, row.to)
		}
	}
}

// TestDeadlines_ThatPass has a call end with deadline_exceeded over each protocol, in the handler as well as while its body trickles.
func TestDeadlines_ThatPass(t *testing.T) {
	entered := make(chan context.Context, 100)
	w := memoryWorld(t, worldConfig{options: []chatcore.Option{chatcore.WithGate(stuckGate(entered))}})
	m := methodNamed(t, "chatcore.v1.ChatService.CreateChat")
	for _, via := range transports(t) {
		if via.name == "json over GET" {
			continue
		}
		header := make(http.Header)
		switch {
		case strings.HasPrefix(via.name, "grpc"):
			header.Set("Grpc-Timeout", "50m")
		default:
			header.Set("Connect-Timeout-Ms", "50")
		}
		ctx := t.Context()
		if via.name != "json over HTTP/1.1" { // clients that set the header by themselves
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			header = nil
		}
		_, err := via.call(ctx, w.url, m, &v1.CreateChatRequest{ChatId: w.id("chat"), ActorId: "ada", CommandId: "1"}, header)
		if r, ok := errorAs[*refusal](err); !ok || r.code != rpc.CodeDeadlineExceeded {
			t.Errorf("%s: %v", via.name, err)
		}
	}
	status, head, text := w.request(t, http.MethodPost, renamePath, struct{ io.Reader }{&trickle{ctx: t.Context()}}, "Content-Type", "application/json", "Connect-Timeout-Ms", "50")
	if r := asRefusal(t, status, head, text); r.code != rpc.CodeDeadlineExceeded {
		t.Errorf("a body that trickles: %v", r)
	}
}

// trickle is a body that has no end.
type trickle struct{ ctx context.Context }

func (r *trickle) Read(p []byte) (int, error) {
	select {
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	case <-time.After(5 * time.Millisecond):
	}
	p[0] = ' '
	return 1, nil
}

// TestCanceledCalls has the end of a caller reach the handler.
func TestCanceledCalls(t *testing.T) {
	entered := make(chan context.Context, 1)
	w := memoryWorld(t, worldConfig{options: []chatcore.Option{chatcore.WithGate(stuckGate(entered))}})
	for _, via := range transports(t)[2:] {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := via.call(ctx, w.url, methodNamed(t, "chatcore.v1.ChatService.CreateChat"), &v1.CreateChatRequest{ChatId: w.id("chat"), ActorId: "ada", CommandId: "1"}, nil)
			ended <- err
		}()
		handler := <-entered
		cancel()
		wait.Until(t, "the handler's context has ended", func() bool { return handler.Err() != nil })
		if !errors.Is(handler.Err(), context.Canceled) {
			t.Errorf("%s: the handler's context ended with %v", via.name, handler.Err())
		}
		if r, ok := errorAs[*refusal](<-ended); !ok || r.code != rpc.CodeCanceled {
			t.Errorf("%s: %v", via.name, r)
		}
	}
	if strings.Contains(w.log.String(), "incident") {
		t.Errorf("the log has %s", w.log)
	}
}
