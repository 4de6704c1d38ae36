package connect

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	rpc "connectrpc.com/connect"
)

// protocol says how a request carries its messages.
type protocol uint8

const (
	connectUnary  protocol = iota // the body, or the query, is the message
	connectStream                 // the body has messages in envelopes
	grpc                          // the same, also for one message
)

// String returns the name of a protocol.
func (p protocol) String() string {
	switch p {
	case connectStream:
		return "Connect stream"
	case grpc:
		return "gRPC"
	case connectUnary:
	}
	return "Connect"
}

// protocolOf returns the protocol of a request with an allowed content type.
func protocolOf(r *http.Request) protocol {
	media := strings.ToLower(r.Header.Get("Content-Type"))
	switch {
	case r.Method == http.MethodGet:
		return connectUnary
	case strings.HasPrefix(media, "application/grpc"):
		return grpc
	case strings.HasPrefix(media, "application/connect+"):
		return connectStream
	}
	return connectUnary
}

const (
	allowedContentTypes = "application/json, application/proto, application/grpc, application/grpc+json, application/grpc-web, application/grpc-web+json"
	allowedVersion      = "1"
	allowedTimeout      = "milliseconds, 0 to 9999999999"
	allowedGRPCTimeout  = "1 to 8 digits and a unit: H, M, S, m, u or n"
	compressionGzip     = "gzip"
	noCompression       = "identity"
)

// checkRequest returns the error for a request that no method is called by, or nil. connect-go refuses such requests too, without a detail.
func checkRequest(r *http.Request, found *route) *requestError {
	byGet := found.method.query && !found.streaming
	verbs := http.MethodPost
	if byGet {
		verbs = http.MethodGet + ", " + http.MethodPost
	}
	switch {
	case r.Method == http.MethodGet && byGet:
		return checkQuery(r.URL.Query(), r.ContentLength != 0)
	case r.Method != http.MethodPost:
		return &requestError{
			code: rpc.CodeUnimplemented, reason: "wrong_verb", field: found.method.name, problem: fmt.Sprintf("is called by %.20s", r.Method), allowed: verbs,
			status: http.StatusMethodNotAllowed, header: http.Header{"Allow": {verbs}},
		}
	case found.duplex && r.ProtoMajor < 2:
		return &requestError{
			code: rpc.CodeUnimplemented, reason: "http_version", field: found.method.name, problem: "is called over " + r.Proto, allowed: "HTTP/2",
			status: http.StatusHTTPVersionNotSupported, header: http.Header{"Connection": {"close"}},
		}
	}
	if contentType := r.Header.Get("Content-Type"); !servesContent(contentType, found.streaming) {
		types := contentTypesOf(found)
		return &requestError{
			code: rpc.CodeInvalidArgument, reason: "content_type", field: "Content-Type", problem: fmt.Sprintf("is %.80q", contentType), allowed: types,
			status: http.StatusUnsupportedMediaType, header: http.Header{"Accept-Post": {types}},
		}
	}
	return checkHeader(r.Header, protocolOf(r))
}

// checkQuery checks the query parameters of a call by GET.
func checkQuery(query url.Values, body bool) *requestError {
	encoding, version := query.Get("encoding"), query.Get("connect")
	switch {
	case body:
		return malformed("body", "is not empty", "no body: the query parameter message has the request")
	case encoding != codecJSON && encoding != codecProto:
		e := malformed("encoding", fmt.Sprintf("is %.80q", encoding), "json, proto")
		e.status = http.StatusBadRequest
		return e
	case version != "" && version != "v"+allowedVersion:
		return malformed("connect", fmt.Sprintf("is %.80q", version), "v"+allowedVersion+", or none")
	case !query.Has("message"):
		return malformed("message", "is missing", "the request, in the encoding that the parameter encoding names")
	case query.Get("base64") == "1" && !isBase64(query.Get("message")):
		return malformed("message", "is no base64", "base64 for URLs, with or without padding")
	}
	return checkEncoding("compression", query.Get("compression"), "")
}

// isBase64 reports whether a text is base64 for URLs.
func isBase64(text string) bool {
	encoding := base64.URLEncoding
	if len(text)%4 != 0 {
		encoding = base64.RawURLEncoding
	}
	_, err := encoding.DecodeString(text)
	return err == nil
}

