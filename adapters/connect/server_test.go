package connect_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/app"
	"chatcore/domain"
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
