package connect

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// reasonsOfSources returns the reasons that the sources of the package name: those of the table, and of the errors of the package itself.
func reasonsOfSources(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	add := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			reason, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[reason] = true
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "reason" {
					add(n.Value)
				}
			case *ast.CompositeLit:
				if name, ok := n.Type.(*ast.Ident); ok && name.Name == "callError" && len(n.Elts) > 1 {
					add(n.Elts[1])
				}
			}
			return true
		})
	}
	return found
}

// documentedReasons returns the codes of each reason in the table of docs/api.md.
func documentedReasons(t *testing.T) map[string]map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| code | HTTP | reason | meaning |")
	table, _, _ = strings.Cut(table, "\n\n")
	found := make(map[string]map[string]bool)
	quoted := regexp.MustCompile("`([a-z_]+)`")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		for _, reason := range quoted.FindAllStringSubmatch(cells[3], -1) {
			if found[reason[1]] == nil {
				found[reason[1]] = make(map[string]bool)
			}
			found[reason[1]][quoted.FindStringSubmatch(cells[1])[1]] = true
		}
	}
	return found
}

// TestReasons_AreDocumented has docs/api.md list exactly the reasons that errors of the API have, each under the code of its row in the table of errors.
func TestReasons_AreDocumented(t *testing.T) {
	sources, documented := reasonsOfSources(t), documentedReasons(t)
	if len(sources) < 50 || len(documented) < 50 {
		t.Fatalf("the sources name %d reasons, docs/api.md %d", len(sources), len(documented))
	}
	for reason := range sources {
		if documented[reason] == nil {
			t.Errorf("docs/api.md does not list the reason %s", reason)
		}
	}
	for reason := range documented {
		if !sources[reason] {
			t.Errorf("docs/api.md lists the reason %s, which no error has", reason)
		}
	}
	for _, class := range errorClasses() {
		if documented[class.reason] != nil && !documented[class.reason][class.code.String()] {
			t.Errorf("docs/api.md does not list the reason %s under the code %v", class.reason, class.code)
		}
	}
}
