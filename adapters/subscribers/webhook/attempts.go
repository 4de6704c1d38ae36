package webhook

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"chatcore/domain"
	"chatcore/ports"
)

// Bounds of the record of attempts.
const (
	recordEvery     = time.Second
	recordTimeout   = 5 * time.Second
	recordFailed    = ports.MaxWebhookAttempts // attempts of a batch that failed
	recordSucceeded = 20                       // and that succeeded: more would cost the store a lot, and are displaced at once
)

// recorder stores the attempts of a webhook, in batches, about once a second while there are some. It keeps the last ones of a batch, failed ones apart. A batch
// that cannot be stored is lost.
type recorder struct {
	store   ports.WebhookAttempts
	webhook string
	logger  *slog.Logger

	mu        sync.Mutex // guards the fields below
	failed    []ports.WebhookAttempt
	succeeded []ports.WebhookAttempt
	timer     *time.Timer // stores the batch; nil while it is empty
	closed    bool
	warned    bool // that a batch was lost; until one is stored

	storing sync.Mutex // one batch at a time is stored
}

func newRecorder(store ports.WebhookAttempts, webhook string, logger *slog.Logger) *recorder {
	return &recorder{store: store, webhook: webhook, logger: logger}
}

// add adds an attempt to the batch.
func (r *recorder) add(a ports.WebhookAttempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.OK {
		r.succeeded = keepLast(r.succeeded, a, recordSucceeded)
	} else {
		r.failed = keepLast(r.failed, a, recordFailed)
	}
	if r.timer == nil && !r.closed {
		r.timer = time.AfterFunc(recordEvery, func() { r.flush(context.Background()) })
	}
}

func keepLast(all []ports.WebhookAttempt, a ports.WebhookAttempt, most int) []ports.WebhookAttempt {
	if len(all) < most {
		return append(all, a)
	}
	copy(all, all[1:])
	all[most-1] = a
	return all
}

// flush stores the batch.
func (r *recorder) flush(ctx context.Context) {
	r.storing.Lock()
	defer r.storing.Unlock()
	r.mu.Lock()
	batch := append(r.failed, r.succeeded...)
	r.failed, r.succeeded, r.timer = nil, nil, nil
	r.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	err := r.store.Record(ctx, r.webhook, batch)
	r.mu.Lock()
	warn := err != nil && !r.warned
	r.warned = err != nil
	r.mu.Unlock()
	if warn {
		r.logger.WarnContext(ctx, "attempts of webhook not recorded", "group", r.webhook, "attempts", len(batch), "error", err)
	}
}

// close stores what is left. Attempts that are added later are stored by nobody.
func (r *recorder) close(ctx context.Context) {
	r.mu.Lock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.flush(ctx)
}

// maxError is the most bytes of the error of an attempt.
const maxError = 512

func attemptOf(m *message, a answer, began time.Time) ports.WebhookAttempt {
	text := errText(a.err)
	if len(text) > maxError {
		text = text[:maxError]
	}
	return ports.WebhookAttempt{
		StartedAt: began.UTC().Truncate(time.Millisecond), Took: time.Since(began), Event: domain.EventID(m.id), Chat: m.chat, Seq: m.seq, Type: m.typ, Attempt: m.attempt,
		Status: a.status, OK: a.err == nil, Error: text, Answer: a.body,
	}
}

// testMessage returns the message of a test.
func testMessage(webhook string, now time.Time) message {
	id := uuid.NewString()
	data, _ := json.Marshal(struct {
		EventID   string `json:"eventId"`
		Type      string `json:"type"`
		Timestamp string `json:"timestamp"`
		V         int    `json:"v"`
		Webhook   string `json:"webhook"`
	}{id, TestType, now.UTC().Format("2006-01-02T15:04:05.000Z"), 1, webhook})
	return message{group: webhook, id: id, typ: TestType, attempt: 1, body: envelope(TestType, now, data)}
}
