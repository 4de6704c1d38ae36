package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
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
	s.do("chat", "create", "--chat", "c", "--user", "ada", "--title", "Garden")
	if len(received) != 0 {
		t.Errorf("exported without being asked: %v", received)
	}

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test-of-it")
	s.do("send", "--chat", "c", "--user", "ada", "--text", "unspeakable")
	for path, wants := range map[string][]string{
		"/v1/traces":  {"chatcore", "send message:new", "test-of-it"},
		"/v1/metrics": {"chatcore.command.duration", "messaging.client.operation.duration"},
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
	s.do("send", "--chat", "c", "--user", "ada", "--text", "hello")
	if len(received) != 0 {
		t.Errorf("exported although disabled: %v", received)
	}
}
