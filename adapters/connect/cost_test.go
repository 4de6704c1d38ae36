package connect_test

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"

	"chatcore/adapters/connect"
	v1 "chatcore/gen/chatcore/v1"
)

// costs are what one call costs beside the core.
type costs struct {
	allocations float64
	deadlines   int // that it sets
}

// deadlineWriter counts the deadlines that a handler sets.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	set int
}

func (w *deadlineWriter) SetReadDeadline(time.Time) error  { w.set++; return nil }
func (w *deadlineWriter) SetWriteDeadline(time.Time) error { w.set++; return nil }

// costsOf measures a call of GetChat with a body of a content type. The core answers it from its cache.
func (w *world) costsOf(t *testing.T, contentType string, body []byte) costs {
	t.Helper()
	var writer *deadlineWriter
	call := func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, getPath, bytes.NewReader(body))
		r.Host = "127.0.0.1"
		r.Header.Set("Content-Type", contentType)
		writer = &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
		w.handler.ServeHTTP(writer, r)
		if failed := writer.Result().Trailer.Get("Grpc-Status"); writer.Code != http.StatusOK || failed != "" && failed != "0" {
			t.Fatalf("%s: status %d, %q: %s", contentType, writer.Code, failed, writer.Body)
		}
	}
	const runs, times = 20, 20
	least := testing.AllocsPerRun(runs, call)
	for range times { // subscribers of the core allocate as well, now and then
		least = min(least, testing.AllocsPerRun(runs, call))
	}
	return costs{allocations: least, deadlines: writer.set}
}

// TestCosts_OfACall counts what a call costs, with the request and the recorder of the test. A call sets no deadlines of the connection, each of which costs
// HTTP/2 a message to another goroutine. A call that nobody observes is not measured.
func TestCosts_OfACall(t *testing.T) {
	idle := connect.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}
	observed, unobserved := memoryWorld(t, worldConfig{}), memoryWorld(t, worldConfig{api: idle})
	for contentType, most := range map[string]float64{"application/json": 106, "application/grpc": 89} {
		cost := func(w *world) costs {
			req := &v1.GetChatRequest{ChatId: w.chat(t)}
			body := []byte(`{"chatId":"` + req.GetChatId() + `"}`)
			if contentType == "application/grpc" {
				message, err := proto.Marshal(req)
				if err != nil {
					t.Fatal(err)
				}
				body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
			}
			return w.costsOf(t, contentType, body)
		}
		all, bare := cost(observed), cost(unobserved)
		if all.deadlines != 0 || bare.deadlines != 0 {
			t.Errorf("%s: a call sets %d deadlines, and %d unobserved", contentType, all.deadlines, bare.deadlines)
		}
		if bare.allocations > most {
			t.Errorf("%s: an unobserved call allocates %v times, want at most %v", contentType, bare.allocations, most)
		}
		const telemetry = 15 // allocations of otelconnect, at least
		if bare.allocations > all.allocations-telemetry {
			t.Errorf("%s: %v allocations unobserved, and %v otherwise", contentType, bare.allocations, all.allocations)
		}
	}
}
