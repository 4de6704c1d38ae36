package connect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func (w *world) grpc(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(w.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestHealth_FollowsReady has the health checks of gRPC, of the server and of each service, serve while Redis answers and not while it is gone. Calls fail
// with unavailable meanwhile, and say that they may be given again.
func TestHealth_FollowsReady(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	w := redisWorld(t, worldConfig{core: chatcore.Config{Redis: chatcore.RedisConfig{URL: redis.URL()}}})
	chat := w.chat(t)
	client := healthpb.NewHealthClient(w.grpc(t))
	status := func(service string) healthpb.HealthCheckResponse_ServingStatus {
		res, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			return healthpb.HealthCheckResponse_UNKNOWN
		}
		return res.GetStatus()
	}
	services := []string{""}
	for _, s := range connect.ServiceDescriptors() {
		services = append(services, string(s.FullName()))
	}
	all := func(want healthpb.HealthCheckResponse_ServingStatus) func() bool {
		return func() bool {
			return !slices.ContainsFunc(services, func(s string) bool { return status(s) != want })
		}
	}
	wait.Until(t, "all services serve", all(healthpb.HealthCheckResponse_SERVING))
	redis.Stop()
	wait.Until(t, "no service serves", all(healthpb.HealthCheckResponse_NOT_SERVING))
	for _, body := range []string{`{"chatId":%q,"actorId":"ada","messageId":"m","content":"x"}`, `{"chatId":%q,"actorId":"ada","messageId":"m2","content":"x"}`} {
		r := w.postJSON(t, sendPath, fmt.Sprintf(body, chat))
		if r == nil || r.code != rpc.CodeUnavailable && r.code != rpc.CodeDeadlineExceeded || !r.detail.GetRetryable() || strings.Contains(r.message, redis.Addr()) {
			t.Errorf("a send without Redis: %v", r)
		}
	}
	redis.Restart(t)
	wait.Until(t, "all services serve again", all(healthpb.HealthCheckResponse_SERVING))
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "other"}); err == nil || !strings.Contains(err.Error(), "chatcore.v1.ChatService") {
		t.Errorf("an unknown service: %v", err)
	}
}

