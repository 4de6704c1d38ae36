package connect_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	"chatcore/gen/chatcore/admin/v1/adminv1connect"
	"chatcore/ports/groups"
)

// webhookKey is the key of the worlds' webhooks.
func webhookKey() chatcore.WebhooksConfig {
	return chatcore.WebhooksConfig{Keys: []chatcore.WebhookKey{bytes.Repeat([]byte{7}, 32)}, Allow: []string{"127.0.0.1"}, AllowHTTP: true}
}

// hook defines a webhook, and returns its name.
func (w *world) hook(t *testing.T, url string) string {
	t.Helper()
	name := w.id("hook")
	if _, _, err := w.core.Webhooks().Create(t.Context(), groups.Definition{Group: name, Webhook: &groups.Webhook{URL: url}}); err != nil {
		t.Fatal(err)
	}
	return name
}

const hookURL = "https://hooks.example.com/in?x=y"

// receiver returns the URL of a server that answers with a status.
func receiver(t *testing.T, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = w.Write([]byte("an answer \xff"))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func webhookRows() map[string]row {
	const service = "chatcore.admin.v1.WebhookService."
	return map[string]row{
		service + "CreateWebhook": {prepare: func(_ *testing.T, w *world) prepared {
			settings := &adminv1.GroupSettings{
				EventTypes: []string{"message:new"}, ChatIds: []string{"c"}, OnPoison: adminv1.PoisonPolicy_POISON_POLICY_PARK, Concurrency: 7,
				Retry: &adminv1.RetryPolicy{Attempts: 3, FirstPause: durationpb.New(time.Second), MaxPause: durationpb.New(time.Hour)},
			}
			start := &adminv1.GroupStart{At: &adminv1.GroupStart_Beginning{Beginning: true}}
			req := &adminv1.CreateWebhookRequest{Name: w.id("hook"), Url: hookURL, Timeout: durationpb.New(3 * time.Second), Start: start, Settings: settings}
			return expect(req, func(t *testing.T, res *adminv1.CreateWebhookResponse) {
				h := res.GetWebhook()
				if h.GetName() != req.GetName() || h.GetUrl() != hookURL || h.GetTimeout().AsDuration() != 3*time.Second || h.GetOldSecretExpiresAt() != nil || len(res.GetSecret()) != 50 {
					t.Errorf("%v", res)
				}
				if d := h.GetDefinition(); d.GetKind() != adminv1.GroupKind_GROUP_KIND_WEBHOOK || d.GetVersion() != 1 || !proto.Equal(d.GetSettings(), settings) || !proto.Equal(d.GetStart(), start) {
					t.Errorf("the definition is %v", d)
				}
			})
		}},
		service + "GetWebhook": {prepare: func(t *testing.T, w *world) prepared {
			name := w.hook(t, hookURL)
			return expect(&adminv1.GetWebhookRequest{Name: name}, func(t *testing.T, res *adminv1.GetWebhookResponse) {
				h := res.GetWebhook()
				if h.GetName() != name || h.GetTimeout().AsDuration() != 15*time.Second || h.GetDefinition().GetSettings().GetRetry().GetAttempts() != 22 || h.GetDefinition().GetSettings().GetConcurrency() != 64 {
					t.Errorf("%v", res)
				}
			})
		}},
		service + "ListWebhooks": {prepare: func(t *testing.T, w *world) prepared {
			w.defined(t)
			name := w.hook(t, hookURL)
			return expect(&adminv1.ListWebhooksRequest{}, func(t *testing.T, res *adminv1.ListWebhooksResponse) {
				found := 0
				for i, h := range res.GetWebhooks() {
					if i > 0 && res.GetWebhooks()[i-1].GetName() >= h.GetName() || h.GetUrl() == "" {
						t.Errorf("the webhooks are %v", res)
					}
					if h.GetName() == name {
						found++
					}
				}
				if found != 1 {
					t.Errorf("the webhooks are %v", res)
				}
			})
		}},
		service + "UpdateWebhook": {prepare: func(t *testing.T, w *world) prepared {
			req := &adminv1.UpdateWebhookRequest{Name: w.hook(t, hookURL), Url: "https://other.example.com/", Settings: &adminv1.GroupSettings{Concurrency: 3}, Version: 1}
			return expect(req, func(t *testing.T, res *adminv1.UpdateWebhookResponse) {
				if h := res.GetWebhook(); h.GetUrl() != req.GetUrl() || h.GetDefinition().GetVersion() != 2 || h.GetDefinition().GetSettings().GetConcurrency() != 3 {
					t.Errorf("%v", res)
				}
			})
		}},
		service + "TestWebhook": {prepare: func(t *testing.T, w *world) prepared {
			return expect(&adminv1.TestWebhookRequest{Name: w.hook(t, receiver(t, 418))}, func(t *testing.T, res *adminv1.TestWebhookResponse) {
				a := res.GetAttempt()
				if a.GetOk() || a.GetStatus() != 418 || a.GetType() != "webhook:test" || a.GetAnswer() != "an answer \uFFFD" || a.GetError() == "" || a.GetEventId() == "" || a.GetStartedAt() == nil {
					t.Errorf("%v", res)
				}
			})
		}},
		service + "RotateWebhookSecret": {prepare: func(t *testing.T, w *world) prepared {
			return expect(&adminv1.RotateWebhookSecretRequest{Name: w.hook(t, hookURL), KeepOld: durationpb.New(time.Hour)}, func(t *testing.T, res *adminv1.RotateWebhookSecretResponse) {
				if left := time.Until(res.GetWebhook().GetOldSecretExpiresAt().AsTime()); len(res.GetSecret()) != 50 || left <= 0 || left > time.Hour {
					t.Errorf("%v", res)
				}
			})
		}},
		service + "PauseWebhook": {prepare: func(t *testing.T, w *world) prepared {
			return expect(&adminv1.PauseWebhookRequest{Name: w.hook(t, hookURL)}, func(t *testing.T, res *adminv1.PauseWebhookResponse) {
				if h := res.GetWebhook(); !h.GetDefinition().GetPaused() || h.GetState() != adminv1.EndpointState_ENDPOINT_STATE_PAUSED {
					t.Errorf("%v", res)
				}
			})
		}},
		service + "ResumeWebhook": {prepare: func(t *testing.T, w *world) prepared {
			name := w.hook(t, hookURL)
			if _, err := w.core.Definitions().Pause(t.Context(), name, "gone"); err != nil {
				t.Fatal(err)
			}
			return expect(&adminv1.ResumeWebhookRequest{Name: name}, func(t *testing.T, res *adminv1.ResumeWebhookResponse) {
				if d := res.GetWebhook().GetDefinition(); d.GetPaused() || d.GetPauseReason() != "" {
					t.Errorf("%v", res)
				}
			})
		}},
		service + "DeleteWebhook": {prepare: func(t *testing.T, w *world) prepared {
			name := w.hook(t, hookURL)
			return expect(&adminv1.DeleteWebhookRequest{Name: name}, func(t *testing.T, _ *adminv1.DeleteWebhookResponse) {
				if _, exists := w.group(t, name); exists {
					t.Error("the group is still there")
				}
			})
		}},
		service + "ListWebhookAttempts": {prepare: func(t *testing.T, w *world) prepared {
			name := w.hook(t, receiver(t, 200))
			for range 2 {
				if _, err := w.core.Webhooks().Test(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			return expect(&adminv1.ListWebhookAttemptsRequest{Name: name}, func(t *testing.T, res *adminv1.ListWebhookAttemptsResponse) {
				if list := res.GetAttempts(); len(list) != 2 || !list[0].GetOk() || list[0].GetStatus() != 200 || list[0].GetStartedAt().AsTime().Before(list[1].GetStartedAt().AsTime()) {
					t.Errorf("%v", res)
				}
			})
		}},
	}
}

// TestWebhooks creates webhooks and rotates secrets, with repeated calls and with wrong ones.
func TestWebhooks(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		client, ctx, name := adminv1connect.NewWebhookServiceClient(w.client(t), w.url), t.Context(), w.id("hook")
		refused := func(call string, err error, code rpc.Code, reason string) {
			t.Helper()
			if got, detail := detailOf(t, err); got != code || detail.GetReason() != reason || detail.GetRetryable() {
				t.Errorf("%s: %v", call, err)
			}
		}
		create := &adminv1.CreateWebhookRequest{Name: name, Url: hookURL}
		created, err := client.CreateWebhook(ctx, create)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := client.CreateWebhook(ctx, create); err != nil || again.GetSecret() != created.GetSecret() {
			t.Errorf("the same again: %v, %v", again, err)
		}
		refused("another one of the name", second(client.CreateWebhook(ctx, &adminv1.CreateWebhookRequest{Name: name, Url: "https://other.example.com/"})), rpc.CodeAlreadyExists, "group_defined")
		seen := map[string]bool{created.GetSecret(): true}
		for i := range 4 {
			res, err := client.RotateWebhookSecret(ctx, &adminv1.RotateWebhookSecretRequest{Name: name})
			if err != nil || seen[res.GetSecret()] || res.GetWebhook().GetOldSecretExpiresAt() == nil {
				t.Fatalf("rotation %d: %v, %v", i, res, err)
			}
			seen[res.GetSecret()] = true
		}
		refused("created again after a rotation", second(client.CreateWebhook(ctx, create)), rpc.CodeAlreadyExists, "group_defined")
		stored, err := w.core.Webhooks().Get(ctx, name)
		if err != nil || len(stored.Webhook.Secrets) != 3 {
			t.Errorf("%d secrets: %v", len(stored.Webhook.Secrets), err)
		}
		if shown := fmt.Sprintf("%+v", stored); strings.Contains(shown, created.GetSecret()[6:]) {
			t.Errorf("the secret is stored as %s", shown)
		}
		if res, err := client.RotateWebhookSecret(ctx, &adminv1.RotateWebhookSecretRequest{Name: name, KeepOld: &durationpb.Duration{}}); err != nil || res.GetWebhook().GetOldSecretExpiresAt() != nil {
			t.Errorf("without the old one: %v, %v", res, err)
		}
		refused("an earlier version", second(client.UpdateWebhook(ctx, &adminv1.UpdateWebhookRequest{Name: name, Url: "https://x.example.com", Version: 1})), rpc.CodeAborted, "definition_changed")
		for _, other := range []string{"no-hook", w.defined(t), failing} {
			refused("get", second(client.GetWebhook(ctx, &adminv1.GetWebhookRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
			refused("update", second(client.UpdateWebhook(ctx, &adminv1.UpdateWebhookRequest{Name: other, Url: hookURL})), rpc.CodeNotFound, "webhook_not_found")
			refused("test", second(client.TestWebhook(ctx, &adminv1.TestWebhookRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
			refused("rotate", second(client.RotateWebhookSecret(ctx, &adminv1.RotateWebhookSecretRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
			refused("pause", second(client.PauseWebhook(ctx, &adminv1.PauseWebhookRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
			refused("resume", second(client.ResumeWebhook(ctx, &adminv1.ResumeWebhookRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
			refused("delete", second(client.DeleteWebhook(ctx, &adminv1.DeleteWebhookRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
			refused("attempts", second(client.ListWebhookAttempts(ctx, &adminv1.ListWebhookAttemptsRequest{Name: other})), rpc.CodeNotFound, "webhook_not_found")
		}
		for url, why := range map[string]string{"": "missing", "ftp://x.example.com": "scheme", "https://10.0.0.1/": "private", "https://[::ffff:169.254.169.254]/": "mapped", "https://2130706433/": "number", "https://localhost/": ""} {
			err := second(client.CreateWebhook(ctx, &adminv1.CreateWebhookRequest{Name: w.id("hook"), Url: url}))
			if url == "https://localhost/" { // the worlds allow 127.0.0.1
				if err != nil {
					t.Error(err)
				}
				continue
			}
			isInvalid(t, why, err, "url")
			isInvalid(t, why, second(client.UpdateWebhook(ctx, &adminv1.UpdateWebhookRequest{Name: name, Url: cmp.Or(url, "x")})), "url")
		}
		isInvalid(t, "name", second(client.CreateWebhook(ctx, &adminv1.CreateWebhookRequest{Url: hookURL})), "name")
		isInvalid(t, "name", second(client.CreateWebhook(ctx, &adminv1.CreateWebhookRequest{Name: "a b", Url: hookURL})), "name")
		isInvalid(t, "timeout", second(client.CreateWebhook(ctx, &adminv1.CreateWebhookRequest{Name: "x", Url: hookURL, Timeout: durationpb.New(time.Millisecond)})), "timeout")
		isInvalid(t, "keep_old", second(client.RotateWebhookSecret(ctx, &adminv1.RotateWebhookSecretRequest{Name: name, KeepOld: durationpb.New(200 * time.Hour)})), "keep_old")
		isInvalid(t, "types", second(client.CreateWebhook(ctx, &adminv1.CreateWebhookRequest{Name: "x", Url: hookURL, Settings: &adminv1.GroupSettings{EventTypes: []string{"typing:start"}}})), "settings.event_types[0]")
	})
}
