package connect

import (
	"log/slog"
	"net/http"

	rpc "connectrpc.com/connect"
)

// OnAuthError returns the function that answers requests whose authentication failed, in the form of their protocol: see [auth.Config]. logger receives
// what the client does not see; nil means slog.Default().
func OnAuthError(logger *slog.Logger) func(w http.ResponseWriter, r *http.Request, err error) {
	if logger == nil {
		logger = slog.Default()
	}
	writer := rpc.NewErrorWriter()
	return func(w http.ResponseWriter, r *http.Request, err error) {
		_ = writer.Write(w, r, failureOf(r.Context(), logger, method{name: r.URL.Path}, err).connectError()) // the client is gone
	}
}
