package connect

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/domain"
	consumerconnect "chatcore/gen/chatcore/consumer/v1/consumerv1connect"
	v1 "chatcore/gen/chatcore/v1"
	v1connect "chatcore/gen/chatcore/v1/chatcorev1connect"
)

// eventsPath is the path of feeds as server-sent events, and eventsMethod their name in logs. The rule of Watch says who may read them.
const (
	eventsPath   = "/v1/feed"
	eventsMethod = "chatcore.v1.FeedService.Watch"
)

// BeginsStream reports whether a request asks for a feed: see [server.Config.BeginsStream].
func BeginsStream(r *http.Request) bool {
	switch r.URL.Path {
	case eventsPath, v1connect.FeedServiceWatchProcedure, consumerconnect.ConsumerServiceConsumeProcedure:
		return true
	}
	return false
}

// Pauses after which a browser connects again: each connection has another one, so that those of one server do not come back at once.
const (
	minRetry = 500 * time.Millisecond
	maxRetry = 1500 * time.Millisecond
)

// serveEvents answers a request for a feed as server-sent events. Errors before the first event are those of a unary call in JSON.
func (e *entry) serveEvents(w http.ResponseWriter, r *http.Request) {
	m := method{name: eventsMethod, query: true, rule: e.rules[eventsMethod]}
	if refused := checkEventsRequest(r); refused != nil {
		e.refuseRequest(w, r, m, refused)
		return
	}
	query, err := parseFeedQuery(r)
	if err == nil {
		r, err = e.authorizeEvents(r, m, &query)
	}
	if err != nil {
		e.refuseEvents(w, r, m, err)
		return
	}
	stream, err := e.acquireStream(w, r, m, query.caller)
	if err != nil {
		e.refuse(w, r, m, err)
		return
	}
	begun := false
	defer func() {
		if !begun {
			stream.close()
		}
	}()
	ctx, id, err := stream.begin(w, r, query)
	if err != nil {
		e.refuseEvents(stream.w, r.WithContext(ctx), m, err)
		return
	}
	begun = true
	server.AfterHandler(w, func() { stream.serve(ctx, id) })
}

// acquireStream counts a request as one of the streams of a caller until the stream is closed.
func (e *entry) acquireStream(w http.ResponseWriter, r *http.Request, m method, caller string) (*eventStream, error) {
	release, err := e.streams.acquire(caller)
	if err != nil {
		return nil, err
	}
	if err := server.Stream(r.Context()); err != nil {
		release()
		return nil, &callError{rpc.CodeResourceExhausted, "too_many_streams", err.Error()}
	}
	return &eventStream{entry: e, method: m, release: release}, nil
}

// refuseEvents answers a request for events with an error, in the form of a unary call.
func (e *entry) refuseEvents(w http.ResponseWriter, r *http.Request, m method, err error) {
	w.Header().Set("Cache-Control", "no-store")
	if refused, ok := err.(*requestError); ok { //nolint:errorlint // never wrapped
		e.refuseRequest(w, r, m, refused)
		return
	}
	e.refuse(w, r, m, err)
}

// checkEventsRequest returns the error for a request that is none for events, or nil.
func checkEventsRequest(r *http.Request) *requestError {
	switch {
	case r.Method != http.MethodGet:
		return &requestError{
			code: rpc.CodeUnimplemented, reason: "wrong_verb", field: eventsPath, problem: fmt.Sprintf("is called by %.20s", r.Method), allowed: http.MethodGet,
			status: http.StatusMethodNotAllowed, header: http.Header{"Allow": {http.MethodGet}},
		}
	case r.ContentLength != 0:
		return malformed("body", "is not empty", "no body: the request is in the query parameters")
	}
	return nil
}

// authorizeEvents returns the request with its caller: that of its ticket, if it has one. It sets the caller of the query.
func (e *entry) authorizeEvents(r *http.Request, m method, query *feedQuery) (*http.Request, error) {
	var actor domain.UserID
	if query.hasTicket {
		if len(r.Header["Authorization"]) > 0 {
			return r, malformed("ticket", "is given beside a header Authorization", "one of them")
		}
		ctx, of, err := e.feeds.takeTicket(r.Context(), query.ticket)
		if err != nil {
			return r, err
		}
		actor, r = of, r.WithContext(ctx)
	}
	principal := auth.From(r.Context())
	server.SetPrincipal(r.Context(), principal.String())
	if err := m.rule.check(principal); err != nil {
		return r, err
	}
	query.caller = principal.String()
	if actor == "" {
		return r, nil
	}
	if named := query.request.GetActorId(); named != "" && named != string(actor) {
		return r, otherUser("actor_id", named, actor)
	}
	query.request.ActorId = string(actor)
	query.caller = readerName(principal, string(actor))
	return r, nil
}

