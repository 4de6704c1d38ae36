package connect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
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
	config  Config
}

func newEntry(config Config) *entry {
	return &entry{
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
			streaming: m.IsStreamingClient() || m.IsStreamingServer(), maxBody: maxBodyOf(name),
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
	e.addForeign(prefix, handler, rule{who: authenticated}, true, "ServerReflectionInfo")
}

func (e *entry) addForeign(prefix string, handler http.Handler, r rule, streaming bool, name string) {
	if r.who == authenticated && e.config.OpenReflection {
		r.who = everyone
	}
	full := strings.ReplaceAll(strings.Trim(prefix, "/"), "/", ".") + "." + name
	e.routes[prefix+name] = &route{method: method{name: full, rule: r}, handler: handler, streaming: streaming, maxBody: maxBody}
}

// ServeHTTP implements [http.Handler].
func (e *entry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := e.routes[r.URL.Path]
	if !ok {
		e.refuse(w, r, method{}, e.unknownMethod(r.URL.Path))
		return
	}
	if refused := checkRequest(r, found); refused != nil {
		for name, value := range refused.header {
			w.Header().Set(name, value)
		}
		writePlain(w, refused.status, refused.callError)
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
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout(r.Header))
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = boundBody(ctx, w, r.Body)
	if r.ContentLength > found.maxBody {
		// A client of HTTP/1.1 that still writes when the connection closes sees no answer, so the first part of the body is read.
		_, _ = io.CopyN(io.Discard, r.Body, found.maxBody)
		e.refuse(w, r, found.method, tooLargeBody(r.ContentLength, found.maxBody))
		return
	}
	found.handler.ServeHTTP(w, r)
}

// serveStream serves a stream, if the caller does not have too many.
func (e *entry) serveStream(w http.ResponseWriter, r *http.Request, found *route, principal auth.Principal) {
	release, err := e.streams.acquire(principal.String())
	if err != nil {
		e.refuse(w, r, found.method, err)
		return
	}
	defer release()
	if err := server.Stream(r.Context()); err != nil {
		e.refuse(w, r, found.method, &callError{rpc.CodeResourceExhausted, "too_many_streams", err.Error()})
		return
	}
	found.handler.ServeHTTP(w, r)
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

// refusedRequest is a request that is none of the protocols.
type refusedRequest struct {
	*callError
	status int
	header map[string]string
}

const allowedContentTypes = "application/json, application/proto, application/grpc, application/grpc+json, application/grpc-web, application/grpc-web+json"

// checkRequest returns why a request is none of a method, or nil.
func checkRequest(r *http.Request, found *route) *refusedRequest {
	verbs := http.MethodPost
	if found.method.query && !found.streaming {
		verbs = http.MethodGet + ", " + http.MethodPost
	}
	switch {
	case r.Method == http.MethodGet && found.method.query && !found.streaming:
		if encoding := r.URL.Query().Get("encoding"); encoding != codecJSON && encoding != codecProto {
			return &refusedRequest{
				callError: &callError{rpc.CodeInvalidArgument, "malformed", fmt.Sprintf("query parameter encoding is %.80q; allowed: json, proto", encoding)}, status: http.StatusBadRequest,
			}
		}
		return nil
	case r.Method != http.MethodPost:
		return &refusedRequest{
			callError: &callError{rpc.CodeUnimplemented, "wrong_verb", fmt.Sprintf("%s is called by %.20s; allowed: %s", found.method.name, r.Method, verbs)},
			status:    http.StatusMethodNotAllowed, header: map[string]string{"Allow": verbs},
		}
	}
	if contentType := r.Header.Get("Content-Type"); !servesContent(contentType, found.streaming) {
		return &refusedRequest{
			callError: &callError{rpc.CodeInvalidArgument, "content_type", fmt.Sprintf("Content-Type is %.80q; allowed: %s", contentType, contentTypesOf(found))},
			status:    http.StatusUnsupportedMediaType, header: map[string]string{"Accept-Post": contentTypesOf(found)},
		}
	}
	return nil
}

func contentTypesOf(found *route) string {
	if found.streaming {
		return strings.NewReplacer("application/json", "application/connect+json", "application/proto", "application/connect+proto").Replace(allowedContentTypes)
	}
	return allowedContentTypes
}

// servesContent reports whether a content type is one of the protocols'.
func servesContent(contentType string, streaming bool) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
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

// writePlain answers a request of no protocol, with a status and the JSON form of an error.
func writePlain(w http.ResponseWriter, status int, e *callError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, err := json.Marshal(map[string]string{"code": e.code.String(), "message": e.text})
	if err == nil {
		_, _ = w.Write(text) // the client is gone
	}
}
