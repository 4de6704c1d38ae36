package conn

import (
	"context"
	"fmt"
	"log/slog"

	goredis "github.com/redis/go-redis/v9"
)

// driverLog writes go-redis's log lines to a logger, at debug level. The client's watch logs the relevant changes of connections.
type driverLog struct{ to *slog.Logger }

// Printf implements go-redis's logging interface.
func (l driverLog) Printf(ctx context.Context, format string, v ...any) {
	if l.to.Enabled(ctx, slog.LevelDebug) {
		l.to.DebugContext(ctx, "go-redis", "text", fmt.Sprintf(format, v...))
	}
}

// logDriverTo redirects go-redis's log to a logger. go-redis has one log per process, so the last call counts.
func logDriverTo(logger *slog.Logger) {
	if logger == nil {
		logger = slog.Default()
	}
	goredis.SetLogger(driverLog{logger})
}
