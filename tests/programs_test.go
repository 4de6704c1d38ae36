package tests

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPrograms_Imports reads the programs of README.md and of examples/: of this module they import the root and domain, and what only a demonstration
// or a test needs.
func TestPrograms_Imports(t *testing.T) {
	sources := make(map[string]string)
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range snippetsOf("README.md", string(readme)) {
		if s.program() {
			sources["README.md:"+strconv.Itoa(s.line)] = s.code
		}
	}
	files, err := filepath.Glob("../examples/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path) //nolint:gosec // of this repository
		if err != nil {
			t.Fatal(err)
		}
		sources[path] = string(text)
	}
	if len(sources) < 8 {
		t.Errorf("found %d programs", len(sources))
	}
	allowed := []string{"chatcore", "chatcore/domain", "chatcore/app/feed", "chatcore/chatcoretest", "chatcore/embedded", "chatcore/consume"}
	inTests := []string{"chatcore/adapters/connect", "chatcore/adapters/connect/auth", "chatcore/ports/groups", "chatcore/tests/wait"} // they serve the API to the program
	for name, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if path != "chatcore" && !strings.HasPrefix(path, "chatcore/") || strings.HasPrefix(path, "chatcore/examples/") {
				continue
			}
			if strings.HasSuffix(name, "_test.go") && slices.Contains(inTests, path) {
				continue
			}
			if !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s; allowed: %q", name, path, allowed)
			}
		}
	}
}
