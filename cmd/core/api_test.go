package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"chatcore/tests/wait"
)

// post calls a method with a JSON body and, if it is not empty, a token. It returns the status and the body of the answer.
func post(t *testing.T, url, method, token, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/chatcore."+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// calls checks the status and a part of the answer of a call.
func calls(t *testing.T, url, method, token, body string, want int, part string) {
	t.Helper()
	if status, answer := post(t, url, method, token, body); status != want || !strings.Contains(answer, part) {
		t.Errorf("%s %s: %d %s; want %d with %q", method, body, status, answer, want, part)
	}
}

const createGarden = `{"chat_id": "garden", "actor_id": "ada", "command_id": "c1", "title": "Garden"}`

// TestServe_LocalMode answers callers of this machine without a token, and those that web pages sent not.
func TestServe_LocalMode(t *testing.T) {
	out, errs, stop := newShell(t).follow("serve", "--event-types", "poll:created=2")
	url := apiURL(t, out)
	errs.until(t, `access="local mode`)
	calls(t, url, "v1.ChatService/CreateChat", "", createGarden, 200, `"seq"`)
	calls(t, url, "v1.MessageService/SendMessage", "", `{"chat_id": "garden", "actor_id": "ada", "message_id": "m1", "content": "Hello!"}`, 200, `"m1"`)
	calls(t, url, "v1.MessageService/ListMessages", "", `{"chat_id": "garden"}`, 200, "Hello!")
	calls(t, url, "admin.v1.GroupService/ListGroups", "", `{}`, 200, "chatcore.builtin")
	calls(t, url, "v1.MessageService/RecordEvent", "", `{"chat_id": "garden", "actor_id": "ada", "command_id": "c2", "type": "poll:created", "data": "{}"}`, 200, `"seq"`)
	calls(t, url, "v1.MessageService/RecordEvent", "", `{"chat_id": "garden", "actor_id": "ada", "command_id": "c3", "type": "poll:voted", "data": "{}"}`, 400, "poll:created")
	calls(t, url, "v1.ChatService/GetChat", "forged", `{"chat_id": "garden"}`, 401, "unauthenticated")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/chatcore.v1.ChatService/GetChat", strings.NewReader(`{"chat_id": "garden"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", "https://evil.example")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _ = response.Body.Close(); response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a page of another origin gets %d", response.StatusCode)
	}
	stop()
}

// TestServe_Tokens takes service tokens of a file, which it follows, of a setting, tokens of sessions, and JWTs.
func TestServe_Tokens(t *testing.T) {
	s, file := newShell(t), filepath.Join(t.TempDir(), "tokens.json")
	token := strings.TrimSpace(s.do("token", "create", "shop", "--scope", "chats:read", "--scope", "chats:write", "--scope", "sessions", "--file", file))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, stop := s.follow("serve", "--tokens-file", file, "--jwt-key-file", keyFile, "--jwt-algorithms", "ES256, RS256", "--jwt-issuer", "id", "--jwt-audiences", "chat", "--behind-proxy")
	url := apiURL(t, out)
	errs.until(t, `access="by token"`)
	calls(t, url, "v1.ChatService/CreateChat", "", createGarden, 401, "unauthenticated")
	calls(t, url, "v1.ChatService/CreateChat", token, createGarden, 200, `"seq"`)
	calls(t, url, "admin.v1.GroupService/ListGroups", token, `{}`, 403, "permission_denied")

	_, opened := post(t, url, "v1.SessionService/OpenSession", token, `{"user_id": "ada"}`)
	_, session, _ := strings.Cut(opened, `"token":`)
	session = strings.Split(session, `"`)[1]
	calls(t, url, "v1.ChatService/GetChat", session, `{"chat_id": "garden"}`, 200, "Garden")

	user, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "id", "aud": "chat", "sub": "ben", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	calls(t, url, "v1.ChatService/GetChat", user, `{"chat_id": "garden"}`, 404, "chat_not_found")
	calls(t, url, "v1.ChatService/AddMember", token, `{"chat_id": "garden", "actor_id": "ada", "command_id": "c2", "user_id": "ben"}`, 200, `"seq"`)
	calls(t, url, "v1.ChatService/GetChat", user, `{"chat_id": "garden"}`, 200, "Garden")

	s.do("token", "revoke", "shop", "--file", file)
	wait.Until(t, "the revoked token to be refused", func() bool {
		status, _ := post(t, url, "v1.ChatService/GetChat", token, `{"chat_id": "garden"}`)
		return status == http.StatusUnauthorized
	})
	stop()
	if strings.Contains(errs.String(), "level=WARN") || strings.Contains(errs.String(), token) || strings.Contains(errs.String(), session) {
		t.Errorf("it logs\n%s", errs)
	}
}

// TestServe_NotReadyWithoutKeys is not ready until the keys that verify JWTs are known.
func TestServe_NotReadyWithoutKeys(t *testing.T) {
	out, _, stop := newShell(t).follow("serve", "--jwt-jwks-url", "http://127.0.0.1:1/keys", "--jwt-algorithms", "ES256", "--jwt-issuer", "id", "--jwt-audiences", "chat")
	if status, body, _ := ask(t, apiURL(t, out)+"/readyz", http1); status != http.StatusServiceUnavailable {
		t.Errorf("readiness is %d %s", status, body)
	}
	stop()
}

// TestEventTypes_Refused names the setting and the allowed values.
func TestEventTypes_Refused(t *testing.T) {
	for _, text := range []string{"poll:created", "poll:created=0", "poll:created=x", "poll=1", "message:new=1", "=1"} {
		if err := (&eventTypes{}).Set(text); err == nil || !strings.Contains(err.Error(), "event-types is") || !strings.Contains(err.Error(), "poll:created=1") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
