package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chatcore"
	"chatcore/tests/redistest"
)

// exit runs the real program and returns its exit code and output.
func (s *shell) exit(args ...string) (code int, out, errs string) {
	s.t.Helper()
	cmd := s.program(args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if _, is := errors.AsType[*exec.ExitError](err); err != nil && !is {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// errorOf reads the only line of JSON that a command prints to standard error.
func errorOf(t *testing.T, errs string) map[string]any {
	t.Helper()
	var printed struct{ Error map[string]any }
	if err := json.Unmarshal([]byte(errs), &printed); err != nil || printed.Error["code"] == nil || printed.Error["message"] == "" {
		t.Fatalf("standard error is %q: %v", errs, err)
	}
	return printed.Error
}

// TestExitCodes_ByClass has the real program fail in each way.
func TestExitCodes_ByClass(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--member", "ben")
	away := redistest.Start(t)
	away.Stop()
	for _, tc := range []struct {
		args []string
		exit int
		code string
	}{
		{[]string{"chat", "list"}, exitOK, ""},
		{[]string{"nosuch"}, exitUsage, "usage"},
		{[]string{"chat", "lst"}, exitUsage, "usage"},
		{[]string{"help", "nosuch"}, exitUsage, "usage"},
		{[]string{"help", "chat", "lst"}, exitUsage, "usage"},
		{[]string{"chat", "list", "--nosuch"}, exitUsage, "usage"},
		{[]string{"edit", "c"}, exitUsage, "usage"},
		{[]string{"send", "c", "x", "y", "--as", "ada"}, exitUsage, "usage"},
		{[]string{"send", "c", "x"}, exitUsage, "usage"},
		{[]string{"read", "c", "--as", "ada"}, exitUsage, "usage"},
		{[]string{"session", "close", "ada"}, exitUsage, "usage"},
		{[]string{"history", "c", "--lease", "soon"}, exitUsage, "usage"},
		{[]string{"history", "c", "--config", "/nowhere.yaml"}, exitUsage, "usage"},
		{[]string{"history", "c", "--log-level", "loud"}, exitUsage, "usage"},
		{[]string{"history", "c d"}, exitUsage, "invalid"},
		{[]string{"history", "c", "--lease", "1ms"}, exitUsage, "invalid"},
		{[]string{"history", "c", "--redis-url", "nonsense"}, exitUsage, "invalid_url"},
		{[]string{"history", "c", "--redis-url", away.URL()}, exitUnavailable, "unreachable"},
		{[]string{"history", "c", "--redis-url", redistest.Shared(t).URL() + "/99"}, exitUsage, "connection_rejected"},
		{[]string{"history", "nowhere"}, exitNotFound, "chat_not_found"},
		{[]string{"edit", "c", "m", "x", "--as", "ada"}, exitNotFound, "message_not_found"},
		{[]string{"groups", "pause", "nosuch"}, exitNotFound, "group_not_defined"},
		{[]string{"groups", "delete", "nosuch", "--yes"}, exitNotFound, "group_not_found"},
		{[]string{"session", "verify", strings.Repeat("x", 43)}, exitNotFound, "session_not_found"},
		{[]string{"import", "/nowhere.jsonl"}, exitNotFound, "file_not_found"},
		{[]string{"send", "c", "x", "--as", "eve"}, exitRefused, "not_member"},
		{[]string{"chat", "leave", "c", "--as", "ada"}, exitRefused, "last_owner"},
		{[]string{"limit", "login", "ada", "--rate", "login=1/1h", "--take", "1"}, exitOK, ""},
		{[]string{"limit", "login", "ada", "--rate", "login=1/1h", "--take", "1"}, exitRefused, "rate_limited"},
		{[]string{"unread", "ada"}, exitUnavailable, "no_views"},
	} {
		code, out, errs := s.exit(append(tc.args, "--json")...)
		if code != tc.exit {
			t.Errorf("core %q exits with %d, want %d:\n%s%s", tc.args, code, tc.exit, out, errs)
			continue
		}
		if tc.code == "" {
			continue
		}
		if e := errorOf(t, errs); e["code"] != tc.code || e["exit"] != float64(code) || out != "" {
			t.Errorf("core %q says %v and prints %q, want the code %s", tc.args, e, out, tc.code)
		}
	}
}

// TestExitCodes_OutcomeUnknown has a proxy lose all replies to appends: an unknown outcome has its own code.
func TestExitCodes_OutcomeUnknown(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	lose := func([]byte) bool { return false }
	appends := func(request []byte) bool {
		if bytes.Contains(request, []byte("unsure")) {
			proxy.Reply.Store(&lose)
		}
		return true
	}
	proxy.Request.Store(&appends)
	code, out, errs := s.exit("send", "c", "unsure", "--as", "ada", "--json", "--redis-url", proxy.URL(), "--redis-command-timeout", "500ms")
	if e := errorOf(t, errs); code != exitUnknown || e["code"] != "outcome_unknown" || out != "" {
		t.Errorf("it exits with %d and %v", code, e)
	}
}

// TestErrors_AsJSON checks the fields of errors that programs need.
func TestErrors_AsJSON(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	_, _, errs := s.exit("send", "c", "bell\a", "--as", "ada", "--json")
	if e := errorOf(t, errs); e["field"] != "content" || e["allowed"] == "" || e["problem"] == "" {
		t.Errorf("an invalid value: %v", e)
	}
	s.do("limit", "login", "ada", "--rate", "login=1/1h", "--take", "1")
	_, _, errs = s.exit("limit", "login", "ada", "--rate", "login=1/1h", "--take", "1", "--json")
	if e := errorOf(t, errs); e["retryAfterSeconds"].(float64) <= 0 {
		t.Errorf("a rate limit: %v", e)
	}
	code, out, errs := s.exit("history", "nowhere")
	if code != exitNotFound || out != "" || !strings.HasPrefix(errs, "core: chat not found") || strings.Count(errs, "\n") != 1 {
		t.Errorf("as text: %d, %q, %q", code, out, errs)
	}
}

// TestErrorClasses_AreDocumented compares the codes with docs/commands.md.
func TestErrorClasses_AreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, class := range errorClasses() {
		if seen[class.code] {
			t.Errorf("two errors have the code %s", class.code)
		}
		seen[class.code] = true
		if !strings.Contains(string(page), "`"+class.code+"`") {
			t.Errorf("the code %s is not documented", class.code)
		}
	}
}

func TestVersion(t *testing.T) {
	s := newShell(t)
	v := s.json("version")[0]
	for _, key := range []string{"module", "version", "go", "platform", "logLevel"} {
		if v[key] == nil || v[key] == "" {
			t.Errorf("%s is %v", key, v[key])
		}
	}
	if v["version"] != chatcore.Version {
		t.Errorf("the version is %v, want %s", v["version"], chatcore.Version)
	}
	if out := s.do("version"); !strings.HasPrefix(out, "core version "+chatcore.Version+" ") || !strings.Contains(out, " go1.") {
		t.Errorf("version is %q", out)
	}
	s.base = nil
	if code, out, _ := s.exit("--version"); code != exitOK || out != s.do("version") {
		t.Errorf("--version prints %q and exits with %d", out, code)
	}
}
