package connect

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"
)

// Bounds of the writes of streams.
const (
	writeTimeout = 10 * time.Second // of one write: a client that accepts nothing for longer is gone
	endTimeout   = time.Second      // of a write that is under way, or begins, once the stream has to end
	batchBytes   = 64 << 10         // bytes of messages from which on a batch is written
)

// streamWriter is the response of a stream. Each write has a deadline of its own. Between hold and release, writes and flushes are collected, so that
// messages that are ready together take one write.
type streamWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	held    *bytes.Buffer // of the handler's goroutine; nil between release and hold

	mu sync.Mutex
	// mu guards: writing, ending, closed.
	writing bool // a write waits for the client
	ending  bool // the stream has to end: writes wait for endTimeout at most
	closed  bool // the handler has returned
}

func newStreamWriter(w http.ResponseWriter) *streamWriter {
	return &streamWriter{ResponseWriter: w, control: http.NewResponseController(w)}
}

// batches are the buffers of batches.
//
//nolint:gochecknoglobals // a pool
var batches = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// hold collects what is written until release.
func (w *streamWriter) hold() {
	w.held, _ = batches.Get().(*bytes.Buffer)
}

// full reports whether a batch is as large as one may become.
func (w *streamWriter) full() bool { return w.held.Len() >= batchBytes }

// release writes the batch, and flushes it.
func (w *streamWriter) release() error {
	batch := w.held
	w.held = nil
	defer func() {
		if batch.Cap() <= 2*batchBytes {
			batch.Reset()
			batches.Put(batch)
		}
	}()
	if batch.Len() == 0 {
		return nil
	}
	w.begin()
	defer w.end()
	if _, err := w.ResponseWriter.Write(batch.Bytes()); err != nil {
		return err
	}
	return w.control.Flush()
}

// Write implements [http.ResponseWriter].
func (w *streamWriter) Write(p []byte) (int, error) {
	if w.held != nil {
		return w.held.Write(p)
	}
	w.begin()
	defer w.end()
	return w.ResponseWriter.Write(p)
}

// Flush implements [http.Flusher].
func (w *streamWriter) Flush() {
	if w.held != nil {
		return
	}
	w.begin()
	defer w.end()
	_ = w.control.Flush() // the next write has the error
}

// Unwrap returns the writer for [http.ResponseController].
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type streamWriterKey struct{}

// with returns a context with the writer of a stream.
func (w *streamWriter) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, streamWriterKey{}, w)
}

// streamWriterOf returns the writer of a stream by the context of its handler.
func streamWriterOf(ctx context.Context) *streamWriter {
	w, _ := ctx.Value(streamWriterKey{}).(*streamWriter)
	return w
}

// begin sets the deadline of a write. A writer without deadlines is one of a test.
func (w *streamWriter) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	timeout := writeTimeout
	if w.ending {
		timeout = endTimeout
	}
	w.writing = true
	_ = w.control.SetWriteDeadline(time.Now().Add(timeout))
}

// end lifts the deadline: that of HTTP/2 would end a stream that is not writing.
func (w *streamWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	_ = w.control.SetWriteDeadline(time.Time{})
}

// hurry bounds the write that is under way, and all further ones, by endTimeout. It may be called by any goroutine.
func (w *streamWriter) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending || w.closed {
		return
	}
	w.ending = true
	if w.writing {
		_ = w.control.SetWriteDeadline(time.Now().Add(endTimeout))
	}
}

// close ends the use of the response by hurry. The handler calls it before it returns.
func (w *streamWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}
