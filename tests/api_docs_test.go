package tests

import (
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"chatcore/tests/apiserver"
)

// apiServer serves what docs/api.md describes, and returns the address. Programs on this machine are a service with all scopes.
func apiServer(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(apiserver.Start(t).Local)
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

// apiMethods returns the paths of all methods of the API.
func apiMethods() (paths []string) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if strings.HasPrefix(string(service.FullName()), "chatcore.") {
					paths = append(paths, string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
				}
			}
		}
		return true
	})
	slices.Sort(paths)
	return paths
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
	methods := apiMethods()
	if len(methods) < 40 {
		t.Errorf("only %d methods were found", len(methods))
	}
	for _, path := range methods {
		if !shown[path] {
			t.Errorf("docs/api.md has no curl line of %s", path)
		}
	}
}

// TestREADMECommands runs the curl lines of README.md in order: their responses are exactly those of the page, but for the time.
func TestREADMECommands(t *testing.T) {
	calls, err := curlCalls("README.md", strings.ReplaceAll(pageText(t, "README.md"), "http://127.0.0.1:7460", "$CORE"))
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 3 {
		t.Errorf("only %d curl lines were found", len(calls))
	}
	variables := map[string]string{"CORE": apiServer(t)}
	for _, c := range calls {
		if c.response == "" {
			t.Errorf("README.md:%d: the page does not show the response", c.line)
		}
		c.run(t, variables, true)
	}
}
