package server

import (
	"log/slog"
	"net/http"
	"time"
)

// Bounds of the parts of a line that a client chooses, in bytes.
const (
	maxLoggedPath   = 256
	maxLoggedMethod = 16
)

// observed returns the writer of a request's response, and a function that logs the request at level debug. The line never has a query, a header or
// a body. Nothing is measured unless the level is logged.
func (s *Server) observed(w http.ResponseWriter, r *http.Request, state *request) (observed http.ResponseWriter, log func()) {
	if !s.config.Logger.Enabled(r.Context(), slog.LevelDebug) {
		return w, func() {}
	}
	began, counted := time.Now(), &countedResponse{ResponseWriter: w}
	return counted, func() {
		principal := ""
		if name := state.principal.Load(); name != nil {
			principal = *name
		}
		s.config.Logger.DebugContext(r.Context(), "request", "method", short(r.Method, maxLoggedMethod), "path", shortPath(r), "protocol", r.Proto,
			"status", counted.status, "bytes", counted.bytes, "duration", time.Since(began), "principal", principal, "peer", r.RemoteAddr)
	}
}

func shortPath(r *http.Request) string { return short(r.URL.Path, maxLoggedPath) }

func short(text string, most int) string { return text[:min(len(text), most)] }

// countedResponse counts the bytes of a response's body, and keeps its status; 0 is the status of a response that was never begun.
type countedResponse struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *countedResponse) WriteHeader(status int) {
	if c.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *countedResponse) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Flush implements [http.Flusher].
func (c *countedResponse) Flush() {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	_ = http.NewResponseController(c.ResponseWriter).Flush() // net/http's writers can
}

// Unwrap returns the writer for [http.ResponseController].
func (c *countedResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }
