package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chatcore/adapters/subscribers"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// ErrNotFound is returned when there is no webhook of a name.
var ErrNotFound = errors.New("no such webhook")

// Bounds of secrets.
const (
	MaxKeepOld     = 7 * 24 * time.Hour // how long a rotated secret signs
	DefaultKeepOld = 24 * time.Hour
	maxSecrets     = 3                // that sign: a repeated rotation then takes none from receivers that have not learned of the first
	shownAgain     = 10 * time.Minute // how long a repeated Create returns the secret
)

// Administration defines webhooks, and changes and removes them. A change takes effect in this process at once, and in the others within about a second. Its
// methods are safe for concurrent use.
//
// Its errors are those of [subscribers.Administration], and [ErrNotFound], [ErrNoKey] and [ErrKeyMissing].
type Administration struct {
	definitions *subscribers.Administration
	runner      *Runner
}

// NewAdministration returns an administration of the webhooks that a runner runs.
func NewAdministration(definitions *subscribers.Administration, runner *Runner) *Administration {
	return &Administration{definitions, runner}
}

// Webhook is a webhook, and its state in this process.
type Webhook struct {
	groups.Definition
	Endpoint Status
	Running  bool // it runs in this process; Endpoint is its state then
}

// OldSecretExpiresAt returns when the last of the secrets before the present one expires, and the zero time if none signs.
func (w Webhook) OldSecretExpiresAt(now time.Time) (last time.Time) {
	for _, s := range w.Webhook.Secrets {
		if s.ExpiresAt.After(now) && s.ExpiresAt.After(last) {
			last = s.ExpiresAt
		}
	}
	return last
}

// Create defines a webhook with a new secret, which no other call returns. Events that are appended after Create has returned reach it. d has no secrets. A
// repeated call returns the same webhook and, for 10 minutes, its secret; later it returns [groups.ErrDefined].
func (a *Administration) Create(ctx context.Context, d groups.Definition) (Webhook, Secret, error) {
	d = d.Clone()
	d.Kind = groups.KindWebhook
	if d.Webhook == nil {
		d.Webhook = &groups.Webhook{}
	}
	if _, err := a.runner.config.Guard.Check(d.Webhook.URL); err != nil {
		return Webhook{}, nil, err
	}
	secret := NewSecret()
	sealed, err := a.runner.config.Keys.Seal(d.Group, secret)
	if err != nil {
		return Webhook{}, nil, err
	}
	d.Webhook.Secrets = []groups.SealedSecret{sealed}
	created, err := a.definitions.Create(ctx, d)
	if err != nil {
		return Webhook{}, nil, err
	}
	if !slices.ContainsFunc(created.Webhook.Secrets, func(s groups.SealedSecret) bool { return bytes.Equal(s.Sealed, sealed.Sealed) }) {
		if time.Since(created.CreatedAt) > shownAgain || len(created.Webhook.Secrets) != 1 {
			return Webhook{}, nil, groups.ErrDefined
		}
		if secret, err = a.runner.config.Keys.Open(d.Group, created.Webhook.Secrets[0]); err != nil {
			return Webhook{}, nil, err
		}
	}
	return a.view(created), secret, nil
}

// Get returns a webhook.
func (a *Administration) Get(ctx context.Context, name string) (Webhook, error) {
	d, err := a.definitions.Get(ctx, name)
	if err == nil {
		err = isWebhook(d)
	}
	if err != nil {
		return Webhook{}, named(name, err)
	}
	return a.view(d), nil
}

// List returns all webhooks, sorted by name.
func (a *Administration) List(ctx context.Context) ([]Webhook, error) {
	all, err := a.definitions.List(ctx)
	if err != nil {
		return nil, err
	}
	var webhooks []Webhook
	for _, d := range all {
		if isWebhook(d) == nil {
			webhooks = append(webhooks, a.view(d))
		}
	}
	return webhooks, nil
}

// Update changes a webhook as [subscribers.Administration.Update] does. change cannot change its secrets.
func (a *Administration) Update(ctx context.Context, name string, version uint64, change func(d *groups.Definition) error) (Webhook, error) {
	return a.update(ctx, name, version, func(d *groups.Definition) error {
		secrets := d.Webhook.Secrets
		if err := change(d); err != nil {
			return err
		}
		if d.Webhook == nil {
			return &domain.InvalidError{Field: "webhook", Problem: "is missing", Allowed: "an endpoint"}
		}
		d.Webhook.Secrets = secrets
		_, err := a.runner.config.Guard.Check(d.Webhook.URL)
		return err
	})
}

func (a *Administration) update(ctx context.Context, name string, version uint64, change func(d *groups.Definition) error) (Webhook, error) {
	d, err := a.definitions.Update(ctx, name, version, func(d *groups.Definition) error {
		if err := isWebhook(*d); err != nil {
			return err
		}
		*d = d.Clone()
		return change(d)
	})
	if err != nil {
		return Webhook{}, named(name, err)
	}
	return a.view(d), nil
}

