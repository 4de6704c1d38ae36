package connect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore"
	"chatcore/adapters/subscribers/webhook"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	adminconnect "chatcore/gen/chatcore/admin/v1/adminv1connect"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// webhookService implements chatcore.admin.v1.WebhookService.
type webhookService struct{ *calls }

var _ adminconnect.WebhookServiceHandler = (*webhookService)(nil)

func (s *webhookService) CreateWebhook(ctx context.Context, req *adminv1.CreateWebhookRequest) (*adminv1.CreateWebhookResponse, error) {
	if err := checkWebhook(req.GetName()); err != nil {
		return nil, err
	}
	timeout, err := parseTimeout(req.GetTimeout())
	if err != nil {
		return nil, err
	}
	start, err := parseStart("start", req.GetStart())
	if err != nil {
		return nil, err
	}
	d := groups.Definition{Group: req.GetName(), Start: start, Unordered: req.GetUnordered(), Webhook: &groups.Webhook{URL: req.GetUrl(), Timeout: timeout}}
	if err := settingsInto(&d, req.GetSettings()); err != nil {
		return nil, err
	}
	w, secret, err := s.core.Webhooks().Create(ctx, d)
	if err != nil {
		return nil, namedField(err, "group", "name")
	}
	return &adminv1.CreateWebhookResponse{Webhook: webhookOf(w), Secret: secret.Text()}, nil
}

func (s *webhookService) GetWebhook(ctx context.Context, req *adminv1.GetWebhookRequest) (*adminv1.GetWebhookResponse, error) {
	w, err := s.one(req.GetName(), func(name string) (webhook.Webhook, error) { return s.core.Webhooks().Get(ctx, name) })
	if err != nil {
		return nil, err
	}
	return &adminv1.GetWebhookResponse{Webhook: w}, nil
}

func (s *webhookService) ListWebhooks(ctx context.Context, _ *adminv1.ListWebhooksRequest) (*adminv1.ListWebhooksResponse, error) {
	list, err := s.core.Webhooks().List(ctx)
	if err != nil {
		return nil, err
	}
	return &adminv1.ListWebhooksResponse{Webhooks: each(list, webhookOf)}, nil
}

func (s *webhookService) UpdateWebhook(ctx context.Context, req *adminv1.UpdateWebhookRequest) (*adminv1.UpdateWebhookResponse, error) {
	timeout, err := parseTimeout(req.GetTimeout())
	if err != nil {
		return nil, err
	}
	w, err := s.one(req.GetName(), func(name string) (webhook.Webhook, error) {
		return s.core.Webhooks().Update(ctx, name, uint64(req.GetVersion()), func(d *groups.Definition) error {
			if req.GetUrl() != "" {
				d.Webhook.URL = req.GetUrl()
			}
			if timeout != 0 {
				d.Webhook.Timeout = timeout
			}
			if req.GetSettings() == nil {
				return nil
			}
			return settingsInto(d, req.GetSettings())
		})
	})
	if errors.Is(err, chatcore.ErrDefinitionChanged) { // the same call would fail again
		err = finalError{err}
	}
	if err != nil {
		return nil, err
	}
	return &adminv1.UpdateWebhookResponse{Webhook: w}, nil
}

