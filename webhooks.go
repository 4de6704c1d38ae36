package chatcore

import (
	"errors"

	"chatcore/adapters/memory"
	"chatcore/adapters/subscribers/webhook"
	"chatcore/adapters/telemetry"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// How long the secret before the present one signs after a rotation: by default, and at most.
const (
	DefaultKeepOldSecret = webhook.DefaultKeepOld
	MaxKeepOldSecret     = webhook.MaxKeepOld
)

// WebhookState is the state of an endpoint.
type WebhookState = webhook.State

// The states of endpoints.
const (
	WebhookUp      = webhook.Up      // requests are sent
	WebhookDown    = webhook.Down    // events wait, and no attempts are counted
	WebhookProbing = webhook.Probing // one request is sent to see whether it is up again
)

// Errors of webhooks.
var (
	// ErrWebhookNotFound is returned when there is no webhook of a name.
	ErrWebhookNotFound = webhook.ErrNotFound
	// ErrNoWebhookKey is returned where a secret is made and Config.Webhooks has no key.
	ErrNoWebhookKey = webhook.ErrNoKey
	// ErrWebhookKeyMissing is returned for a secret that a key encrypts that Config.Webhooks does not have.
	ErrWebhookKeyMissing = webhook.ErrKeyMissing
)

// WebhookKey encrypts the secrets of webhooks: 32 random bytes. Its text hides it.
type WebhookKey []byte

// String hides the key in logs.
func (WebhookKey) String() string { return "a key of webhooks" }

// GoString hides the key in logs.
func (k WebhookKey) GoString() string { return k.String() }

// ParseWebhookKey returns the key of its base64.
func ParseWebhookKey(text string) (WebhookKey, error) { return webhook.ParseKey(text) }

// WebhooksConfig configures webhooks. All processes on a log should have the same.
type WebhooksConfig struct {
	// Keys encrypt the secrets that sign requests. The first one encrypts, all decrypt: a new key goes in front, and an old one may go once the secret of each
	// webhook was rotated. Defaults to none: webhooks cannot be created, and do not run.
	Keys []WebhookKey
	// Allow has networks (10.1.0.0/16), addresses and names of hosts that endpoints may have although they are not public. Defaults to none.
	Allow []string
	// AllowHTTP allows endpoints with http. Defaults to https alone.
	AllowHTTP bool
}

// Webhooks returns the administration of webhooks. Processes that call [Core.SubscribeDefined] send the events.
func (c *Core) Webhooks() *webhook.Administration { return c.webhooks }

// keyring returns the keys of the configuration.
func (c WebhooksConfig) keyring() (webhook.Keyring, error) {
	raw := make([][]byte, len(c.Keys))
	for i, k := range c.Keys {
		raw[i] = k
	}
	return webhook.NewKeyring(raw...)
}

// check returns what is wrong with the configuration.
func (c WebhooksConfig) check() error {
	_, keys := c.keyring()
	_, guard := webhook.NewGuard(c.Allow, c.AllowHTTP)
	return errors.Join(renamed(keys, "Webhooks.Keys"), renamed(guard, "Webhooks.Allow"))
}

// renamed returns an error about a setting with the path of that.
func renamed(err error, field string) error {
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok {
		return &domain.InvalidError{Field: field, Problem: invalid.Problem, Allowed: invalid.Allowed}
	}
	return err
}

// openWebhooks makes the runner of the webhooks of this process, and their administration.
func (c *Core) openWebhooks() error {
	config := c.config.Webhooks
	keys, err := config.keyring()
	if err != nil {
		return err
	}
	guard, err := webhook.NewGuard(config.Allow, config.AllowHTTP)
	if err != nil {
		return err
	}
	attempts := c.webhookAttempts
	if attempts == nil { // a custom log without a store for them
		attempts = memory.NewWebhookAttempts(systemClock{})
	}
	c.webhookRunner = webhook.NewRunner(webhook.Config{
		Guard: guard, Keys: keys, Codec: c.codec, Attempts: attempts, Pause: webhook.PauseGone(c.definitions), Observer: webhookObserver{c.telemetry}, Logger: c.config.Logger,
	})
	c.runners[groups.KindWebhook] = c.webhookRunner
	c.webhooks = webhook.NewAdministration(c.definitions, c.webhookRunner)
	return nil
}

// webhookPoints measures the webhooks that run here.
func (c *Core) webhookPoints() (points []telemetry.Point) {
	for _, s := range c.webhookRunner.Statuses() {
		group := telemetry.Group(s.Group)
		for result, n := range s.Results {
			points = append(points, telemetry.Point{Name: metricWebhookRequests, Value: float64(n), By: telemetry.By(group, telemetry.Result(string(result)))})
		}
		for _, state := range []webhook.State{webhook.Up, webhook.Down, webhook.Probing} {
			is := 0.0
			if s.State == state {
				is = 1
			}
			points = append(points, telemetry.Point{Name: metricWebhookState, Value: is, By: telemetry.By(group, telemetry.InState(state.String()))})
		}
		points = append(points, telemetry.Point{Name: metricWebhookInFlight, Value: float64(s.InFlight), By: telemetry.By(group)})
	}
	return points
}

// The names of the metrics of webhooks.
const (
	metricWebhookRequests = "chatcore.webhook.requests"
	metricWebhookState    = "chatcore.webhook.state"
	metricWebhookInFlight = "chatcore.webhook.in_flight"
)
