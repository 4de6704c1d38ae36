package connect

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	rpc "connectrpc.com/connect"
)

// bodyTooLarge returns the error for a body, or for one that is larger once it is decompressed. has says how large it is.
func bodyTooLarge(has string, most int64) *requestError {
	return &requestError{code: rpc.CodeResourceExhausted, reason: "body_too_large", field: "body", problem: "has " + has, allowed: fmt.Sprintf("at most %d bytes", most)}
}

// envelopeBytes is the size of the prefix of a message in an envelope: a byte of flags, and the length of the message.
const envelopeBytes = 5

// flagCompressed is the flag of an envelope whose message is compressed.
const flagCompressed = 1

// readBody returns the body of a request of one message: the message, with its envelope if the protocol has envelopes. It reads until the context of r ends,
// so that a client that sends slowly holds nothing for longer. It returns a [*requestError] for a body that is larger than most, malformed, or not
// complete by then.
//
// The body is read before connect-go sees the request: errors of connect-go about bodies have no detail.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	defer limitReading(r.Context(), w).stop()
	var body bytes.Buffer
	var err error
	if protocolOf(r) == connectUnary {
		err = readMessage(&body, r.Body, r.ContentLength, most)
	} else {
		err = readEnvelope(&body, r, most)
	}
	if err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// bodyTimer ends the reading of a body.
type bodyTimer struct {
	writer http.ResponseWriter
	timer  *time.Timer
	ending sync.WaitGroup // for the timer's function
}

// limitReading ends the reading of a body soon after the deadline of ctx, until stop. The end of a connection ends it as well. A deadline of the reader itself
// costs each call of HTTP/2 two messages to the goroutine of its connection.
func limitReading(ctx context.Context, w http.ResponseWriter) *bodyTimer {
	t := &bodyTimer{writer: w}
	if deadline, ok := ctx.Deadline(); ok {
		t.ending.Add(1)
		t.timer = time.AfterFunc(time.Until(deadline)+readGrace, t.end)
	}
	return t
}

func (t *bodyTimer) end() {
	defer t.ending.Done()
	_ = http.NewResponseController(t.writer).SetReadDeadline(time.Unix(1, 0)) // a writer without deadlines is one of a test
}

// stop ends the timer. An end that has begun is waited for: it must not meet the next request of the connection.
func (t *bodyTimer) stop() {
	if t.timer != nil && !t.timer.Stop() {
		t.ending.Wait()
	}
}

// maxReserved is how many bytes are allocated for a body before they arrive.
const maxReserved = 16 << 10

// reserve allocates the room for a body of a size that its client names; below 0 it names none. A buffer grows as long as less than bytes.MinRead is free.
func reserve(buffer *bytes.Buffer, size int64) {
	buffer.Grow(int(min(max(size, 0), maxReserved)) + bytes.MinRead)
}

// readMessage appends the rest of a body to message. length is that of the body, or -1.
func readMessage(message *bytes.Buffer, body io.Reader, length, most int64) error {
	if length > most {
		return bodyTooLarge(fmt.Sprintf("%d bytes", length), most)
	}
	reserve(message, length)
	n, err := message.ReadFrom(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return brokenBody(err, n)
	case n > most:
		return bodyTooLarge("more bytes", most)
	}
	return nil
}

// readEnvelope appends a body of one envelope to message.
func readEnvelope(message *bytes.Buffer, r *http.Request, most int64) error {
	var prefix [envelopeBytes]byte
	n, err := io.ReadFull(r.Body, prefix[:])
	if err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return malformed("body", "has no message", "one message in an envelope")
		}
		return brokenBody(err, int64(n))
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	switch flags := prefix[0]; {
	case flags&^flagCompressed != 0:
		return malformed("body", fmt.Sprintf("has an envelope with the flags %#x", flags), "0, or 1 for a compressed message")
	case flags == flagCompressed && !isCompressed(r.Header):
		return malformed("body", "has a compressed message without an encoding", "the flags 0, or a header that names the encoding")
	case size > most:
		return bodyTooLarge(fmt.Sprintf("a message of %d bytes", size), most)
	}
	reserve(message, envelopeBytes+size)
	message.Write(prefix[:])
	got, err := message.ReadFrom(io.LimitReader(r.Body, size+1))
	switch {
	case err != nil:
		return brokenBody(err, got+envelopeBytes)
	case got < size:
		return malformed("body", fmt.Sprintf("ends after %d of the %d bytes of its message", got, size), "the whole message")
	case got > size:
		return malformed("body", "goes on after its message", "one message in an envelope")
	}
	return nil
}

// isCompressed reports whether a header names a compression of messages in envelopes.
func isCompressed(h http.Header) bool {
	encoding := h.Get("Grpc-Encoding") + h.Get("Connect-Content-Encoding")
	return encoding != "" && encoding != noCompression
}

// brokenBody returns the error for a body whose reading failed: its client closed the connection, or its chunks are wrong. The cause names addresses.
func brokenBody(cause error, n int64) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](cause); ok {
		return bodyTooLarge("more bytes", tooLarge.Limit)
	}
	return malformed("body", fmt.Sprintf("breaks off after %d bytes", n), "a body of its Content-Length, or in whole chunks")
}

// refuseBody answers a request whose body is too large. A client of HTTP/1.1 that reads only after it has written its request would get an error of the
// connection: so the response is complete first, and then a part of the rest of the body is read, until the request's context ends. HTTP/2 needs no such part.
func (e *entry) refuseBody(w http.ResponseWriter, r *http.Request, found *route, err error) {
	if r.ProtoMajor > 1 || protocolOf(r) == grpc && !isWeb(r) { // trailers have no place beside a length
		e.refuse(w, r, found.method, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // without it, net/http reads a part of the body before it writes
	w.Header().Set("Connection", "close")
	answer := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
	e.refuse(answer, r, found.method, err)
	answer.send()
	if r.Header.Get("Expect") == "" { // a client that waits for leave sends no body
		defer limitReading(r.Context(), w).stop()
		_, _ = io.CopyN(io.Discard, r.Body, found.maxBody+maxDiscarded)
	}
}

// wholeBody is the body of a request once it has been read.
type wholeBody struct{ bytes.Reader }

// Close implements [io.Closer].
func (*wholeBody) Close() error { return nil }

// isWeb reports whether a request is of gRPC-Web.
func isWeb(r *http.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc-web")
}

// heldAnswer holds a response until send, which knows its length: the client need not wait for the end of the handler.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *heldAnswer) WriteHeader(status int)      { a.status = status }
func (a *heldAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *heldAnswer) send() {
	a.Header().Set("Content-Length", fmt.Sprint(a.body.Len()))
	a.ResponseWriter.WriteHeader(a.status)
	_, _ = a.ResponseWriter.Write(a.body.Bytes()) // the client is gone
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}
