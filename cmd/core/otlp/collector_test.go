package otlp_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is one that a collector received.
type request struct {
	path   string
	header http.Header
	body   []byte // decompressed
	plain  bool   // it was not compressed
}

// decode reads a request's body into the message of the collector's service, without a field that the message does not have.
func (r request) decode(t *testing.T, into proto.Message) {
	t.Helper()
	if err := (proto.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(r.body, into); err != nil {
		t.Fatal(err)
	}
	if unknown := into.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Fatalf("unknown fields %x", unknown)
	}
}

// collector is a receiver on a loopback port. answer writes the response to the n-th request, from 1; nil is an empty 200.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

func newCollector(t *testing.T, start func(*httptest.Server), answer func(n int, w http.ResponseWriter)) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unpacked
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
			return
		}
		c.mu.Lock()
		c.requests = append(c.requests, request{path: r.URL.RequestURI(), header: r.Header.Clone(), body: content, plain: body == io.Reader(r.Body)})
		n := len(c.requests)
		c.mu.Unlock()
		if answer != nil {
			answer(n, w)
		}
	}))
	if start == nil {
		start = (*httptest.Server).Start
	}
	start(c.Server)
	t.Cleanup(c.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	return c
}

// received returns the requests so far.
func (c *collector) received() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]request(nil), c.requests...)
}
