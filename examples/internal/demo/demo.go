// Package demo opens the core of an example program.
package demo

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"chatcore"
	"chatcore/embedded"
)

// Open returns a core on the Redis of REDIS_URL, or on an embedded one if the variable is empty, in a namespace of its own. end ends the core and
// the embedded server.
func Open(ctx context.Context) (core *chatcore.Core, end func() error, err error) {
	url, stop := os.Getenv("REDIS_URL"), func() error { return nil }
	if url == "" {
		server, err := embedded.Start()
		if err != nil {
			return nil, nil, err
		}
		url, stop = server.URL(), server.Close
	}
	config := chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: url, Namespace: "example-" + time.Now().UTC().Format("150405.000000")},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	config.Delivery.Retry.First, config.Delivery.Retry.Attempts = 10*time.Millisecond, 3
	core, err = chatcore.New(ctx, config)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return core, func() error { return errors.Join(core.Close(), stop()) }, nil
}

// Pause waits a moment before the next poll. It returns the error of ctx if that ends first.
func Pause(ctx context.Context) error {
	const interval = 20 * time.Millisecond
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
