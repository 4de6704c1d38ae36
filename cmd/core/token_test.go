package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
)

// authenticates reports the service of a token by a tokens file.
func authenticates(t *testing.T, file, token string) (auth.Service, error) {
	t.Helper()
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return tokens.Authenticate(auth.ServiceToken(token))
}

// TestTokenCommands_Life creates tokens in a file, lists and revokes them. It needs no Redis.
func TestTokenCommands_Life(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	file := filepath.Join(t.TempDir(), "tokens.json")
	s := &shell{t: t}
	out, errs, err := s.try("token", "create", "shop", "--scope", "chats:write", "--scope", "chats:read", "--file", file)
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	shop := strings.TrimSuffix(out, "\n")
	if service, err := authenticates(t, file, shop); err != nil || service.ID != "shop" || len(service.Scopes) != 2 || !service.Expires.IsZero() {
		t.Errorf("the printed token is of %+v: %v", service, err)
	}
	created := s.json("token", "create", "push", "--scope", "consume:push", "--expires", "1h", "--comment", "the pusher", "--file", file)
	push, _ := created[0]["token"].(string)
	service, err := authenticates(t, file, push)
	if left := time.Until(service.Expires); err != nil || service.ID != "push" || left <= 0 || left > time.Hour {
		t.Errorf("the token expires in %s: %v", left, err)
	}
	text, err := os.ReadFile(file) //nolint:gosec // of this test
	if err != nil || strings.Contains(string(text), shop) || strings.Contains(string(text), push) {
		t.Errorf("a token is in the file: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: %v", info, err)
	}

	listed := s.json("token", "list", "--file", file)
	if len(listed) != 2 || listed[0]["serviceId"] != "shop" || listed[0]["expiresAt"] != nil || listed[1]["comment"] != "the pusher" || listed[1]["expired"] != false {
		t.Errorf("the list is %v", listed)
	}
	table := s.do("token", "list", "--file", file)
	if !strings.HasPrefix(table, "SERVICE ") || !strings.Contains(table, "chats:read chats:write") || !strings.Contains(table, "never") || strings.Contains(table, "cc_") {
		t.Errorf("the table is\n%s", table)
	}

	if out := s.do("token", "revoke", "shop", "--file", file); !strings.Contains(out, "shop") {
		t.Errorf("revoke prints %q", out)
	}
	if _, err := authenticates(t, file, shop); err == nil {
		t.Error("a revoked token is valid")
	}
	if _, err := authenticates(t, file, push); err != nil {
		t.Errorf("another token: %v", err)
	}
	s.do("token", "revoke", "push", "--file", file)
	if out := s.do("token", "list", "--file", file); !strings.Contains(out, "has no token") {
		t.Errorf("an empty list is %q", out)
	}
}

// TestTokenCreate_WithoutFile prints the token alone to standard output, and the entry, which a file takes, to standard error.
func TestTokenCreate_WithoutFile(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	out, errs, err := (&shell{t: t}).try("token", "create", "shop", "--scope", "admin")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, _ := strings.Cut(errs, "\n")
	file := filepath.Join(t.TempDir(), "tokens.json")
	if err := os.WriteFile(file, []byte(`{"tokens": [`+entry+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if service, err := authenticates(t, file, strings.TrimSuffix(out, "\n")); err != nil || service.ID != "shop" {
		t.Errorf("%q and %q: %v", out, errs, err)
	}
}

// TestTokenList_Expired shows which tokens have expired.
func TestTokenList_Expired(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	file := filepath.Join(t.TempDir(), "tokens.json")
	_, entry, err := auth.NewServiceToken("old", auth.Scopes{auth.ScopeAdmin})
	if err != nil {
		t.Fatal(err)
	}
	entry.Expires = time.Now().Add(-time.Hour)
	text, err := json.Marshal(map[string]any{"tokens": []auth.TokenEntry{entry}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t}
	if v := s.json("token", "list", "--file", file); v[0]["expired"] != true {
		t.Errorf("it is listed as %v", v)
	}
	if table := s.do("token", "list", "--file", file); !strings.Contains(table, "expired 20") {
		t.Errorf("the table is\n%s", table)
	}
}

// TestTokenCommands_Errors have exit codes, name the fault, and change nothing.
func TestTokenCommands_Errors(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	dir := t.TempDir()
	file, broken, none := filepath.Join(dir, "tokens.json"), filepath.Join(dir, "broken.json"), filepath.Join(dir, "none.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t}
	s.do("token", "create", "shop", "--scope", "admin", "--file", file)
	before, err := os.ReadFile(file) //nolint:gosec // of this test
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		exit int
		code string
		want string
	}{
		{"create", exitUsage, "usage", "missing SERVICE"},
		{"create a", exitUsage, "usage", "scope"},
		{"create a --scope root --file " + file, exitUsage, "invalid", "chats:read"},
		{"create a --scope admin,presence --file " + file, exitUsage, "invalid", "admin,presence"},
		{"create A --scope admin --file " + file, exitUsage, "invalid", "a-z"},
		{"create a --scope admin --expires 0s --file " + file, exitUsage, "invalid", "expires"},
		{"create a --scope admin --expires -1h --file " + file, exitUsage, "invalid", "expires"},
		{"create a --scope admin --expires soon --file " + file, exitUsage, "usage", "expires"},
		{"create a --scope admin --comment " + strings.Repeat("x", 257), exitUsage, "invalid", "comment"},
		{"create shop --scope admin --file " + file, exitUsage, "invalid", "another id"},
		{"create a --scope admin --file " + broken, exitUsage, "invalid", broken},
		{"create a --scope admin --file " + filepath.Join(dir, "no", "folder"), exitNotFound, "file_not_found", "folder"},
		{"list", exitUsage, "usage", "file"},
		{"list --file " + none, exitNotFound, "file_not_found", none},
		{"list --file " + broken, exitUsage, "invalid", broken},
		{"revoke --file " + file, exitUsage, "usage", "missing SERVICE"},
		{"revoke shop", exitUsage, "usage", "file"},
		{"revoke other --file " + file, exitNotFound, "token_not_found", "core token list"},
		{"revoke other --file " + none, exitNotFound, "token_not_found", none},
	} {
		code, out, errs := s.exit(append([]string{"token"}, strings.Fields(c.args+" --json")...)...)
		if e := errorOf(t, errs); code != c.exit || e["code"] != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("core token %.80s: exit %d, %s%s, want %d %s %q", c.args, code, out, errs, c.exit, c.code, c.want)
		}
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) { //nolint:gosec // of this test
		t.Errorf("the file became %s: %v", after, err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 2 {
		t.Errorf("files are %q: %v", files, err)
	}
}
