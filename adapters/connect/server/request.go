package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// ErrTooManyStreams is returned by [Stream] when [Config.MaxStreams] streams are open.
var ErrTooManyStreams = errors.New("too many streams")

// requestKey is the key of a *request in a context.
type requestKey struct{}

// request is the state of one request. It lives until its handler returns.
type request struct {
	server    *Server
	writer    http.ResponseWriter // of net/http
	began     time.Time
	response  response
	body      body
	held      held   // only the handler's goroutine uses it
	last      func() // of AfterHandler; only the handler's goroutine uses it
	principal atomic.Pointer[string]

	reading atomic.Bool  // the handler waits for the body
	writing atomic.Int64 // since when the handler waits for the client to accept a write, in nanoseconds of Unix time; 0 if it does not
}

// held is the bound that a request counts for.
type held int

const (
	holdsNothing held = iota // a probe, or a request that was refused
	holdsSlot
	holdsOpening // a stream that has not begun
	holdsStream
)

// String returns the name of the bound.
func (h held) String() string {
	switch h {
	case holdsSlot:
		return "slot"
	case holdsOpening:
		return "opening"
	case holdsStream:
		return "stream"
	case holdsNothing:
	}
	return "nothing"
}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// Draining returns a channel that is closed when the server of a request stops. A handler of a stream then ends it with a status from which the
// client resumes elsewhere; other handlers finish. The channel is nil, and never ready, if ctx is not of a request of a [Server].
func Draining(ctx context.Context) <-chan struct{} {
	if r := requestOf(ctx); r != nil {
		return r.server.draining
	}
	return nil
}

// Stream makes a request a stream: it no longer counts as in flight, and [Timeouts.Request] no longer bounds it. Its handler calls Stream once, on the
// goroutine that net/http has called it on, before the first message. The handler bounds its own writes; each write of the connection is still bounded
// by [Timeouts.Stall]. Stream returns [ErrTooManyStreams], and the request remains as it was, if [Config.MaxStreams] streams are open. It does nothing
// if ctx is not of a request of a [Server].
func Stream(ctx context.Context) error {
	r := requestOf(ctx)
	if r == nil || r.held == holdsStream {
		return nil
	}
	s := r.server
	switch {
	case r.held == holdsOpening:
		s.opening.free(r)
	case s.addStream():
		s.release(r)
	default:
		s.refused.Add(1)
		return fmt.Errorf("%w: %d are open", ErrTooManyStreams, s.config.MaxStreams)
	}
	r.held = holdsStream
	control := http.NewResponseController(r.writer)
	return errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}))
}

// AfterHandler has the server call serve on the same goroutine once the handler has returned, which completes the response. A stream that waits there
// keeps the stack, requests and contexts of the handlers no longer: see docs/decisions.md, "Feeds over the network". serve is called once, also if a handler
// panics afterwards, and a panic of serve is one of the handler. w is the writer that the handler was called with. If w is not the server's own, because
// another handler has wrapped it, AfterHandler calls serve at once. Handlers in between must not end the context of the request when they return.
func AfterHandler(w http.ResponseWriter, serve func()) {
	own, is := w.(*response)
	if !is || own.request.last != nil {
		serve()
		return
	}
	own.request.last = serve
}

// complete calls the function of AfterHandler. The request of net/http lives as long as its response: complete drops its header, which nothing reads
// any more.
func (s *request) complete(r *http.Request) {
	if s.last != nil {
		r.Header = nil
		s.last()
	}
}

// SetPrincipal names the principal of a request in the access log. It does nothing if ctx is not of a request of a [Server]. name must not contain
// a secret.
func SetPrincipal(ctx context.Context, name string) {
	if r := requestOf(ctx); r != nil {
		r.principal.Store(&name)
	}
}

// ServeHTTP implements [http.Handler]: it answers probes, and calls the handler within the bounds of the server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor > 1 {
		growStack(0)
	}
	s.conns.requests.Add(1)
	state := &request{server: s, writer: w, began: time.Now()}
	state.response = response{ResponseWriter: w, request: state}
	defer s.log(r, &state.response)
	defer s.release(state)
	defer s.recovered(r)
	defer state.complete(r)
	s.handle(state, r)
}

// handle calls the handler of a request. Its frame is not on the stack of a stream that goes on after its handler.
//
//go:noinline
func (s *Server) handle(state *request, r *http.Request) {
	w := &state.response
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, state))
	if r.Body != http.NoBody {
		state.body = body{ReadCloser: r.Body, request: state}
		r.Body = &state.body
	}
	switch {
	case s.config.Probes.answers(r):
		s.config.Probes.ServeHTTP(w, r)
	case !s.acquire(state, r):
		s.config.Overloaded.ServeHTTP(w, r)
	default:
		s.config.Handler.ServeHTTP(w, r)
	}
}

// acquire counts a request for its bound. It reports whether that has room; if not, the requests in the bound that wait for their clients end.
func (s *Server) acquire(state *request, r *http.Request) bool {
	switch {
	case s.config.BeginsStream == nil || !s.config.BeginsStream(r):
		if s.slots.take(state) {
			state.held = holdsSlot
			return true
		}
		s.slots.endWaiting(time.Now().Add(-s.config.Timeouts.Client))
	case s.addStream():
		s.opening.take(state)
		state.held = holdsOpening
		return true
	default:
		s.opening.endWaiting(time.Now().Add(-s.config.Timeouts.Client))
	}
	s.refused.Add(1)
	return false
}

// addStream counts a stream. It reports whether there was room for it.
func (s *Server) addStream() bool {
	if s.streams.Add(1) > int64(s.config.MaxStreams) {
		s.streams.Add(-1)
		return false
	}
	return true
}

// release ends the part of a request in its bound.
func (s *Server) release(r *request) {
	switch r.held {
	case holdsSlot:
		s.slots.free(r)
	case holdsOpening:
		s.opening.free(r)
		s.streams.Add(-1)
	case holdsStream:
		s.streams.Add(-1)
	case holdsNothing:
	}
	r.held = holdsNothing
}

// recovered logs the panic of a handler and has net/http abort the response. The log has no text of the panic that a request may have chosen.
func (s *Server) recovered(r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if err, is := fault.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
		text := fmt.Sprintf("%T", fault)
		if failed, is := fault.(runtime.Error); is {
			text = failed.Error()
		}
		s.config.Logger.ErrorContext(r.Context(), "handler panicked", "panic", text, "path", shortPath(r), "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}
