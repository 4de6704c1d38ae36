package server

import (
	"io"
	"net/http"
	"time"
)

// body is the body of a request. It notes when its handler waits for it.
type body struct {
	io.ReadCloser
	request *request
}

func (b *body) Read(p []byte) (int, error) {
	b.request.reading.Store(true)
	defer b.request.reading.Store(false)
	return b.ReadCloser.Read(p)
}

// response notes when its handler waits for the client, counts the bytes of the body, and keeps the status: 0 if the handler began no response.
type response struct {
	http.ResponseWriter
	request *request
	status  int
	bytes   int64
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.begin()
	defer w.end()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush implements [http.Flusher].
func (w *response) Flush() { _ = w.FlushError() }

// FlushError implements the method that [http.ResponseController] calls.
func (w *response) FlushError() error {
	w.begin()
	defer w.end()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// begin notes that the handler waits for the client until end.
func (w *response) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.request.writing.Store(time.Now().UnixNano())
}

func (w *response) end() { w.request.writing.Store(0) }

// Unwrap returns the writer for [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