// TestReflection_IsForAuthenticatedCallers has reflection name every service, for everyone only where that is configured, and within the bound of streams.
func TestReflection_IsForAuthenticatedCallers(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	stream, err := reflectionpb.NewServerReflectionClient(w.grpc(t)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	res, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range res.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, s := range connect.ServiceDescriptors() {
		if !slices.Contains(names, string(s.FullName())) {
			t.Errorf("reflection does not name %s: %v", s.FullName(), names)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

// TestReflection_NeedsACredential has reflection, in both versions, be refused without a credential, unless it is open.
func TestReflection_NeedsACredential(t *testing.T) {
	for _, open := range []bool{false, true} {
		g := newGuarded(t, func(c *connect.Config) { c.OpenReflection = open })
		server := httptest.NewUnstartedServer(g.handler)
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		server.Config.Protocols = &protocols
		server.Start()
		t.Cleanup(server.Close)
		conn := (&world{url: server.URL}).grpc(t)
		for _, version := range []string{"v1", "v1alpha"} { // their messages are the same
			desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
			stream, err := conn.NewStream(t.Context(), desc, "/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo")
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.SendMsg(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}) // its error is that of RecvMsg
			err = grpcRefusal(stream.RecvMsg(&reflectionpb.ServerReflectionResponse{}))
			if r, refused := errorAs[*refusal](err); refused == open || refused && (r.code != rpc.CodeUnauthenticated || r.detail.GetReason() != "unauthenticated") {
				t.Errorf("%s, open %t: %v", version, open, err)
			}
			_ = stream.CloseSend()
		}
	}
}

// TestReflection_BoundsMessages has a message of a stream beyond the bound of bodies be refused.
func TestReflection_BoundsMessages(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	stream, err := reflectionpb.NewServerReflectionClient(w.grpc(t)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	large := &reflectionpb.ServerReflectionRequest_FileByFilename{FileByFilename: strings.Repeat("x", 1<<20)}
	_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: large}) // its error is that of Recv
	_, err = stream.Recv()
	if r, ok := errorAs[*refusal](grpcRefusal(err)); !ok || r.code != rpc.CodeResourceExhausted {
		t.Errorf("the error is %v", err)
	}
}

// TestStreams_AreBoundedForEachPrincipal has a principal have 100 streams, and further ones once some have ended.
func TestStreams_AreBoundedForEachPrincipal(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	client := reflectionpb.NewServerReflectionClient(w.grpc(t))
	list := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	open := func(ctx context.Context, client reflectionpb.ServerReflectionClient) error {
		stream, err := client.ServerReflectionInfo(ctx)
		if err != nil {
			return grpcRefusal(err)
		}
		_ = stream.Send(list) // its error is that of Recv
		_, err = stream.Recv()
		return grpcRefusal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 100 {
		if err := open(ctx, client); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	other := reflectionpb.NewServerReflectionClient(w.grpc(t)) // a connection takes 100 streams too
	r, ok := errorAs[*refusal](open(t.Context(), other))
	if !ok || r.code != rpc.CodeResourceExhausted || r.detail.GetReason() != "too_many_streams" || r.detail.GetRetryAfter() == nil {
		t.Errorf("the 101st stream: %v", r)
	}
	cancel()
	wait.Until(t, "a stream opens once others have ended", func() bool { return open(t.Context(), other) == nil })
}

// TestPanics_BecomeInternal has a handler that panics answer with an incident, whose text only the log has, in a call and in a batch.
func TestPanics_BecomeInternal(t *testing.T) {
	w := memoryWorld(t, worldConfig{options: []chatcore.Option{chatcore.WithGate(func(context.Context, app.GateQuestion) error { panic("secret") })}})
	r := w.postJSON(t, "/chatcore.v1.ChatService/CreateChat", `{"chatId":"c","actorId":"ada","commandId":"1"}`)
	if r == nil || r.code != rpc.CodeInternal || r.detail.GetIncidentId() == "" || strings.Contains(r.message, "secret") {
		t.Fatalf("the error is %v", r)
	}
	if log := w.log.String(); !strings.Contains(log, r.detail.GetIncidentId()) || !strings.Contains(log, "secret") {
		t.Errorf("the log has %s", log)
	}
}

// TestPanics_InABatch has a message whose sending panics be an internal error of its own, with an incident, and the messages to other chats be sent.
func TestPanics_InABatch(t *testing.T) {
	gate := func(_ context.Context, q app.GateQuestion) error {
		if q.Chat == "doomed" && q.Kind == app.GateSend {
			panic("secret")
		}
		return nil
	}
	w := memoryWorld(t, worldConfig{options: []chatcore.Option{chatcore.WithGate(gate)}})
	if _, err := w.core.Chats.Create(t.Context(), domain.Create{Chat: "doomed", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	chat := w.chat(t)
	req := &v1.SendMessagesRequest{}
	for i, to := range []string{"doomed", chat, "doomed", chat} {
		req.Messages = append(req.Messages, &v1.SendMessageRequest{ChatId: to, ActorId: "ada", MessageId: fmt.Sprint(i), Content: "x"})
	}
	res, err := call[*v1.SendMessagesResponse](t, w, sendMessages, req)
	if err != nil {
		t.Fatal(err)
	}
	for i, reason := range []string{"internal", "", "not_tried", ""} {
		e := res.GetResults()[i].GetError()
		if e.GetDetail().GetReason() != reason || strings.Contains(e.String(), "secret") {
			t.Errorf("message %d: %v", i, e)
		}
	}
	incident := res.GetResults()[0].GetError().GetDetail().GetIncidentId()
	if log := w.log.String(); incident == "" || !strings.Contains(log, incident) || !strings.Contains(log, "secret") || !strings.Contains(log, "send_batch.go") {
		t.Errorf("the log has no stack of incident %q: %s", incident, log)
	}
}

// TestTraces_OfCallers has the span of a call begin a trace that links to the span that the caller names, or be its child where callers are trusted. The
// trace's parent is in the header traceparent.
func TestTraces_OfCallers(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, trusted := range []bool{false, true} {
		spans := tracetest.NewSpanRecorder()
		provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
		w := memoryWorld(t, worldConfig{api: connect.Config{TracerProvider: provider, TrustRemoteTraces: trusted}})
		if r := w.postJSON(t, getPath, fmt.Sprintf(`{"chatId":%q}`, w.chat(t)), "Traceparent", "00-"+trace+"-"+span+"-01"); r != nil {
			t.Fatal(r)
		}
		wait.Until(t, "the call's span has ended", func() bool { return len(spans.Ended()) == 1 })
		got := spans.Ended()[0]
		child := got.SpanContext().TraceID().String() == trace && got.Parent().SpanID().String() == span && len(got.Links()) == 0
		linked := got.SpanContext().TraceID().String() != trace && !got.Parent().IsValid() && len(got.Links()) == 1 &&
			got.Links()[0].SpanContext.TraceID().String() == trace && got.Links()[0].SpanContext.SpanID().String() == span
		if trusted && !child || !trusted && !linked {
			t.Errorf("trusted %t: trace %v, parent %v, links %v", trusted, got.SpanContext().TraceID(), got.Parent(), got.Links())
		}
	}
}

// TestRateLimits_NameTheTime has a call beyond a limit get the time to try again, in the detail and as a header.
func TestRateLimits_NameTheTime(t *testing.T) {
	w := memoryWorld(t, worldConfig{core: chatcore.Config{Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{app.LimitSend: {Rate: 1, Per: time.Hour}}}}})
	chat := w.chat(t)
	body := fmt.Sprintf(`{"chatId":%q,"actorId":"ada","messageId":"m%%d","content":"x"}`, chat)
	if r := w.postJSON(t, sendPath, fmt.Sprintf(body, 1)); r != nil {
		t.Fatal(r)
	}
	status, header, text := w.post(t, sendPath, "application/json", fmt.Sprintf(body, 2))
	r := asRefusal(t, status, header, text)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" || r.detail.GetRetryAfter().AsDuration() <= 0 || r.detail.GetLimit() != app.LimitSend {
		t.Errorf("status %d, Retry-After %q, %v", status, header.Get("Retry-After"), r)
	}
}

// TestNew_RefusesWrongConfigurations has types that cannot be recorded be refused at the start.
func TestNew_RefusesWrongConfigurations(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	for _, types := range []map[domain.CustomType]int{{"poll": 1}, {"poll:voted": 0}, {"message:new": 1}} {
		if _, err := connect.New(w.core, connect.Config{EventTypes: types}); err == nil {
			t.Errorf("%v is accepted", types)
		}
	}
}
