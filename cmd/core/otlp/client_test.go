package otlp_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"chatcore/cmd/core/otlp"
)

var contains = strings.Contains

// export sends one metric and shuts the exporter down.
func export(t *testing.T) error {
	t.Helper()
	exporter, err := otlp.NewMetricExporter(agent)
	if err != nil {
		return err
	}
	gauge := metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Value: 1}}}
	data := &metricdata.ResourceMetrics{Resource: resource.Empty(), ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{{Name: "gauge", Data: gauge}}}}}
	return errors.Join(exporter.Export(t.Context(), data), exporter.Shutdown(t.Context()))
}

func TestClient_Settings(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		c := newCollector(t, nil, nil)
		if err := export(t); err != nil {
			t.Fatal(err)
		}
		if r := c.received()[0]; !r.plain || r.path != "/v1/metrics" {
			t.Errorf("request %+v", r)
		}
	})
	t.Run("all signals", func(t *testing.T) {
		c := newCollector(t, nil, nil)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL+"/base/")
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x = y ,")
		t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
		if err := export(t); err != nil {
			t.Fatal(err)
		}
		r := c.received()[0]
		if r.path != "/base/v1/metrics" || r.header.Get("Api-Key") != "a b" || r.header.Get("X") != "y" || r.plain {
			t.Errorf("request %+v", r)
		}
		var message metricscollector.ExportMetricsServiceRequest
		r.decode(t, &message)
		if len(message.ResourceMetrics) != 1 {
			t.Errorf("message %v", &message)
		}
	})
	t.Run("of the signal", func(t *testing.T) {
		c := newCollector(t, nil, nil)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=general")
		t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
		t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", c.URL)
		t.Setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf")
		t.Setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x=y")
		t.Setenv("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none")
		if err := export(t); err != nil {
			t.Fatal(err)
		}
		if r := c.received()[0]; r.path != "/" || r.header.Get("Api-Key") != "" || r.header.Get("X") != "y" || !r.plain {
			t.Errorf("request %+v", r)
		}
	})
}

// TestClient_SettingsRefused gives each variable a value that is wrong. The error names the variable and what is allowed, and no secret.
func TestClient_SettingsRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ variable, value, wants string }{
		{"PROTOCOL", "grpc", "grpc is not supported; allowed: http/protobuf"},
		{"PROTOCOL", "http/json", "allowed: http/protobuf"},
		{"ENDPOINT", "http://[::1", "allowed: http://HOST:PORT"},
		{"ENDPOINT", "http://user:secret@[::1", "allowed: http://HOST:PORT"},
		{"ENDPOINT", "localhost:4318", "http://HOST:PORT"},
		{"ENDPOINT", "ftp://user:secret@host", "http://HOST:PORT"},
		{"HEADERS", "secret", "pair 1"},
		{"HEADERS", "a=b,c d=secret", "pair 2"},
		{"HEADERS", "a=%zzsecret", "pair 1"},
		{"HEADERS", "a=secret%0a", "pair 1"},
		{"TIMEOUT", "10s", "milliseconds"},
		{"TIMEOUT", "-1", "allowed: 0"},
		{"TIMEOUT", "9223372036854775807", "milliseconds"},
		{"COMPRESSION", "zstd", "allowed: gzip, none"},
		{"CERTIFICATE", empty + ".missing", "no such file"},
		{"CERTIFICATE", empty, "allowed: a PEM file"},
		{"CLIENT_CERTIFICATE", empty, "both or neither"},
		{"CLIENT_KEY", empty, "both or neither"},
		{"METRICS_TEMPORALITY_PREFERENCE", "sometimes", "allowed: cumulative, delta, lowmemory"},
		{"METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "none", "allowed: explicit_bucket_histogram"},
	} {
		t.Run(test.variable+" "+strings.ReplaceAll(test.value, "/", "_"), func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_"+test.variable, test.value)
			err := export(t)
			if err == nil || !contains(err.Error(), test.wants) || !contains(err.Error(), "OTEL_EXPORTER_OTLP_"+test.variable) {
				t.Errorf("error %v, want one about %s with %q", err, test.variable, test.wants)
			}
			if err != nil && contains(err.Error(), "secret") {
				t.Errorf("the error has a secret: %v", err)
			}
			if _, err := otlp.NewSpanExporter(t.Context(), agent); (err == nil) != strings.HasPrefix(test.variable, "METRICS_") {
				t.Errorf("spans: error %v", err)
			}
		})
	}
}

