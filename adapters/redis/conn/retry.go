package conn

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"chatcore/internal/backoff"
	"chatcore/ports"
)

// longestPause bounds the pause between two attempts, unless the first one is longer.
const longestPause = 3 * time.Second

// Retry is a retry policy: the number of attempts and the pause between them.
type Retry struct {
	attempts int
	pauses   backoff.Policy
	logger   *slog.Logger
}

// NewRetry returns a policy. Attempts default to 10, the first pause to 100 ms; it doubles up to 3 s. A nil logger is slog.Default.
func NewRetry(attempts int, first time.Duration, logger *slog.Logger) Retry {
	if logger == nil {
		logger = slog.Default()
	}
	first = cmp.Or(max(first, 0), 100*time.Millisecond)
	return Retry{attempts: cmp.Or(max(attempts, 0), 10), pauses: backoff.Policy{First: first, Max: max(first, longestPause)}, logger: logger}
}

// Do repeats call until it succeeds or returns an error for which passes is false. After the last attempt it returns [ErrUnreachable] with the
// cause.
func (p Retry) Do(ctx context.Context, call func() error, passes func(error) bool) error {
	for attempt := 1; ; attempt++ {
		err := call()
		ended := ports.Ended(ctx, err)
		switch {
		case err == nil:
			return nil
		case ended != nil:
			return fmt.Errorf("%w: %w", ErrUnreachable, ended)
		case !passes(err):
			return err
		case attempt == p.attempts:
			return fmt.Errorf("%w in %d attempts; is it running, all of it, and is the URL right? %w", ErrUnreachable, attempt, err)
		}
		wait := p.pauses.Pause(attempt)
		p.logger.WarnContext(ctx, "redis not reached, trying again", "attempt", attempt, "wait", wait, "error", err)
		if err := backoff.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
}
