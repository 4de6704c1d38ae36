package redis

import (
	"context"
	"fmt"
	"log/slog"

	goredis "github.com/redis/go-redis/v9"
)

// driverLog writes go-redis's own log lines to a logger, at debug level: the changes of a connection that matter are logged by the client's watch.
type driverLog struct{ to *slog.Logger }

// Printf implements go-redis's logging interface.
func (l driverLog) Printf(ctx context.Context, format string, v ...any) {
	if l.to.Enabled(ctx, slog.LevelDebug) {
		l.to.DebugContext(ctx, "go-redis", "text", fmt.Sprintf(format, v...))
	}
}

// logDriverTo has go-redis log to a logger. go-redis has one log per process, so the client that was opened last decides.
func logDriverTo(logger *slog.Logger) {
	if logger == nil {
		logger = slog.Default()
	}
	goredis.SetLogger(driverLog{logger})
}
