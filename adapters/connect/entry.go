package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
)

// route is one method, and how it is served.
type route struct {
	method    method
	handler   http.Handler
	streaming bool
	duplex    bool // the client streams too
	maxBody   int64
}

// entry is the handler of all methods. Before a body is read it refuses unknown methods, wrong verbs and content types, callers that may not call the
// method, and bodies that say that they are too large; it then bounds the call's time and streams.
type entry struct {
	rules   map[string]rule
	routes  map[string]*route // by path
	errors  *rpc.ErrorWriter
	logger  *slog.Logger
	streams *streamCounter
	open    *openStreams
	feeds   *feedService
	config  Config
}

func newEntry(c *calls) *entry {
	core, config := c.core, c.config
	return &entry{
		feeds: &feedService{c},
		open:  newOpenStreams(core.Sessions.Live, config.Logger),
		rules: rules(), routes: make(map[string]*route), errors: rpc.NewErrorWriter(), logger: config.Logger, streams: newStreamCounter(maxStreams), config: config,
	}
}

// add adds the methods of a service. It returns an error for a method that has no rule.
func (e *entry) add(prefix string, service protoreflect.ServiceDescriptor, handler http.Handler) error {
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		name := string(m.FullName())
		r, ok := e.rules[name]
		if !ok || r.who == nobody {
			return fmt.Errorf("the table of access has no row for %s", name)
		}
		e.routes[prefix+string(m.Name())] = &route{
			method: method{name: name, query: isQuery(m), rule: r}, handler: handler,
			streaming: m.IsStreamingClient() || m.IsStreamingServer(), duplex: m.IsStreamingClient(), maxBody: maxBodyOf(name),
		}
	}
	return nil
}

// isQuery reports whether a method has no side effects.
func isQuery(m protoreflect.MethodDescriptor) bool {
	options, ok := m.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// addHealth adds the health service of gRPC, which everyone may call.
func (e *entry) addHealth(prefix string, handler http.Handler) {
	e.addForeign(prefix, handler, rule{who: everyone}, false, "Check")
	e.addForeign(prefix, handler, rule{who: everyone}, true, "Watch")
}

// addReflection adds a reflection service of gRPC: for everyone if that is configured, and for authenticated callers otherwise.
func (e *entry) addReflection(prefix string, handler http.Handler) {
	e.addForeign(prefix, handler, rule{who: authenticated}, true, "ServerReflectionInfo").duplex = true
}

func (e *entry) addForeign(prefix string, handler http.Handler, r rule, streaming bool, name string) *route {
	if r.who == authenticated && e.config.OpenReflection {
		r.who = everyone
	}
	full := strings.ReplaceAll(strings.Trim(prefix, "/"), "/", ".") + "." + name
	added := &route{method: method{name: full, rule: r}, handler: handler, streaming: streaming, maxBody: maxBody}
	e.routes[prefix+name] = added
	return added
}

// ServeHTTP implements [http.Handler].
func (e *entry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == eventsPath {
		e.serveEvents(w, r)
		return
	}
	found, ok := e.routes[r.URL.Path]
	if !ok {
		e.refuse(w, r, method{}, e.unknownMethod(r.URL.Path))
		return
	}
	if refused := checkRequest(r, found); refused != nil {
		e.refuseRequest(w, r, found.method, refused)
		return
	}
	principal := auth.From(r.Context())
	server.SetPrincipal(r.Context(), principal.String())
	if err := found.method.rule.check(principal); err != nil {
		e.refuse(w, r, found.method, err)
		return
	}
	if found.streaming {
		e.serveStream(w, r, found, principal)
		return
	}
	if found.method.rule.waits {
		release, err := e.streams.acquire(principal.String())
		if err != nil {
			e.refuse(w, r, found.method, err)
			return
		}
		defer release()
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(r))
	defer cancel()
	r = r.WithContext(ctx)
	if r.Method == http.MethodGet || e.readWhole(w, r, found) {
		found.handler.ServeHTTP(w, r)
	}
}

// readWhole reads the body of a request of one message until the request's context ends, and sets it as the body of r. It answers the request and returns
// false if it cannot.
func (e *entry) readWhole(w http.ResponseWriter, r *http.Request, found *route) bool {
	body, err := readBody(w, r, found.maxBody)
	if err == nil {
		whole := &wholeBody{}
		whole.Reset(body)
		r.Body = whole
		return true
	}
	if tooLarge, ok := errors.AsType[*requestError](err); ok && tooLarge.code == rpc.CodeResourceExhausted {
		e.refuseBody(w, r, found, err)
		return false
	}
	e.refuse(w, r, found.method, err)
	return false
}

// serveStream serves a stream, if the caller does not have too many.
func (e *entry) serveStream(w http.ResponseWriter, r *http.Request, found *route, principal auth.Principal) {
	release, err := e.streams.acquire(principal.String())
	if err != nil {
		e.refuse(w, r, found.method, err)
		return
	}
	defer release()
	if !found.duplex && !e.readRequest(w, r, found) {
		return
	}
	if err := server.Stream(r.Context()); err != nil {
		e.refuse(w, r, found.method, &callError{rpc.CodeResourceExhausted, "too_many_streams", err.Error()})
		return
	}
	access := found.method.rule
	if found.duplex && !access.consumes {
		found.handler.ServeHTTP(w, r)
		return
	}
	if access.consumes {
		access.scope = consumeScope(principal)
	}
	writer, ctx, closed := e.openStream(w, r, access)
	defer closed()
	found.handler.ServeHTTP(writer, r.WithContext(ctx))
}

// openStream returns the writer and the context of a stream, until closed is called.
func (e *entry) openStream(w http.ResponseWriter, r *http.Request, access rule) (writer *streamWriter, ctx context.Context, closed func()) {
	draining := e.config.Draining
	if draining == nil {
		draining = server.Draining(r.Context())
	}
	writer = newStreamWriter(w)
	ctx, closed = e.open.open(r.Context(), draining, access.scope, writer, access.consumes)
	return writer, writer.with(ctx), closed
}

// readRequest reads the one request of a stream within the time of a unary call. It answers the request and returns false if it cannot.
func (e *entry) readRequest(w http.ResponseWriter, r *http.Request, found *route) bool {
	ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(r))
	defer cancel()
	timed := r.WithContext(ctx)
	read := e.readWhole(w, timed, found)
	r.Body = timed.Body
	return read
}

