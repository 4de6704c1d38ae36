package connect_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	v1 "chatcore/gen/chatcore/v1"
)

// refusalIn returns the error of an answer in any protocol.
func refusalIn(t *testing.T, statusCode int, header http.Header, text string) *refusal {
	t.Helper()
	kind := header.Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "application/grpc"):
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(header.Get("Grpc-Status-Details-Bin"), "="))
		var wire status.Status
		if err != nil || proto.Unmarshal(raw, &wire) != nil {
			t.Fatalf("header %v, body %q", header, text)
		}
		r := &refusal{code: rpc.Code(wire.GetCode()), message: wire.GetMessage()}
		for _, d := range wire.GetDetails() {
			r.detail = new(v1.ErrorDetail)
			if err := d.UnmarshalTo(r.detail); err != nil {
				t.Fatal(err)
			}
		}
		return r
	case strings.HasPrefix(kind, "application/connect+"):
		if len(text) < 5 || !strings.HasPrefix(text[5:], `{"error":`) {
			t.Fatalf("the stream has %q", text)
		}
		text = strings.TrimSuffix(strings.TrimPrefix(text[5:], `{"error":`), "}")
		header = http.Header{"Content-Type": {"application/json"}}
	}
	return asRefusal(t, statusCode, header, text)
}

// TestProtocolErrors_HaveDetails has each error that a request gets because of its protocol, before its message is decoded, carry its reason, the part of the
// request, and what is allowed: in the form of its protocol.
func TestProtocolErrors_HaveDetails(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	const (
		stream   = "/chatcore.v1.PresenceService/StreamOnlineUsers"
		jsonBody = "application/json"
		web      = "application/grpc-web+proto"
		native   = "application/grpc"
		events   = "application/connect+json"
		large    = 1<<20 + 1
	)
	message := []byte("\x0a\x01c")
	bomb := squeezed(bytes.Repeat([]byte(" "), large))
	half := squeezed([]byte(strings.Repeat("x", 1000)))
	half = half[:len(half)-12]
	get := func(more ...string) string {
		query := url.Values{"encoding": {"json"}, "message": {"{}"}}
		for i := 0; i < len(more); i += 2 {
			if query.Set(more[i], more[i+1]); more[i+1] == "" {
				query.Del(more[i])
			}
		}
		return getPath + "?" + query.Encode()
	}
	for _, row := range []struct {
		name, path, contentType string
		body                    []byte
		header                  []string
		code                    rpc.Code
		reason, field, allowed  string
	}{
		{"chunks beyond the bound", getPath, jsonBody, bytes.Repeat([]byte(" "), large), nil, rpc.CodeResourceExhausted, "body_too_large", "body", "at most 1048576 bytes"},
		{"gzip beyond the bound", getPath, jsonBody, bomb, []string{"Content-Encoding", "gzip"}, rpc.CodeResourceExhausted, "body_too_large", "body", "at most 1048576 bytes"},
		{"a compressed message beyond the bound", getPath, web, framed(1, len(bomb), bomb), []string{"Grpc-Encoding", "gzip"}, rpc.CodeResourceExhausted, "body_too_large", "body", "at most 1048576 bytes"},
		{"a message beyond the bound", getPath, web, framed(0, large, message), nil, rpc.CodeResourceExhausted, "body_too_large", "body", "at most 1048576 bytes"},
		{"the same of a stream", stream, events, framed(0, large, message), nil, rpc.CodeResourceExhausted, "body_too_large", "body", "at most 1048576 bytes"},
		{"no gzip", getPath, jsonBody, []byte("{}"), []string{"Content-Encoding", "gzip"}, rpc.CodeInvalidArgument, "malformed", "body", "gzip"},
		{"half of gzip", getPath, jsonBody, half, []string{"Content-Encoding", "gzip"}, rpc.CodeInvalidArgument, "malformed", "body", "gzip"},
		{"no gzip in a message", getPath, web, framed(1, len(message), message), []string{"Grpc-Encoding", "gzip"}, rpc.CodeInvalidArgument, "malformed", "body", "gzip"},
		{"no gzip in a stream", stream, events, framed(1, len(message), message), []string{"Connect-Content-Encoding", "gzip"}, rpc.CodeInvalidArgument, "malformed", "body", "gzip"},
		{"no message", getPath, web, nil, nil, rpc.CodeInvalidArgument, "malformed", "body", "one message"},
		{"no message of a stream", stream, events, nil, nil, rpc.CodeInvalidArgument, "malformed", "body", "one message"},
		{"half an envelope", getPath, native, framed(0, 3, message)[:3], nil, rpc.CodeInvalidArgument, "malformed", "body", "Content-Length"},
		{"half a message", getPath, native, framed(0, 30, message), nil, rpc.CodeInvalidArgument, "malformed", "body", "the whole message"},
		{"two messages", getPath, web, append(framed(0, 3, message), framed(0, 3, message)...), nil, rpc.CodeInvalidArgument, "malformed", "body", "one message"},
		{"an unknown flag", getPath, web, framed(0x7e, 3, message), nil, rpc.CodeInvalidArgument, "malformed", "body", "0, or 1"},
		{"the end of a stream", stream, events, framed(2, 2, []byte("{}")), nil, rpc.CodeInvalidArgument, "malformed", "body", "0, or 1"},
		{"a compressed message without an encoding", getPath, web, framed(1, 3, message), nil, rpc.CodeInvalidArgument, "malformed", "body", "encoding"},
		{"a content type", getPath, "text/plain", nil, []string{"Authorization", "Bearer " + w.token(t, "ada")}, rpc.CodeInvalidArgument, "content_type", "Content-Type", "application/json"},
		{"a parameter of a content type", getPath, "application/grpc; charset=utf-8", nil, nil, rpc.CodeInvalidArgument, "content_type", "Content-Type", "application/grpc"},
		{"a content type of a stream", stream, jsonBody, nil, nil, rpc.CodeInvalidArgument, "content_type", "Content-Type", "application/connect+json"},
		{"a timeout that is no number", getPath, jsonBody, nil, []string{"Connect-Timeout-Ms", "soon"}, rpc.CodeInvalidArgument, "malformed", "Connect-Timeout-Ms", "0 to 9999999999"},
		{"a negative timeout", getPath, jsonBody, nil, []string{"Connect-Timeout-Ms", "-1"}, rpc.CodeInvalidArgument, "malformed", "Connect-Timeout-Ms", "0 to 9999999999"},
		{"a timeout of 11 digits", getPath, jsonBody, nil, []string{"Connect-Timeout-Ms", "00000000001"}, rpc.CodeInvalidArgument, "malformed", "Connect-Timeout-Ms", "0 to 9999999999"},
		{"a timeout of a stream", stream, events, framed(0, 2, []byte("{}")), []string{"Connect-Timeout-Ms", "x"}, rpc.CodeInvalidArgument, "malformed", "Connect-Timeout-Ms", "0 to 9999999999"},
		{"a timeout without a unit", getPath, native, framed(0, 3, message), []string{"Grpc-Timeout", "10"}, rpc.CodeInvalidArgument, "malformed", "Grpc-Timeout", "1 to 8 digits"},
		{"a timeout without digits", getPath, web, framed(0, 3, message), []string{"Grpc-Timeout", "S"}, rpc.CodeInvalidArgument, "malformed", "Grpc-Timeout", "1 to 8 digits"},
		{"a timeout of 9 digits", getPath, web, framed(0, 3, message), []string{"Grpc-Timeout", "100000000n"}, rpc.CodeInvalidArgument, "malformed", "Grpc-Timeout", "1 to 8 digits"},
		{"a version", getPath, jsonBody, nil, []string{"Connect-Protocol-Version", "9"}, rpc.CodeInvalidArgument, "malformed", "Connect-Protocol-Version", "1"},
		{"an encoding", getPath, jsonBody, []byte("{}"), []string{"Content-Encoding", "br"}, rpc.CodeUnimplemented, "content_encoding", "Content-Encoding", "gzip, identity"},
		{"an encoding of messages", getPath, web, framed(1, 3, message), []string{"Grpc-Encoding", "br"}, rpc.CodeUnimplemented, "content_encoding", "Grpc-Encoding", "gzip, identity"},
		{"an encoding of a stream", stream, events, framed(1, 3, message), []string{"Connect-Content-Encoding", "br"}, rpc.CodeUnimplemented, "content_encoding", "Connect-Content-Encoding", "gzip, identity"},
		{"GET without an encoding", get("encoding", ""), "", nil, nil, rpc.CodeInvalidArgument, "malformed", "encoding", "json, proto"},
		{"GET in another encoding", get("encoding", "xml"), "", nil, nil, rpc.CodeInvalidArgument, "malformed", "encoding", "json, proto"},
		{"GET without a message", get("message", ""), "", nil, nil, rpc.CodeInvalidArgument, "malformed", "message", "the request"},
		{"GET in no base64", get("base64", "1", "message", "{}!"), "", nil, nil, rpc.CodeInvalidArgument, "malformed", "message", "base64"},
		{"GET with a compression", get("compression", "br"), "", nil, nil, rpc.CodeUnimplemented, "content_encoding", "compression", "gzip, identity"},
		{"GET with no gzip", get("compression", "gzip"), "", nil, nil, rpc.CodeInvalidArgument, "malformed", "body", "gzip"},
		{"GET of a version", get("connect", "v9"), "", nil, nil, rpc.CodeInvalidArgument, "malformed", "connect", "v1"},
		{"GET with a body", get(), "", []byte("{}"), nil, rpc.CodeInvalidArgument, "malformed", "body", "no body"},
		{"GET of a command", renamePath, "", nil, nil, rpc.CodeUnimplemented, "wrong_verb", "chatcore.v1.ChatService.RenameChat", "POST"},
		{"duplex over HTTP/1.1", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", native, nil, nil, rpc.CodeUnimplemented, "http_version", "grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "HTTP/2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			verb := http.MethodPost
			if row.contentType == "" {
				verb = http.MethodGet
			}
			code, header, text := w.request(t, verb, row.path, struct{ io.Reader }{bytes.NewReader(row.body)}, append(row.header, "Content-Type", row.contentType)...)
			r := refusalIn(t, code, header, text)
			if r.code != row.code || r.detail.GetReason() != row.reason || r.detail.GetField() != row.field || !strings.Contains(r.detail.GetAllowed(), row.allowed) || r.detail.GetProblem() == "" || r.detail.GetRetryable() {
				t.Errorf("the error is %v", r)
			}
			if !strings.Contains(r.message, r.detail.GetField()) || !strings.Contains(r.message, r.detail.GetAllowed()) {
				t.Errorf("the text %q does not name the part and what is allowed", r.message)
			}
		})
	}
}

