package main

import (
	"fmt"
	"io"
	"log/slog"

	"chatcore/domain"
)

// logSettings are the level and format of the log.
type logSettings struct{ level, format string }

// logger returns a logger to w. fallback is its level if none is set.
func (l logSettings) logger(w io.Writer, fallback slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: fallback}
	switch l.level {
	case "":
	case "debug":
		options.Level = slog.LevelDebug
	case "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, &domain.InvalidError{Field: "log.level", Problem: fmt.Sprintf("is %q", l.level), Allowed: "debug, info, warn, error"}
	}
	switch l.format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, &domain.InvalidError{Field: "log.format", Problem: fmt.Sprintf("is %q", l.format), Allowed: "text, json"}
}
