package connect

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	rpc "connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"connectrpc.com/otelconnect"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app/feed"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	adminconnect "chatcore/gen/chatcore/admin/v1/adminv1connect"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	v1 "chatcore/gen/chatcore/v1"
	v1connect "chatcore/gen/chatcore/v1/chatcorev1connect"
)

// Config is the configuration of [New]. The zero value serves a core without custom events.
type Config struct {
	// EventTypes are the types of custom events that RecordEvent records, each with the version of its data that is current, from 1. Defaults to none.
	EventTypes map[domain.CustomType]int

	// HideBlocks answers what a block in a direct chat refuses with failed_precondition and the reason not_deliverable, and AddMembers with
	// ADMISSION_REFUSED, so that no user learns of a block. Defaults to false: the reason is blocked.
	HideBlocks bool

	// OpenReflection lets every caller ask for the descriptors of the API, for a server on loopback. Defaults to false: only authenticated callers may.
	OpenReflection bool

	// TrustRemoteTraces makes the spans of calls children of the span that the caller names. Defaults to false: each call begins a trace, which links to the
	// caller's span, so that no caller decides what is sampled.
	TrustRemoteTraces bool

	// TracerProvider and MeterProvider are those of the spans and metrics of calls. They default to the global ones. With the providers of OpenTelemetry's
	// noop packages in both, and without TrustRemoteTraces, calls are not observed and cost nothing for it.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// Logger receives errors that clients see only the id of. Defaults to slog.Default().
	Logger *slog.Logger

	// Draining is closed when the server begins to stop: streams then end with unavailable. Defaults to the channel of package server, if the handler is in
	// such a server.
	Draining <-chan struct{}

	// openFeed opens feeds instead of the core. Tests set it.
	openFeed func(ctx context.Context, r feed.Request) (feedSource, error)
	// heartbeat is that of streams of Consume, instead of consumeHeartbeat. Tests set it.
	heartbeat time.Duration
}

// validate returns a [*domain.InvalidError] for the first wrong field.
func (c Config) validate() error {
	for typ, version := range c.EventTypes {
		if err := wireformat.CheckCustomType(typ); err != nil {
			return err
		}
		if version < 1 {
			return &domain.InvalidError{Field: "EventTypes", Problem: fmt.Sprintf("have %s in version %d", typ, version), Allowed: "versions from 1"}
		}
	}
	return nil
}

// service is one service: its descriptor, and its handler for the given options.
type service struct {
	descriptor protoreflect.ServiceDescriptor
	handler    func(...rpc.HandlerOption) (string, http.Handler)
}

// services returns the services that a core is served with. Each service of the protos has one line here.
func services(c *calls) []service {
	return []service{
		{v1.File_chatcore_v1_chat_proto.Services().ByName("ChatService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return v1connect.NewChatServiceHandler(&chatService{c}, o...)
		}},
		{v1.File_chatcore_v1_message_proto.Services().ByName("MessageService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return v1connect.NewMessageServiceHandler(&messageService{c}, o...)
		}},
		{v1.File_chatcore_v1_log_proto.Services().ByName("LogService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return v1connect.NewLogServiceHandler(&logService{c}, o...)
		}},
		{v1.File_chatcore_v1_presence_proto.Services().ByName("PresenceService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return v1connect.NewPresenceServiceHandler(&presenceService{c}, o...)
		}},
		{v1.File_chatcore_v1_session_proto.Services().ByName("SessionService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return v1connect.NewSessionServiceHandler(&sessionService{c}, o...)
		}},
		{v1.File_chatcore_v1_limit_proto.Services().ByName("LimitService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return v1connect.NewLimitServiceHandler(&limitService{c}, o...)
		}},
		{v1.File_chatcore_v1_feed_proto.Services().ByName("FeedService"), (&feedService{c}).handler},
		{consumerv1.File_chatcore_consumer_v1_consumer_proto.Services().ByName("ConsumerService"), (&consumerService{c}).handler},
		{adminv1.File_chatcore_admin_v1_group_proto.Services().ByName("GroupService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return adminconnect.NewGroupServiceHandler(&groupService{calls: c}, o...)
		}},
		{adminv1.File_chatcore_admin_v1_webhook_proto.Services().ByName("WebhookService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return adminconnect.NewWebhookServiceHandler(&webhookService{c}, o...)
		}},
		{adminv1.File_chatcore_admin_v1_dead_letter_proto.Services().ByName("DeadLetterService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return adminconnect.NewDeadLetterServiceHandler(&deadLetterService{c}, o...)
		}},
		{adminv1.File_chatcore_admin_v1_retention_proto.Services().ByName("RetentionService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return adminconnect.NewRetentionServiceHandler(&retentionService{c}, o...)
		}},
		{adminv1.File_chatcore_admin_v1_erasure_proto.Services().ByName("ErasureService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return adminconnect.NewErasureServiceHandler(&erasureService{c}, o...)
		}},
		{adminv1.File_chatcore_admin_v1_health_proto.Services().ByName("HealthService"), func(o ...rpc.HandlerOption) (string, http.Handler) {
			return adminconnect.NewHealthServiceHandler(&healthService{c}, o...)
		}},
	}
}

