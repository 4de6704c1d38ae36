package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
)

// Paths that every server answers without authentication.
const (
	LivePath  = "/livez"  // 200 while the process runs
	ReadyPath = "/readyz" // 200 while the process should get requests, otherwise 503
)

// Probes answers /livez and /readyz. It is safe for concurrent use.
type Probes struct {
	ready    func(context.Context) error
	logger   *slog.Logger
	draining atomic.Bool

	mu  sync.Mutex // guards bad
	bad bool       // the last result was an error, and is logged
}

// NewProbes returns probes. ready returns nil if the process should get requests, and otherwise the reason; it is called for each request for /readyz,
// so that it must be cheap. The logger receives a line for each change.
func NewProbes(ready func(context.Context) error, logger *slog.Logger) *Probes {
	return &Probes{ready: ready, logger: logger}
}

// Drain makes /readyz return 503 from now on.
func (p *Probes) Drain() { p.draining.Store(true) }

// answers reports whether a request is for a probe.
func (*Probes) answers(r *http.Request) bool {
	return r.URL.Path == LivePath || r.URL.Path == ReadyPath
}

// ServeHTTP implements [http.Handler] for both paths. Bodies are one word and a newline: live, ready, not ready or draining.
func (p *Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	status, text := p.result(r)
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client may be gone
}

func (p *Probes) result(r *http.Request) (status int, text string) {
	if r.URL.Path == LivePath {
		return http.StatusOK, "live"
	}
	if p.draining.Load() {
		return http.StatusServiceUnavailable, "draining"
	}
	err := p.ready(r.Context())
	if r.Context().Err() == nil {
		p.logChange(r.Context(), err)
	}
	if err != nil {
		return http.StatusServiceUnavailable, "not ready"
	}
	return http.StatusOK, "ready"
}

// logChange logs a result that differs from the one before, so that a client cannot fill the log.
func (p *Probes) logChange(ctx context.Context, err error) {
	p.mu.Lock()
	changed := p.bad != (err != nil)
	p.bad = err != nil
	p.mu.Unlock()
	switch {
	case changed && err != nil:
		p.logger.WarnContext(ctx, "not ready", "error", err)
	case changed:
		p.logger.InfoContext(ctx, "ready again")
	}
}
