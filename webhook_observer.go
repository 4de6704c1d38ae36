package chatcore

import (
	"context"

	"chatcore/adapters/subscribers/webhook"
	"chatcore/adapters/telemetry"
)

// webhookObserver traces and measures the requests of webhooks.
type webhookObserver struct{ telemetry *telemetry.Telemetry }

var _ webhook.Observer = webhookObserver{}

// WebhookRequest implements [webhook.Observer].
func (o webhookObserver) WebhookRequest(ctx context.Context, r webhook.RequestInfo) (context.Context, string, func(string, int, error)) {
	return o.telemetry.WebhookRequest(ctx, telemetry.WebhookRequest{
		Group: r.Group, Host: r.Host, Type: r.Type, Chat: r.Chat, Seq: r.Seq, Attempt: r.Attempt, TraceParent: r.TraceParent,
	})
}
