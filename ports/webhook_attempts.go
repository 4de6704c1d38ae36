package ports

import (
	"context"
	"time"

	"chatcore/domain"
)

// MaxWebhookAttempts is the most attempts of a webhook that [WebhookAttempts] keeps of each kind, failed and successful, and that it returns.
const MaxWebhookAttempts = 100

// WebhookAttemptsTTL is how long the attempts of a webhook are kept after the last one.
const WebhookAttemptsTTL = 7 * 24 * time.Hour

// WebhookAttempt is one request to the endpoint of a webhook.
type WebhookAttempt struct {
	StartedAt time.Time // in milliseconds
	Took      time.Duration
	Event     domain.EventID
	Chat      domain.ChatID // "" for a test
	Seq       domain.Seq    // 0 for a test
	Type      string
	Attempt   int    // from 1
	Status    int    // of the answer; 0 if none came
	OK        bool   // the endpoint took the event
	Error     string // why it did not; "" otherwise
	Answer    string // start of the answer's body
}

// WebhookAttempts keeps the last attempts of each webhook, of all processes. Failed ones are kept apart, so that successes do not displace them. All methods are
// safe for concurrent use. They return [ErrUnavailable] if the store did not answer.
type WebhookAttempts interface {
	// Record adds attempts, the oldest first. After an error some may have been added.
	Record(ctx context.Context, webhook string, attempts []WebhookAttempt) error

	// Attempts returns the last attempts, the latest first, at most [MaxWebhookAttempts]. At least half of these are failed ones where there are so many. With
	// failedOnly it returns failed ones alone.
	Attempts(ctx context.Context, webhook string, failedOnly bool) ([]WebhookAttempt, error)

	// Remove removes all attempts of a webhook.
	Remove(ctx context.Context, webhook string) error
}

// LatestWebhookAttempts merges the failed and the successful attempts of a webhook, each the latest first, as [WebhookAttempts] returns them.
func LatestWebhookAttempts(failed, successful []WebhookAttempt) []WebhookAttempt {
	reserved := min(len(failed), MaxWebhookAttempts/2)
	merged := make([]WebhookAttempt, 0, min(len(failed)+len(successful), MaxWebhookAttempts))
	for len(merged) < MaxWebhookAttempts && len(failed)+len(successful) > 0 {
		full := len(merged)+reserved >= MaxWebhookAttempts
		if len(successful) > 0 && !full && (len(failed) == 0 || successful[0].StartedAt.After(failed[0].StartedAt)) {
			merged, successful = append(merged, successful[0]), successful[1:]
			continue
		}
		if len(failed) == 0 {
			break
		}
		merged, failed = append(merged, failed[0]), failed[1:]
		reserved = max(reserved-1, 0)
	}
	return merged
}
