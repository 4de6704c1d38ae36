package tests

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"chatcore/tests/apiserver"
	"chatcore/tests/wait"
)

// apiServer serves what docs/api.md describes, and returns the address. Programs on this machine are a service with all scopes.
func apiServer(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(apiserver.Start(t).Local)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile("../" + page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAPIDocs runs every curl line of docs/api.md in order, and compares the responses with those of the page. Each method has a line.
func TestAPIDocs(t *testing.T) {
	calls, err := curlCalls("docs/api.md", pageText(t, "docs/api.md"))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"CORE": apiServer(t)}
	shown := make(map[string]bool)
	for _, c := range calls {
		c.run(t, variables, false)
		if m := regexp.MustCompile(`\$CORE/([\w.]+/\w+)`).FindStringSubmatch(c.command); m != nil {
			shown[m[1]] = true
		}
	}
	methods := apiserver.Methods()
	if len(methods) < 40 {
		t.Errorf("only %d methods were found", len(methods))
	}
	for _, path := range methods {
		if !shown[path] {
			t.Errorf("docs/api.md has no curl line of %s", path)
		}
	}
}

// embeddedServer runs the README's first command, on a free port, and returns the line that it prints.
func embeddedServer(t *testing.T) (address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait.Limit)
	cmd := exec.CommandContext(ctx, program(t), "serve", "--embedded", "--listen", "127.0.0.1:0") //nolint:gosec // built by this test
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// TestREADMECommands runs the first commands of README.md in order: the responses are exactly those of the page, but for the time.
func TestREADMECommands(t *testing.T) {
	page := pageText(t, "README.md")
	calls, err := curlCalls("README.md", strings.ReplaceAll(page, "http://127.0.0.1:7460", "$CORE"))
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 3 || !strings.Contains(page, "\ngo run ./cmd/core serve --embedded\n") {
		t.Errorf("%d curl lines were found, want three, after go run ./cmd/core serve --embedded", len(calls))
	}
	variables := map[string]string{"CORE": embeddedServer(t)}
	for _, c := range calls {
		if c.response == "" {
			t.Errorf("README.md:%d: the page does not show the response", c.line)
		}
		c.run(t, variables, true)
	}
}
