package connect

import (
	"cmp"
	"log/slog"
	"net/http"

	rpc "connectrpc.com/connect"
)

// AuthError returns a function for [auth.Config.OnError]: it answers a request whose authentication failed in the form of its protocol. The logger
// receives errors that clients see only the id of; nil means slog.Default().
func AuthError(logger *slog.Logger) func(w http.ResponseWriter, r *http.Request, err error) {
	errors := rpc.NewErrorWriter()
	return func(w http.ResponseWriter, r *http.Request, err error) {
		coded := failureOf(r.Context(), cmp.Or(logger, slog.Default()), method{}, err).connectError()
		_ = errors.Write(w, r, coded) // the client is gone
	}
}
