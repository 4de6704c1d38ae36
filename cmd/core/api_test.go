package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatcore/tests/wait"
)

// called calls a method of the API with JSON, and returns the status and the body.
func called(t *testing.T, url, method, token, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/"+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

const (
	createChat  = "chatcore.v1.ChatService/CreateChat"
	recordEvent = "chatcore.v1.MessageService/RecordEvent"
	garden      = `{"chat_id":"garden","actor_id":"ada","command_id":"c1"}`
	voteSoup    = `{"chat_id":"garden","actor_id":"ada","command_id":"c2","type":"poll:voted","data":"{}"}`
)

// TestServe_API calls methods in local mode: without a token, and a custom event only if its type is declared.
func TestServe_API(t *testing.T) {
	s := newShell(t)
	for events, want := range map[string]int{"": http.StatusBadRequest, "poll:voted=1": http.StatusOK} {
		out, _, stop := s.follow("serve", "--events", events)
		url := apiURL(t, out)
		if status, text := called(t, url, createChat, "", garden); status != http.StatusOK || !strings.Contains(text, `"seq":1`) {
			t.Errorf("CreateChat: %d %s", status, text)
		}
		if status, text := called(t, url, recordEvent, "", voteSoup); status != want {
			t.Errorf("RecordEvent with --events %q: %d %s", events, status, text)
		}
		if status, text := called(t, url, createChat, "cc_nobody_secret", garden); status != http.StatusUnauthorized {
			t.Errorf("with a wrong token: %d %s", status, text)
		}
		stop()
	}
	if text := s.do("history", "garden", "--raw"); !strings.Contains(text, "poll:voted") {
		t.Errorf("the log has\n%s", text)
	}
}

// TestServe_Tokens requires a token once there is a tokens file, and heeds a changed file.
func TestServe_Tokens(t *testing.T) {
	s := newShell(t)
	file := filepath.Join(t.TempDir(), "tokens.json")
	token := strings.TrimSpace(s.do("token", "create", "shop", "--scope", "chats:write", "--file", file))
	out, _, _ := s.follow("serve", "--tokens", file)
	url := apiURL(t, out)
	for given, want := range map[string]int{"": http.StatusUnauthorized, token: http.StatusOK, token + "x": http.StatusUnauthorized} {
		if status, text := called(t, url, createChat, given, garden); status != want {
			t.Errorf("with token %q: %d %s, want %d", given, status, text, want)
		}
	}
	if status, text := called(t, url, "chatcore.v1.ChatService/GetChat", token, `{"chat_id":"garden"}`); status != http.StatusForbidden {
		t.Errorf("without the scope: %d %s", status, text)
	}
	s.do("token", "revoke", "shop", "--file", file)
	wait.Until(t, "the revoked token is refused", func() bool {
		status, _ := called(t, url, createChat, token, garden)
		return status == http.StatusUnauthorized
	})
}

// TestServe_APISettings refuses wrong settings before it opens a core, with exit code 2.
func TestServe_APISettings(t *testing.T) {
	s := newShell(t)
	missing := filepath.Join(t.TempDir(), "none.json")
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--listen 0.0.0.0:0":                     "service tokens",
		"--listen 127.0.0.1:0 --behind-proxy":    "service tokens",
		"--tokens " + missing:                    "none.json",
		"--tokens " + broken:                     "tokens",
		"--events poll:voted":                    "TYPE=VERSION",
		"--events poll:voted=0":                  "TYPE=VERSION",
		"--events poll:voted=1,poll:voted=2":     "TYPE=VERSION",
		"--events poll=1":                        "poll",
		"--jwt-issuer https://id.example":        "jwt.",
		"--jwt-key-file " + broken + " --json":   "jwt.",
		"--listen nowhere --tokens " + missing:   "listen",
		"--listen 0.0.0.0:0 --tokens " + missing: "TLS",
	} {
		exit, _, errs := s.exit(append([]string{"serve"}, strings.Fields(args)...)...)
		if exit != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, want %d and %q in\n%s", args, exit, exitUsage, want, errs)
		}
	}
}