// Rotate gives a webhook a new secret and returns it. The secrets before sign beside it for keepOld, 0 to [MaxKeepOld]; 0: not at all. Those whose key is missing
// are removed, and the others are encrypted with the first key. A repeated call makes another secret, and the secrets of before both calls still sign.
func (a *Administration) Rotate(ctx context.Context, name string, keepOld time.Duration) (Webhook, Secret, error) {
	if keepOld < 0 || keepOld > MaxKeepOld {
		return Webhook{}, nil, &domain.InvalidError{Field: "keepOld", Problem: "is " + keepOld.String(), Allowed: "0 to " + MaxKeepOld.String()}
	}
	secret := NewSecret()
	w, err := a.update(ctx, name, 0, func(d *groups.Definition) error {
		sealed, err := a.runner.config.Keys.Seal(name, secret)
		if err != nil {
			return err
		}
		kept, err := a.keep(*d, time.Now(), keepOld)
		if err != nil {
			return err
		}
		d.Webhook.Secrets = append([]groups.SealedSecret{sealed}, kept...)
		return nil
	})
	return w, secret, err
}

// keep returns the secrets that sign beside a new one.
func (a *Administration) keep(d groups.Definition, now time.Time, keepOld time.Duration) (kept []groups.SealedSecret, err error) {
	if keepOld == 0 {
		return nil, nil
	}
	until := now.Add(keepOld).UTC().Truncate(time.Millisecond)
	for _, s := range d.Webhook.Secrets {
		plain, err := a.runner.config.Keys.Open(d.Group, s)
		if err != nil || !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) || len(kept) == maxSecrets-1 {
			continue
		}
		again, err := a.runner.config.Keys.Seal(d.Group, plain)
		if err != nil {
			return nil, err
		}
		again.ExpiresAt = s.ExpiresAt
		if again.ExpiresAt.IsZero() || again.ExpiresAt.After(until) {
			again.ExpiresAt = until
		}
		kept = append(kept, again)
	}
	return kept, nil
}

// Pause has a webhook send nothing until it is resumed. Its lag grows meanwhile.
func (a *Administration) Pause(ctx context.Context, name string) (Webhook, error) {
	return a.switched(ctx, name, func() (groups.Definition, error) { return a.definitions.Pause(ctx, name, "") })
}

// Resume ends a pause, also one because of an answer 410.
func (a *Administration) Resume(ctx context.Context, name string) (Webhook, error) {
	return a.switched(ctx, name, func() (groups.Definition, error) { return a.definitions.Resume(ctx, name) })
}

func (a *Administration) switched(ctx context.Context, name string, change func() (groups.Definition, error)) (Webhook, error) {
	if _, err := a.Get(ctx, name); err != nil {
		return Webhook{}, err
	}
	d, err := change()
	if err != nil {
		return Webhook{}, named(name, err)
	}
	return a.view(d), nil
}

// Delete removes a webhook with its group, its dead letters and its attempts. Events that it has not finished are never sent.
func (a *Administration) Delete(ctx context.Context, name string) error {
	if _, err := a.Get(ctx, name); err != nil {
		return err
	}
	if err := a.runner.config.Attempts.Remove(ctx, name); err != nil {
		return err
	}
	return named(name, a.definitions.Delete(ctx, name))
}

// Test sends an event of [TestType] to the endpoint, once, from this process, and returns what came of it. It works while the webhook is paused.
func (a *Administration) Test(ctx context.Context, name string) (ports.WebhookAttempt, error) {
	w, err := a.Get(ctx, name)
	if err != nil {
		return ports.WebhookAttempt{}, err
	}
	return a.runner.Test(ctx, w.WithDefaults())
}

// Attempts returns the last attempts of a webhook, of all processes, the latest first; with failedOnly failed ones alone.
func (a *Administration) Attempts(ctx context.Context, name string, failedOnly bool) ([]ports.WebhookAttempt, error) {
	w, err := a.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	attempts, err := a.runner.config.Attempts.Attempts(ctx, name, failedOnly)
	// A process may have stored attempts of a webhook of the same name just after that was deleted. The clocks of processes differ a little.
	return slices.DeleteFunc(attempts, func(t ports.WebhookAttempt) bool { return t.StartedAt.Before(w.CreatedAt.Add(-time.Minute)) }), err
}

// PauseGone returns the function of [Config].Pause: it pauses the webhook of a definition with a reason, unless it has another URL by now.
func PauseGone(definitions *subscribers.Administration) func(ctx context.Context, d groups.Definition, reason string) error {
	return func(ctx context.Context, of groups.Definition, reason string) error {
		_, err := definitions.Update(ctx, of.Group, 0, func(d *groups.Definition) error {
			if !d.Paused && d.Webhook != nil && d.Webhook.URL == of.Webhook.URL {
				d.Paused, d.PauseReason = true, reason
			}
			return nil
		})
		return err
	}
}

func (a *Administration) view(d groups.Definition) Webhook {
	w := Webhook{Definition: d}
	w.Endpoint, w.Running = a.runner.Status(d.Group)
	return w
}

func isWebhook(d groups.Definition) error {
	if d.Kind != groups.KindWebhook || d.Webhook == nil {
		return ErrNotFound
	}
	return nil
}

// named returns the error of a call about a webhook.
func named(name string, err error) error {
	if errors.Is(err, groups.ErrNotDefined) || errors.Is(err, groups.ErrGroupNotFound) || errors.Is(err, subscribers.ErrGroupOfCode) || errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %.128q", ErrNotFound, name)
	}
	return err
}
