package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

// preface begins HTTP/2 on a connection.
func (r *running) preface(conn net.Conn) *http2.Framer {
	r.t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		r.t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		r.t.Fatal(err)
	}
	return framer
}

// frames opens a connection of HTTP/2 whose streams have no window.
func (r *running) frames() (*http2.Framer, net.Conn) {
	r.t.Helper()
	conn := r.dial()
	return r.preface(conn), conn
}

// block returns the fields of a request.
func (r *running) block(method string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", method}, {":scheme", "http"}, {":path", "/flood"}, {":authority", r.address}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			r.t.Fatal(err)
		}
	}
	return block.Bytes()
}

// headers begins a request.
func (r *running) headers(framer *http2.Framer, id uint32, method string, end bool) {
	r.t.Helper()
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block(method), EndHeaders: true, EndStream: end}); err != nil {
		r.t.Fatal(err)
	}
}

// Bounds of what may remain after a flood.
const (
	remainingGoroutines = 20
	remainingHeap       = 16 << 20
)

// flood is a kind of flood: the frames of a step, and whether the server must end the connection before all steps were sent.
type flood struct {
	steps uint32
	ends  bool
	step  func(r *running, framer *http2.Framer, i uint32) error
}

func floods() map[string]flood {
	request := func(r *running, framer *http2.Framer, id uint32, method string, endHeaders, endStream bool) error {
		return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block(method), EndHeaders: endHeaders, EndStream: endStream})
	}
	reset := func(method string) func(r *running, framer *http2.Framer, i uint32) error {
		return func(r *running, framer *http2.Framer, i uint32) error {
			return errors.Join(request(r, framer, 2*i+1, method, true, true), framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
		}
	}
	begun := func(method string, then func(framer *http2.Framer) error) func(r *running, framer *http2.Framer, i uint32) error {
		return func(r *running, framer *http2.Framer, i uint32) error {
			if i == 0 {
				return request(r, framer, 1, method, method == http.MethodPost, false)
			}
			return then(framer)
		}
	}
	field := append([]byte{0, 4, 'x', '-', 'a', 'b', 127, 0xf1, 6}, make([]byte, 1008)...) // a literal of 1,008 bytes
	return map[string]flood{
		"rapid reset":                  {50_000, false, reset(http.MethodGet)},
		"rapid reset of busy handlers": {50_000, true, reset("BUSY")},
		"streams": {50_000, false, func(r *running, framer *http2.Framer, i uint32) error {
			return request(r, framer, 2*i+1, http.MethodPost, true, false)
		}},
		"CONTINUATION":       {50_000, true, begun(http.MethodGet, func(f *http2.Framer) error { return f.WriteContinuation(1, false, field) })},
		"empty CONTINUATION": {50_000, false, begun(http.MethodGet, func(f *http2.Framer) error { return f.WriteContinuation(1, false, nil) })},
		"empty DATA":         {50_000, false, begun(http.MethodPost, func(f *http2.Framer) error { return f.WriteData(1, false, nil) })},
		"SETTINGS": {50_000, false, func(_ *running, f *http2.Framer, _ uint32) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		}},
		"PING": {5_000_000, true, func(_ *running, f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) }},
		"PRIORITY": {50_000, false, func(_ *running, f *http2.Framer, i uint32) error {
			return f.WritePriority(2*i+3, http2.PriorityParam{Weight: 1})
		}},
		"WINDOW_UPDATE": {50_000, false, func(_ *running, f *http2.Framer, _ uint32) error { return f.WriteWindowUpdate(0, 1) }},
	}
}

// TestFlood sends frames as fast as the server reads them, and reads nothing. Meanwhile and afterwards others are answered, and the flood leaves
// nothing.
func TestFlood(t *testing.T) {
	for name, flood := range floods() {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == "BUSY":
					<-release
				case r.URL.Path == "/flood":
					<-r.Context().Done()
				}
			})
			r := start(t, server.Config{Handler: handler, MaxInFlight: 300, Logger: slog.New(slog.DiscardHandler)})
			r.serves("before a flood")
			goroutines, heap := remains()
			conn := r.dial()
			r.preface(conn)
			out := bufio.NewWriterSize(conn, 64<<10) // few system calls
			framer := http2.NewFramer(out, conn)
			sent := uint32(0)
			for ; sent < flood.steps; sent++ {
				if sent == 20_000 {
					r.serves("during a flood")
					bounded(t, goroutines+2*100, heap) // one request for each stream that the connection may have
				}
				if err := flood.step(r, framer, sent); err != nil {
					break // the server has closed the connection
				}
			}
			_ = out.Flush()
			bounded(t, goroutines+2*100, heap)
			if flood.ends {
				ends(t, conn)
			}
			_ = conn.Close()
			r.serves("after a flood")
			close(release)
			wait.Until(t, "no request remains", func() bool { return r.Stats().InFlight == 0 })
			bounded(t, goroutines, heap)
			t.Logf("%d of %d steps were sent", sent, flood.steps)
		})
	}
}

// ends waits until the server ends a connection.
func ends(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(wait.Limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server keeps the connection")
	}
}

// bounded waits until goroutines and heap are near their numbers before a flood.
func bounded(t *testing.T, goroutines int, heap uint64) {
	t.Helper()
	var nowGoroutines int
	var nowHeap uint64
	ctx, end := context.WithTimeout(t.Context(), wait.Limit)
	defer end()
	for ctx.Err() == nil {
		if nowGoroutines, nowHeap = remains(); nowGoroutines <= goroutines+remainingGoroutines && nowHeap <= heap+remainingHeap {
			return
		}
	}
	t.Errorf("%d goroutines and %d bytes; before the flood %d and %d", nowGoroutines, nowHeap, goroutines, heap)
}

func remains() (goroutines int, heap uint64) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return runtime.NumGoroutine(), stats.HeapAlloc
}
