//go:build interop

package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buf runs buf in a directory, and returns its output.
func buf(t *testing.T, directory string, args ...string) (string, error) {
	t.Helper()
	program, err := filepath.Abs("../../clients/ts/node_modules/.bin/buf")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = directory
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestProtoChecks plants changes in the protos, and checks that lint and the comparison with the released API refuse those that are wrong.
func TestProtoChecks(t *testing.T) {
	const message = "chatcore/v1/message.proto"
	for name, c := range map[string]struct{ old, change, lint, breaking string }{
		"none":            {},
		"added field":     {old: "  string content = 5;", change: "  string content = 5;\n  // Id of a thread.\n  string thread_id = 99;"},
		"no comment":      {old: "  // The new text, at most 16 KiB of UTF-8. May be empty if the message has attachments.\n", lint: "content"},
		"renamed field":   {old: "  string reply_to = 5;", change: "  string answers = 5;", breaking: `"reply_to"`},
		"changed type":    {old: "  bool differs = 4;", change: "  uint32 differs = 4;", breaking: "differs"},
		"removed field":   {old: "  // Whether the message was sent before.\n  bool duplicate = 3;\n", breaking: `"duplicate"`},
		"removed method":  {old: "  rpc GetUnread(GetUnreadRequest) returns (GetUnreadResponse) {\n    option idempotency_level = NO_SIDE_EFFECTS;\n  }\n", breaking: `"GetUnread"`},
		"removed service": {old: "service MessageService {", change: "service LetterService {", breaking: `"MessageService"`},
		"no more reading": {old: "  rpc GetUnread(GetUnreadRequest) returns (GetUnreadResponse) {\n    option idempotency_level = NO_SIDE_EFFECTS;\n  }\n", change: "  rpc GetUnread(GetUnreadRequest) returns (GetUnreadResponse);\n", breaking: `"GetUnread"`},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			if err := os.CopyFS(directory, os.DirFS("../../proto")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(directory, message)
			text, err := os.ReadFile(file) //nolint:gosec // a copy that this test made
			if err != nil {
				t.Fatal(err)
			}
			changed := bytes.Replace(text, []byte(c.old), []byte(c.change), 1)
			if c.old != "" && bytes.Equal(changed, text) {
				t.Fatalf("%s does not have %q", message, c.old)
			}
			if err := os.WriteFile(file, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, "lint", c.lint, func() (string, error) { return buf(t, directory, "lint") })
			refused(t, "breaking", c.breaking, func() (string, error) { return buf(t, directory, "breaking", "--against", "released.binpb") })
		})
	}
}

// refused checks that a check fails with a text, or passes if the text is empty.
func refused(t *testing.T, name, text string, check func() (string, error)) {
	t.Helper()
	out, err := check()
	if (err != nil) != (text != "") || !strings.Contains(out, text) {
		t.Errorf("%s: error %v, want one with %q, of:\n%s", name, err, text, out)
	}
}
