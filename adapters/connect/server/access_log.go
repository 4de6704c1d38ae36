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

// log logs a request at level debug. The line never has a query, a header or a body.
func (s *Server) log(r *http.Request, w *response) {
	if !s.config.Logger.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	principal := ""
	if name := w.request.principal.Load(); name != nil {
		principal = *name
	}
	s.config.Logger.DebugContext(r.Context(), "request", "method", short(r.Method, maxLoggedMethod), "path", shortPath(r), "protocol", r.Proto,
		"status", w.status, "bytes", w.bytes, "duration", time.Since(w.request.began), "principal", principal, "peer", r.RemoteAddr)
}

func shortPath(r *http.Request) string { return short(r.URL.Path, maxLoggedPath) }

func short(text string, most int) string { return text[:min(len(text), most)] }