// New returns the handler that serves a core. It returns a [*domain.InvalidError] for a wrong configuration, and an error for a method that the table of
// access does not have.
//
// Principals come from the context of the request: see package auth. The handler bounds bodies, deadlines and streams; connections and headers are bounded
// by the server that it is put into.
func New(core *chatcore.Core, config Config) (http.Handler, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	c := &calls{core: core, config: config}
	served := services(c)
	names := make([]string, len(served))
	for i, s := range served {
		names[i] = string(s.descriptor.FullName())
	}

	observed, err := interceptors(config)
	if err != nil {
		return nil, err
	}
	entry := newEntry(c)
	common := []rpc.HandlerOption{
		rpc.WithInterceptors(observed...), rpc.WithCodec(protoCodec{}), rpc.WithCodec(jsonCodec{name: codecJSON}), rpc.WithCodec(jsonCodec{name: codecJSONUTF8}),
		rpc.WithCompressMinBytes(compressFrom), rpc.WithConditionalHandlerOptions(readBound),
	}
	for _, s := range served {
		prefix, handler := s.handler(common...)
		if err := entry.add(prefix, s.descriptor, handler); err != nil {
			return nil, err
		}
	}
	entry.addHealth(grpchealth.NewHandler(&health{core: core, services: names}, common...))
	entry.addReflection(grpcreflect.NewHandlerV1(grpcreflect.NewStaticReflector(append(names, grpchealth.HealthV1ServiceName)...), common...))
	entry.addReflection(grpcreflect.NewHandlerV1Alpha(grpcreflect.NewStaticReflector(append(names, grpchealth.HealthV1ServiceName)...), common...))
	return entry, nil
}

// compressFrom is the size from which on answers are compressed, if the caller takes that: below it, compressing costs more than it saves.
const compressFrom = 1 << 10

// unobserved reports whether neither spans nor metrics of calls are wanted.
func (c Config) unobserved() bool {
	_, traceless := c.TracerProvider.(tracenoop.TracerProvider)
	_, meterless := c.MeterProvider.(metricnoop.MeterProvider)
	return traceless && meterless && !c.TrustRemoteTraces // a trusted trace passes through the call into the log
}

// interceptors returns the interceptors of every method, the outermost first.
func interceptors(config Config) ([]rpc.Interceptor, error) {
	handlers := &errorInterceptor{config: config, rules: rules()}
	if config.unobserved() {
		return []rpc.Interceptor{handlers}, nil
	}
	options := []otelconnect.Option{otelconnect.WithPropagator(propagation.TraceContext{})} // the global one is none unless a program sets it
	if config.TrustRemoteTraces {
		options = append(options, otelconnect.WithTrustRemote())
	}
	if config.TracerProvider != nil {
		options = append(options, otelconnect.WithTracerProvider(config.TracerProvider))
	}
	if config.MeterProvider != nil {
		options = append(options, otelconnect.WithMeterProvider(config.MeterProvider))
	}
	observed, err := otelconnect.NewInterceptor(options...)
	if err != nil {
		return nil, fmt.Errorf("telemetry of calls: %w", err)
	}
	return []rpc.Interceptor{observed, handlers}, nil
}

// health answers the health checks of gRPC: the server, and each of its services, serves while the core is ready.
type health struct {
	core     *chatcore.Core
	services []string
}

// Check implements [grpchealth.Checker].
func (h *health) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if req.Service != "" && !slices.Contains(h.services, req.Service) {
		return nil, &callError{code: rpc.CodeNotFound, reason: "service_not_found", text: fmt.Sprintf("there is no service %.80q; allowed: empty, %s", req.Service, strings.Join(h.services, ", "))}
	}
	if err := h.core.Ready(ctx); err != nil {
		if ended := ctx.Err(); ended != nil {
			return nil, ended
		}
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