// checkHeader checks the headers of a protocol.
func checkHeader(h http.Header, p protocol) *requestError {
	if version := h.Get("Connect-Protocol-Version"); p != grpc && version != "" && version != allowedVersion {
		return malformed("Connect-Protocol-Version", fmt.Sprintf("is %.80q", version), allowedVersion+", or none")
	}
	if _, err := callTimeout(h, p); err != nil {
		return err
	}
	switch p {
	case grpc:
		return checkEncoding("Grpc-Encoding", h.Get("Grpc-Encoding"), "Grpc-Accept-Encoding")
	case connectStream:
		return checkEncoding("Connect-Content-Encoding", h.Get("Connect-Content-Encoding"), "Connect-Accept-Encoding")
	case connectUnary:
	}
	return checkEncoding("Content-Encoding", h.Get("Content-Encoding"), "Accept-Encoding")
}

// checkEncoding checks the compression of a request. accept is the header of the response that names the allowed one, or "".
func checkEncoding(field, encoding, accept string) *requestError {
	if encoding == "" || encoding == noCompression || encoding == compressionGzip {
		return nil
	}
	e := &requestError{code: rpc.CodeUnimplemented, reason: "content_encoding", field: field, problem: fmt.Sprintf("is %.80q", encoding), allowed: compressionGzip + ", " + noCompression}
	if accept != "" {
		e.header = http.Header{accept: {compressionGzip}}
	}
	return e
}

// callTimeout returns how long a unary call may take: until the caller's deadline, at most [maxTimeout], and [defaultTimeout] if the caller names none. It
// returns an error for a malformed deadline.
func callTimeout(h http.Header, p protocol) (time.Duration, *requestError) {
	if p == grpc {
		return grpcTimeout(h.Get("Grpc-Timeout"))
	}
	text := h.Get("Connect-Timeout-Ms")
	if text == "" {
		return defaultTimeout, nil
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > len("9999999999") {
		return 0, malformed("Connect-Timeout-Ms", fmt.Sprintf("is %.80q", text), allowedTimeout)
	}
	return times(int64(ms), time.Millisecond), nil
}

// timeoutOf returns how long a checked request may take, or take to be read.
func timeoutOf(r *http.Request) time.Duration {
	timeout, err := callTimeout(r.Header, protocolOf(r))
	if err != nil {
		return defaultTimeout // a request that checkRequest refuses
	}
	return timeout
}

func grpcTimeout(text string) (time.Duration, *requestError) {
	if text == "" {
		return defaultTimeout, nil
	}
	digits := text[:len(text)-1]
	unit := grpcUnit(text[len(text)-1])
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || unit == 0 || len(digits) > len("99999999") {
		return 0, malformed("Grpc-Timeout", fmt.Sprintf("is %.80q", text), allowedGRPCTimeout)
	}
	return times(int64(n), unit), nil
}

// grpcUnit returns the unit of time that a letter stands for, or 0.
func grpcUnit(letter byte) time.Duration {
	switch letter {
	case 'H':
		return time.Hour
	case 'M':
		return time.Minute
	case 'S':
		return time.Second
	case 'm':
		return time.Millisecond
	case 'u':
		return time.Microsecond
	case 'n':
		return time.Nanosecond
	}
	return 0
}

// times returns n units, at most [maxTimeout].
func times(n int64, unit time.Duration) time.Duration {
	if n > int64(maxTimeout/unit) {
		return maxTimeout
	}
	return min(time.Duration(n)*unit, maxTimeout)
}

func contentTypesOf(found *route) string {
	if found.streaming {
		return strings.NewReplacer("application/json", "application/connect+json", "application/proto", "application/connect+proto").Replace(allowedContentTypes)
	}
	return allowedContentTypes
}

// servesContent reports whether a content type is one of the protocols'.
func servesContent(contentType string, streaming bool) bool {
	switch contentType {
	case "application/grpc", "application/grpc+proto": // the usual ones need no parser
		return true
	case "application/json", "application/proto":
		return !streaming
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if len(params) > 0 && (media != "application/json" || len(params) > 1 || !strings.EqualFold(params["charset"], "utf-8")) {
		return false
	}
	base, codec, _ := strings.Cut(media, "+")
	switch base {
	case "application/grpc", "application/grpc-web":
		return codec == "" && !strings.HasSuffix(media, "+") || codec == codecProto || codec == codecJSON
	case "application/connect":
		return streaming && (codec == codecProto || codec == codecJSON)
	case "application/json", "application/proto":
		return !streaming && codec == ""
	}
	return false
}