func (s *webhookService) TestWebhook(ctx context.Context, req *adminv1.TestWebhookRequest) (*adminv1.TestWebhookResponse, error) {
	if err := checkWebhook(req.GetName()); err != nil {
		return nil, err
	}
	attempt, err := s.core.Webhooks().Test(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	var out output
	return &adminv1.TestWebhookResponse{Attempt: out.attempt(attempt)}, out.err
}

func (s *webhookService) RotateWebhookSecret(ctx context.Context, req *adminv1.RotateWebhookSecretRequest) (*adminv1.RotateWebhookSecretResponse, error) {
	if err := checkWebhook(req.GetName()); err != nil {
		return nil, err
	}
	keep := chatcore.DefaultKeepOldSecret
	if d := req.GetKeepOld(); d != nil {
		if keep = d.AsDuration(); d.CheckValid() != nil || keep < 0 || keep > chatcore.MaxKeepOldSecret {
			return nil, refusedDuration("keep_old", d, "0s to 168h")
		}
	}
	w, secret, err := s.core.Webhooks().Rotate(ctx, req.GetName(), keep)
	if err != nil {
		return nil, err
	}
	return &adminv1.RotateWebhookSecretResponse{Webhook: webhookOf(w), Secret: secret.Text()}, nil
}

func (s *webhookService) PauseWebhook(ctx context.Context, req *adminv1.PauseWebhookRequest) (*adminv1.PauseWebhookResponse, error) {
	w, err := s.one(req.GetName(), func(name string) (webhook.Webhook, error) { return s.core.Webhooks().Pause(ctx, name) })
	if err != nil {
		return nil, err
	}
	return &adminv1.PauseWebhookResponse{Webhook: w}, nil
}

func (s *webhookService) ResumeWebhook(ctx context.Context, req *adminv1.ResumeWebhookRequest) (*adminv1.ResumeWebhookResponse, error) {
	w, err := s.one(req.GetName(), func(name string) (webhook.Webhook, error) { return s.core.Webhooks().Resume(ctx, name) })
	if err != nil {
		return nil, err
	}
	return &adminv1.ResumeWebhookResponse{Webhook: w}, nil
}

func (s *webhookService) DeleteWebhook(ctx context.Context, req *adminv1.DeleteWebhookRequest) (*adminv1.DeleteWebhookResponse, error) {
	if err := checkWebhook(req.GetName()); err != nil {
		return nil, err
	}
	return &adminv1.DeleteWebhookResponse{}, s.core.Webhooks().Delete(ctx, req.GetName())
}

func (s *webhookService) ListWebhookAttempts(ctx context.Context, req *adminv1.ListWebhookAttemptsRequest) (*adminv1.ListWebhookAttemptsResponse, error) {
	if err := checkWebhook(req.GetName()); err != nil {
		return nil, err
	}
	attempts, err := s.core.Webhooks().Attempts(ctx, req.GetName(), req.GetFailedOnly())
	if err != nil {
		return nil, err
	}
	var out output
	return &adminv1.ListWebhookAttemptsResponse{Attempts: each(attempts, out.attempt)}, out.err
}

// one returns the webhook of a name that a call returns.
func (*webhookService) one(name string, call func(name string) (webhook.Webhook, error)) (*adminv1.Webhook, error) {
	if err := checkWebhook(name); err != nil {
		return nil, err
	}
	w, err := call(name)
	if err != nil {
		return nil, err
	}
	return webhookOf(w), nil
}

// checkWebhook returns a [*domain.InvalidError] for a name that no webhook can have.
func checkWebhook(name string) error {
	if name == "" {
		return &domain.InvalidError{Field: "name", Problem: "is empty", Allowed: "the name of a webhook"}
	}
	return inField("name", groups.CheckGroup(name))
}

// namedField returns an error about a field with the name that the field has in the request.
func namedField(err error, from, to string) error {
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && invalid.Field == from {
		return &domain.InvalidError{Field: to, Problem: invalid.Problem, Allowed: invalid.Allowed}
	}
	return err
}

// parseTimeout returns the bound of a request, 0 if it is not set.
func parseTimeout(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if timeout := d.AsDuration(); d.CheckValid() == nil && timeout >= groups.MinTimeout && timeout <= groups.MaxTimeout {
		return timeout, nil
	}
	return 0, refusedDuration("timeout", d, fmt.Sprintf("%v to %v, or not set for the default", groups.MinTimeout, groups.MaxTimeout))
}

func refusedDuration(field string, d *durationpb.Duration, allowed string) error {
	return &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %d.%09ds", d.GetSeconds(), d.GetNanos()), Allowed: allowed}
}

// webhookOf returns a webhook as of this process. It has no secret.
func webhookOf(w webhook.Webhook) *adminv1.Webhook {
	d := w.WithDefaults()
	out := &adminv1.Webhook{
		Name: d.Group, Url: validText(d.Webhook.URL), Timeout: durationpb.New(d.Webhook.Timeout), Definition: definitionOf(w.Definition),
		OldSecretExpiresAt: timeOf(w.OldSecretExpiresAt(time.Now())),
	}
	switch {
	case d.Paused:
		out.State = adminv1.EndpointState_ENDPOINT_STATE_PAUSED
	case !w.Running:
	case w.Endpoint.State == chatcore.WebhookDown:
		out.State, out.NextProbeAt = adminv1.EndpointState_ENDPOINT_STATE_DOWN, timeOf(w.Endpoint.Until)
	case w.Endpoint.State == chatcore.WebhookProbing:
		out.State = adminv1.EndpointState_ENDPOINT_STATE_PROBED
	default:
		out.State = adminv1.EndpointState_ENDPOINT_STATE_UP
	}
	return out
}

// attempt returns an attempt of a webhook.
func (o *output) attempt(a ports.WebhookAttempt) *adminv1.WebhookAttempt {
	return &adminv1.WebhookAttempt{
		StartedAt: timeOf(a.StartedAt), Took: durationpb.New(a.Took), EventId: validText(string(a.Event)), ChatId: validText(string(a.Chat)), Seq: o.seq(a.Seq), Type: validText(a.Type),
		Attempt: countOf(a.Attempt), Status: countOf(a.Status), Ok: a.OK, Error: validText(a.Error), Answer: validText(a.Answer),
	}
}