// eventStream is one feed as server-sent events.
type eventStream struct {
	*entry
	method   method
	w        *streamWriter
	position *eventPosition
	source   feedSource // nil until the feed has begun
	closed   func()     // of openStream
	release  func()     // of the streams of the caller
}

// begin opens the feed and sets the header of the response. It returns the context of the stream, and the id of its first event.
func (s *eventStream) begin(w http.ResponseWriter, r *http.Request, query feedQuery) (ctx context.Context, id string, err error) {
	s.w, ctx, s.closed = s.openStream(w, r, s.method.rule)
	if err := s.open(ctx, query); err != nil {
		return ctx, "", err
	}
	if id, err = s.position.first(ctx); err != nil {
		return ctx, "", err
	}
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	return ctx, id, nil
}

// open opens the feed at the position of its reader.
func (s *eventStream) open(ctx context.Context, query feedQuery) error {
	position, err := s.feeds.resume(ctx, &query)
	if err != nil {
		return err
	}
	request, err := s.feeds.feedRequest(ctx, query.request)
	if err != nil {
		return inQuery(err)
	}
	if s.source, err = s.feeds.openFeed(ctx, request); err != nil {
		return err
	}
	position.source, s.position = s.source, position
	position.unsettled = request.LogID != "" && request.LogID != s.source.LogID()
	return nil
}

// serve gives the feed until it ends. id is that of the first event. Its goroutine waits here for nearly all of the feed's life: the frames below this
// function decide the size of its stack.
func (s *eventStream) serve(ctx context.Context, id string) {
	defer s.close()
	s.w.WriteHeader(http.StatusOK)
	s.end(ctx, streamFeed(ctx, s.w, s.source, func(f *feedFrame) error { return s.send(ctx, f, id) }))
}

// send writes a message of the feed. first is the id of the first one.
func (s *eventStream) send(ctx context.Context, f *feedFrame, first string) error {
	if f.message.Kind == 0 {
		return s.write(f, first, minRetry+rand.N(maxRetry-minRetry)) //nolint:gosec // no secret
	}
	id, err := s.position.after(ctx, f.message)
	if err != nil {
		return err
	}
	return s.write(f, id, 0)
}

// close ends what the stream has begun.
func (s *eventStream) close() {
	if s.source != nil {
		s.source.Close()
	}
	if s.closed != nil {
		s.closed()
	}
	s.release()
}

// write writes one event, with an id and the pause of reconnects if they are not empty.
func (s *eventStream) write(f *feedFrame, id string, retry time.Duration) error {
	data, err := f.encoded(codecJSON)
	if err != nil {
		return err
	}
	if retry > 0 {
		fmt.Fprintf(s.w, "retry: %d\n", retry.Milliseconds())
	}
	if id != "" {
		fmt.Fprintf(s.w, "id: %s\n", id)
	}
	_, err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", f.kind(), data)
	return err
}

// end writes the error with which a feed has ended as its last event.
func (s *eventStream) end(ctx context.Context, err error) {
	coded := failureOf(ctx, s.logger, s.method, err).connectError()
	if coded.Code() == rpc.CodeCanceled {
		return // the client is gone
	}
	answer := &errorBody{header: make(http.Header)}
	_ = s.errors.Write(answer, &http.Request{Method: http.MethodPost}, coded) // into memory
	_, _ = fmt.Fprintf(s.w, "event: error\ndata: %s\n\n", answer.body.Bytes())
	s.w.Flush()
}

// errorBody is the response of a unary call that only its body is taken of.
type errorBody struct {
	header http.Header
	body   bytes.Buffer
}

func (b *errorBody) Header() http.Header         { return b.header }
func (b *errorBody) WriteHeader(int)             {}
func (b *errorBody) Write(p []byte) (int, error) { return b.body.Write(p) }

// feedQuery is a parsed request for events.
type feedQuery struct {
	request     *v1.WatchRequest
	lastEventID string
	ticket      string
	hasTicket   bool
	caller      string // whose streams are counted: a service has those of each user that it has made a ticket for apart
}

// readerName names the reader of a feed: the caller, and the user that a service names.
func readerName(p auth.Principal, actor string) string {
	if _, service := p.(auth.Service); service && actor != "" {
		return p.String() + " as " + actor
	}
	return p.String()
}
