package conn

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Retry is a retry policy: the number of attempts and the pause between them.
type Retry struct {
	attempts int
	wait     time.Duration
	logger   *slog.Logger
}

// NewRetry returns a policy. Attempts default to 10, the first pause to 100 ms; it doubles up to 3 s. A nil logger is slog.Default.
func NewRetry(attempts int, backoff time.Duration, logger *slog.Logger) Retry {
	if logger == nil {
		logger = slog.Default()
	}
	return Retry{attempts: cmp.Or(max(attempts, 0), 10), wait: cmp.Or(max(backoff, 0), 100*time.Millisecond), logger: logger}
}

// Do repeats call until it succeeds or returns an error for which passes is false. After the last attempt it returns [ErrUnreachable] with the
// cause.
func (p Retry) Do(ctx context.Context, call func() error, passes func(error) bool) error {
	wait := p.wait
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
		p.logger.WarnContext(ctx, "redis not reached, trying again", "attempt", attempt, "wait", wait, "error", err)
		if err := rediscmd.Pause(ctx, wait); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		wait = min(2*wait, 3*time.Second)
	}
}
