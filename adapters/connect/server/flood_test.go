package server_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"

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

// TestFlood sends frames as fast as the server reads them. Meanwhile and afterwards others are answered, and the flood leaves nothing.
func TestFlood(t *testing.T) {
	const frames = 50_000
	for name, flood := range map[string]func(r *running, framer *http2.Framer, i uint32) error{
		"rapid reset": func(r *running, framer *http2.Framer, i uint32) error {
			id := 2*i + 1
			if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block("GET"), EndHeaders: true, EndStream: true}); err != nil {
				return err
			}
			return framer.WriteRSTStream(id, http2.ErrCodeCancel)
		},
		"streams": func(r *running, framer *http2.Framer, i uint32) error {
			return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: r.block("POST"), EndHeaders: true})
		},
		"CONTINUATION": func(r *running, framer *http2.Framer, i uint32) error {
			if i == 0 {
				return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block("GET")})
			}
			field := append([]byte{0, 4, 'x', '-', 'a', 'b', 127, 0xf1, 6}, make([]byte, 1008)...) // a literal of 1,008 bytes
			return framer.WriteContinuation(1, false, field)
		},
		"empty CONTINUATION": func(r *running, framer *http2.Framer, i uint32) error {
			if i == 0 {
				return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block("GET")})
			}
			return framer.WriteContinuation(1, false, nil)
		},
		"SETTINGS": func(_ *running, framer *http2.Framer, _ uint32) error {
			return framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		},
		"PING": func(_ *running, framer *http2.Framer, _ uint32) error { return framer.WritePing(false, [8]byte{}) },
		"empty DATA": func(r *running, framer *http2.Framer, i uint32) error {
			if i == 0 {
				return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block("POST"), EndHeaders: true})
			}
			return framer.WriteData(1, false, nil)
		},
		"PRIORITY": func(_ *running, framer *http2.Framer, i uint32) error {
			return framer.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 0, Weight: 1})
		},
		"WINDOW_UPDATE": func(_ *running, framer *http2.Framer, _ uint32) error { return framer.WriteWindowUpdate(0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/flood" {
					<-r.Context().Done()
				}
			})
			r := start(t, server.Config{Handler: handler, MaxInFlight: 300, Logger: slog.New(slog.DiscardHandler)})
			r.serves("before a flood")
			goroutines, heap := remains()
			framer, conn := r.frames() // it reads nothing
			sent := uint32(0)
			for ; sent < frames; sent++ {
				if sent == frames/2 {
					r.serves("during a flood")
					bounded(t, goroutines+2*100, heap) // one request for each stream that the connection may have
				}
				if err := flood(r, framer, sent); err != nil {
					break // the server has closed the connection
				}
			}
			_ = conn.Close()
			r.serves("after a flood")
			wait.Until(t, "no request remains", func() bool { return r.Stats().InFlight == 0 })
			bounded(t, goroutines, heap)
			t.Logf("%d of %d frames were sent", sent, frames)
		})
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
