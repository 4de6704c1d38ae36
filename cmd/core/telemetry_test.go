package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestTheEnvironmentSaysWhatIsExported(t *testing.T) {
	var mu sync.Mutex
	received := map[string]string{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		received[r.URL.Path] += string(body)
	}))
	t.Cleanup(collector.Close)
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden")
	if len(received) != 0 {
		t.Errorf("exported without being asked: %v", received)
	}

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test-of-it")
	s.do("send", "c", "unspeakable", "--as", "ada")
	for path, wants := range map[string][]string{
		"/v1/traces": {"chatcore", "send message:new", "test-of-it"},
		// chatcore.entities.cache is observable: it is exported only if the last export comes before its callback is unregistered.
		"/v1/metrics": {"chatcore.command.duration", "messaging.client.operation.duration", "chatcore.entities.cache"},
	} {
		for _, want := range wants {
			if !strings.Contains(received[path], want) {
				t.Errorf("%s has no %q", path, want)
			}
		}
		if strings.Contains(received[path], "unspeakable") {
			t.Errorf("%s tells the content", path)
		}
	}

	clear(received)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	s.do("send", "c", "hello", "--as", "ada")
	if len(received) != 0 {
		t.Errorf("exported although disabled: %v", received)
	}
}

// TestTelemetry_NeverDecides guards against a collector or a setting that fails a command which has done its work, or that delays it for as long
// as an exporter likes.
func TestTelemetry_NeverDecides(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := refused.Close(); err != nil {
		t.Fatal(err)
	}
	silent := listenSilently(t)
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(failing.Close)
	healthy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(healthy.Close)

	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden")
	const grpc, http1 = "grpc", "http/protobuf"
	for name, env := range map[string]map[string]string{
		"refused, HTTP":       {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + refused.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL": http1},
		"gRPC":                {"OTEL_EXPORTER_OTLP_ENDPOINT": healthy.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": grpc},
		"silent, HTTP":        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + silent, "OTEL_EXPORTER_OTLP_PROTOCOL": http1},
		"failing":             {"OTEL_EXPORTER_OTLP_ENDPOINT": failing.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": http1},
		"stray comma":         {"OTEL_EXPORTER_OTLP_ENDPOINT": healthy.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": http1, "OTEL_RESOURCE_ATTRIBUTES": "a=b,,c=d"},
		"unknown protocol":    {"OTEL_EXPORTER_OTLP_ENDPOINT": healthy.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"},
		"unknown exporter":    {"OTEL_TRACES_EXPORTER": "pigeon", "OTEL_METRICS_EXPORTER": "pigeon"},
		"unreadable endpoint": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1", "OTEL_EXPORTER_OTLP_PROTOCOL": http1},
		"taken port":          {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1", "OTEL_EXPORTER_PROMETHEUS_PORT": portOf(t, silent)},
	} {
		t.Run(name, func(t *testing.T) {
			// An exporter that may take an hour: only the command's own bound ends it.
			for _, timeout := range []string{"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT"} {
				t.Setenv(timeout, "3600000")
			}
			for variable, value := range env {
				t.Setenv(variable, value)
			}
			var errs strings.Builder
			command := s.program("send", "c", name, "--as", "ada")
			command.Stderr = &errs
			if out, err := command.Output(); err != nil || len(out) == 0 {
				t.Errorf("printed %q, error %v", out, err)
			}
			if !strings.HasPrefix(errs.String(), "core: warning: telemetry is incomplete: ") || strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("on standard error: %q; want one warning", errs.String())
			}
		})
	}
	if history := s.do("history", "c"); strings.Count(history, "\n") != 9 {
		t.Errorf("the history:\n%s", history)
	}
}

// TestTelemetry_Prometheus scrapes a program that serves.
func TestTelemetry_Prometheus(t *testing.T) {
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_METRICS_EXPORTER", "prometheus")
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", portOf(t, address))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := command(&buffer{}, &buffer{})
	cmd.SetArgs([]string{"serve", "--listen", "off", "--redis-url", redistest.Start(t).URL()})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	var page string
	wait.Until(t, "the metrics of the groups", func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		page = string(body)
		return strings.Contains(page, "chatcore_group_lag{")
	})
	for _, want := range []string{"chatcore_group_lag_age_seconds{", "chatcore_deliveries_total{", `messaging_consumer_group_name="`, "chatcore_presence_online"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// listenSilently takes connections and never answers on them. It returns its address.
func listenSilently(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		conns.Wait()
	})
	conns.Go(func() {
		var open []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			open = append(open, conn)
		}
		for _, conn := range open {
			_ = conn.Close()
		}
	})
	return listener.Addr().String()
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