// TestClient_Retries answers the first requests with failures that pass, and with ones that do not.
func TestClient_Retries(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		c := newCollector(t, nil, func(n int, w http.ResponseWriter) {
			if n == 1 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(status)
			}
		})
		t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120000")
		if err := export(t); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		requests := c.received()
		if len(requests) != 2 || string(requests[0].body) != string(requests[1].body) {
			t.Errorf("%d: %d requests", status, len(requests))
		}
	}
	t.Run("broken connection", func(t *testing.T) {
		c := newCollector(t, nil, func(n int, _ http.ResponseWriter) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
		})
		t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120000")
		if err := export(t); err != nil {
			t.Error(err)
		}
		if n := len(c.received()); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusInternalServerError, http.StatusTemporaryRedirect} {
		c := newCollector(t, nil, func(_ int, w http.ResponseWriter) {
			body, err := proto.Marshal(&statuspb.Status{Code: 3, Message: "first line\nsecond"})
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		})
		err := export(t)
		if err == nil || !contains(err.Error(), strconv.Itoa(status)) || !contains(err.Error(), "first line second") || len(c.received()) != 1 {
			t.Errorf("%d: error %v after %d requests", status, err, len(c.received()))
		}
	}
}

// TestClient_RetryBeyondTimeout gives up at once if the collector asks for a longer pause than an export may take.
func TestClient_RetryBeyondTimeout(t *testing.T) {
	for _, after := range []string{"3600", "99999999999999", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
		c := newCollector(t, nil, func(_ int, w http.ResponseWriter) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		if err := export(t); err == nil || !contains(err.Error(), "503") || len(c.received()) != 1 {
			t.Errorf("error %v after %d requests", err, len(c.received()))
		}
	}
}

// TestClient_Timeout ends an export whose collector never answers.
func TestClient_Timeout(t *testing.T) {
	release := make(chan struct{})
	newCollector(t, nil, func(int, http.ResponseWriter) { <-release })
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
	err := export(t)
	close(release)
	if err == nil || !contains(err.Error(), "deadline exceeded") {
		t.Errorf("error %v", err)
	}
}

// TestClient_PartialSuccess reports what the collector rejected of a request that it accepted.
func TestClient_PartialSuccess(t *testing.T) {
	for _, test := range []struct {
		partial *metricscollector.ExportMetricsPartialSuccess
		want    string
	}{
		{nil, ""},
		{&metricscollector.ExportMetricsPartialSuccess{}, ""},
		{&metricscollector.ExportMetricsPartialSuccess{RejectedDataPoints: 3, ErrorMessage: "too old"}, "the collector rejected 3 records: too old"},
		{&metricscollector.ExportMetricsPartialSuccess{ErrorMessage: "a warning"}, "the collector rejected 0 records: a warning"},
	} {
		c := newCollector(t, nil, func(_ int, w http.ResponseWriter) {
			body, err := proto.Marshal(&metricscollector.ExportMetricsServiceResponse{PartialSuccess: test.partial})
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(body)
		})
		err := export(t)
		if got := errorText(err); got != test.want || len(c.received()) != 1 {
			t.Errorf("error %q, want %q; %d requests", got, test.want, len(c.received()))
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestClient_TLS checks the collector's certificate and presents that of the client.
func TestClient_TLS(t *testing.T) {
	c := newCollector(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
	}, nil)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
	if err := export(t); err == nil || !contains(err.Error(), "certificate") {
		t.Errorf("without the authority: error %v", err)
	}
	authority, key := certificateFiles(t, c.Server)
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)
	if err := export(t); err == nil {
		t.Error("accepted without the client's certificate")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", authority)
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", key)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120000")
	if err := export(t); err != nil || len(c.received()) != 1 {
		t.Errorf("error %v after %d requests", err, len(c.received()))
	}
}

// certificateFiles writes the certificate of a server, which is its own authority, and its key to PEM files.
func certificateFiles(t *testing.T, server *httptest.Server) (certificate, key string) {
	t.Helper()
	pair := server.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