// refuseRequest answers a request that checkRequest refuses: in JSON with a status of HTTP, if it is of none of the protocols.
func (e *entry) refuseRequest(w http.ResponseWriter, r *http.Request, m method, refused *requestError) {
	maps.Copy(w.Header(), refused.header)
	if refused.status == 0 {
		e.refuse(w, r, m, refused)
		return
	}
	_ = e.errors.Write(&statusWriter{w, refused.status}, &http.Request{Method: http.MethodPost}, refused.coded()) // the client is gone
}

// refuse answers a request with an error in the form of its protocol.
func (e *entry) refuse(w http.ResponseWriter, r *http.Request, m method, err error) {
	coded := failureOf(r.Context(), e.logger, m, err).connectError()
	_ = e.errors.Write(w, r, coded) // the client is gone
}

// unknownMethod returns the error for a path that is no method.
func (e *entry) unknownMethod(path string) error {
	service, _, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	var methods, services []string
	for known := range e.routes {
		of, name, _ := strings.Cut(strings.TrimPrefix(known, "/"), "/")
		services = append(services, of)
		if ok && of == service {
			methods = append(methods, name)
		}
	}
	if len(methods) > 0 {
		slices.Sort(methods)
		return &callError{rpc.CodeUnimplemented, "unknown_method", fmt.Sprintf("%s has no method %.80q; allowed: %s", service, strings.TrimPrefix(path, "/"+service+"/"), strings.Join(methods, ", "))}
	}
	slices.Sort(services)
	return &callError{rpc.CodeUnimplemented, "unknown_service", fmt.Sprintf("there is no method %.200q; allowed: /SERVICE/METHOD, with the services %s", path, strings.Join(slices.Compact(services), ", "))}
}

// statusWriter writes a status of its own for every status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(int) { w.ResponseWriter.WriteHeader(w.status) }
