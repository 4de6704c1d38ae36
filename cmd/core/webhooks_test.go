package main

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"chatcore"
	"chatcore/domain"
)

// TestWebhook defines a webhook, tests, changes, pauses, resumes and deletes it.
func TestWebhook(t *testing.T) {
	var status atomic.Int64
	status.Store(204)
	var signatures atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		signatures.Store(int64(len(strings.Fields(r.Header.Get("webhook-signature")))))
		w.WriteHeader(int(status.Load()))
	}))
	defer endpoint.Close()
	s := newShell(t)
	s.do("chat", "create", "garden", "--as", "ada")
	s.refused(chatcore.ErrNoWebhookKey, "CHATCORE_WEBHOOKS_KEYS", "webhook", "create", "crm", "https://hooks.example.com/")

	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	t.Setenv("CHATCORE_WEBHOOKS_KEYS", key)
	s.refused(domain.ErrInvalid, "url", "webhook", "create", "crm", endpoint.URL)
	t.Setenv("CHATCORE_WEBHOOKS_ALLOW", "127.0.0.1, intern.test")
	t.Setenv("CHATCORE_WEBHOOKS_ALLOW_HTTP", "true")
	made := s.json("webhook", "create", "crm", endpoint.URL, "--timeout", "5s", "--type", "message:new", "--attempts", "4")[0]
	for field, want := range map[string]any{"webhook": "crm", "url": endpoint.URL, "timeout": "5s", "kind": "webhook", "version": 1., "attempts": 4., "concurrency": 64.} {
		if made[field] != want {
			t.Errorf("%s is %v, want %v", field, made[field], want)
		}
	}
	secret, _ := made["secret"].(string)
	if !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret is %q", secret)
	}
	if out := s.do("webhook", "test", "crm"); !strings.Contains(out, "status 204") || signatures.Load() != 1 {
		t.Errorf("%s; %d signatures", out, signatures.Load())
	}
	if out := s.do("webhook", "rotate", "crm", "--keep-old", "1h"); !strings.Contains(out, "whsec_") || strings.Contains(out, secret) {
		t.Error(out)
	}
	status.Store(500)
	if out, _, err := s.try("webhook", "test", "crm"); !errors.Is(err, errTestFailed) || !strings.Contains(out, "status 500") {
		t.Errorf("%s: %v", out, err)
	}
	if signatures.Load() != 2 {
		t.Errorf("%d signatures", signatures.Load())
	}
	attempts := s.json("webhook", "attempts", "crm")
	if len(attempts) != 2 || attempts[0]["status"] != 500. || attempts[0]["ok"] != false || attempts[1]["ok"] != true {
		t.Errorf("attempts %v", attempts)
	}
	if out := s.do("webhook", "attempts", "crm", "--failed"); !strings.Contains(out, "status 500") || strings.Contains(out, "status 204") {
		t.Error(out)
	}
	if out := s.do("webhook", "update", "crm", "--timeout", "2s", "--concurrency", "3"); !strings.Contains(out, "webhook crm is changed: version 3") {
		t.Error(out)
	}
	s.do("webhook", "pause", "crm")
	if out := s.do("webhook", "list"); !strings.Contains(out, "yes") || strings.Contains(out, "whsec_") {
		t.Error(out)
	}
	s.do("webhook", "resume", "crm")
	got := s.json("webhook", "get", "crm")[0]
	if got["timeout"] != "2s" || got["concurrency"] != 3. || got["paused"] != false || got["secret"] != nil || got["oldSecretExpiresAt"] == nil {
		t.Errorf("%v", got)
	}
	s.do("webhook", "get", "crm")
	s.refused(chatcore.ErrWebhookNotFound, "core webhook list", "webhook", "get", "none")
	s.refused(errUnsure, "--yes", "webhook", "delete", "crm")
	s.do("webhook", "delete", "crm", "--yes")
	if out := s.do("webhook", "list"); !strings.Contains(out, "no webhooks") {
		t.Error(out)
	}
	if out := s.do("config"); strings.Contains(out, key) || !strings.Contains(out, "1 key, not shown") {
		t.Error(out)
	}
}

// TestSettings_WebhookKeys reads keys from a file, and wrong ones: no error shows a key.
func TestSettings_WebhookKeys(t *testing.T) {
	s := newShell(t)
	key := func(b string) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(b, 32))) }
	file := filepath.Join(t.TempDir(), "settings.yaml")
	text := "webhooks:\n  keys: [" + key("a") + ", " + key("b") + "]\n  allow:\n    - 10.0.0.0/8\n    - intern.test\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := s.do("config", "--config", file); !strings.Contains(out, "2 keys, not shown") || !strings.Contains(out, "10.0.0.0/8,intern.test") || strings.Contains(out, key("a")) {
		t.Error(out)
	}
	const wrong = "c2hvcnRzZWNyZXQ="
	t.Setenv("CHATCORE_WEBHOOKS_KEYS", wrong)
	if _, errs, err := s.try("webhook", "list"); err == nil || strings.Contains(errs+err.Error(), wrong) || !strings.Contains(err.Error(), "CHATCORE_WEBHOOKS_KEYS") {
		t.Error(errs, err)
	}
}