// TestProtocolErrors_BrokenBodies has a body that breaks off, or whose chunks are wrong, get an error that does not name addresses.
func TestProtocolErrors_BrokenBodies(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	for name, request := range map[string]string{
		"a wrong chunk": "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
		"a short body":  "Content-Length: 100\r\n\r\n{",
	} {
		conn := w.dial(t)
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s", getPath, request); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		code, header, text := readResponse(t, conn)
		r := asRefusal(t, code, header, text)
		canceled := r.code == rpc.CodeCanceled && name == "a short body" // net/http ends the context of a closed connection
		if !canceled && (r.code != rpc.CodeInvalidArgument || r.detail.GetReason() != "malformed" || r.detail.GetField() != "body") || strings.Contains(r.message, "127.0.0.1") {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// TestProtocolErrors_DeadlineWhileReading has a request whose body does not arrive in time get the error of its deadline with a detail, also of a stream.
func TestProtocolErrors_DeadlineWhileReading(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	for _, row := range []struct{ path, contentType string }{
		{getPath, "application/json"}, {getPath, "application/grpc-web"}, {"/chatcore.v1.PresenceService/StreamOnlineUsers", "application/connect+proto"},
	} {
		reader, writer := io.Pipe() // nothing is written
		code, header, text := w.request(t, http.MethodPost, row.path, reader, "Content-Type", row.contentType, "Connect-Timeout-Ms", "50", "Grpc-Timeout", "50m")
		_ = writer.Close()
		if r := refusalIn(t, code, header, text); r.code != rpc.CodeDeadlineExceeded || r.detail.GetReason() != "deadline_exceeded" {
			t.Errorf("%s, %s: %v", row.path, row.contentType, r)
		}
	}
}
