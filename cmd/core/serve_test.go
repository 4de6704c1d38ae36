package main

import (
	"encoding/json"
	"strings"
	"testing"

	"chatcore"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// serving waits until serve is ready, and returns its log lines.
func serving(t *testing.T, errs *buffer) []string {
	t.Helper()
	errs.until(t, "serving log")
	return strings.Split(strings.TrimSpace(errs.String()), "\n")
}

// TestServe_StartsWithoutNoise counts the lines of a start: they do not grow with groups and partitions.
func TestServe_StartsWithoutNoise(t *testing.T) {
	s := newShell(t)
	s.base[3] = "64"
	_, errs, stop := s.follow("serve")
	lines := serving(t, errs)
	stop()
	if len(lines) > 1 {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	if strings.Contains(errs.String(), "partition") || strings.Contains(errs.String(), "level=WARN") || !strings.Contains(errs.String(), "level=INFO") {
		t.Errorf("it logs\n%s", errs.String())
	}
}

// TestServe_LogsOutagesAndReconnects stops the server of a service and starts it again.
func TestServe_LogsOutagesAndReconnects(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	s := &shell{t: t, base: []string{"--redis-url", server.URL(), "--partitions", "2", "--log-format", "json"}}
	_, errs, stop := s.follow("serve")
	serving(t, errs)
	server.Stop()
	errs.until(t, "redis reconnecting")
	server.Restart(t)
	errs.until(t, "lost_for")
	stop()
	for line := range strings.Lines(errs.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["level"] == nil || entry["msg"] == nil {
			t.Errorf("the line %q: %v", line, err)
		}
	}
}

// TestServe_LogsDeadLetters has another program's value where an unread count belongs, so that the built-in group fails for good. The line names the
// event and the reason, and no content of the message.
func TestServe_LogsDeadLetters(t *testing.T) {
	server := redistest.Start(t)
	s := &shell{t: t, base: []string{"--redis-url", server.URL(), "--partitions", "1", "--log-format", "json", "--retry-attempts", "1"}}
	_, errs, stop := s.follow("serve")
	serving(t, errs)
	s.do("chat", "create", "garden", "--as", "ada", "--member", "ben")
	if err := server.Client(t).Set(t.Context(), "chat:unread:ben", "foreign", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.do("send", "garden", "secret words", "--as", "ada")
	errs.until(t, "became a dead letter")
	stop()
	found := false
	for line := range strings.Lines(errs.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("the line %q: %v", line, err)
		}
		if entry["msg"] != "delivery became a dead letter" {
			continue
		}
		reason, _ := entry["error"].(string)
		found = found || entry["level"] == "WARN" && entry["group"] == chatcore.BuiltinGroup && entry["chat"] == "garden" && entry["seq"] != nil &&
			entry["event_id"] != nil && entry["attempts"] == 1.0 && strings.Contains(reason, "chat:unread:ben")
	}
	if !found || strings.Contains(errs.String(), "secret") {
		t.Errorf("it logs\n%s", errs.String())
	}
}

// TestServe_LogLevel checks that a level omits lower ones.
func TestServe_LogLevel(t *testing.T) {
	s := newShell(t)
	for level, want := range map[string]bool{"debug": true, "error": false} {
		_, errs, stop := s.follow("serve", "--log-level", level, "--admin", "127.0.0.1:0")
		if want {
			errs.until(t, "partition acquired")
		} else {
			wait.Until(t, "it runs", func() bool { return s.group(chatcore.BuiltinGroup) != nil })
		}
		stop()
		if got := strings.Contains(errs.String(), "level=DEBUG"); got != want || !want && errs.String() != "" {
			t.Errorf("level %s logs\n%s", level, errs.String())
		}
	}
}
