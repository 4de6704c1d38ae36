package tests

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// snippetImports are the packages that a snippet without a package clause may use.
var snippetImports = map[string]string{
	"chatcore":   "chatcore",
	"app":        "chatcore/app",
	"domain":     "chatcore/domain",
	"feed":       "chatcore/app/feed",
	"ports":      "chatcore/ports",
	"helpers":    "chatcore/helpers",
	"context":    "context",
	"errors":     "errors",
	"slog":       "log/slog",
	"time":       "time",
	"groups":     "chatcore/ports/groups",
	"message":    "github.com/ThreeDotsLabs/watermill/message",
	"middleware": "github.com/ThreeDotsLabs/watermill/message/router/middleware",
	"gobreaker":  "github.com/sony/gobreaker",
}

// snippet is a Go block of a page.
type snippet struct {
	page string
	line int // of its first line of code
	code string
}

// snippetsOf returns the Go blocks of a page.
func snippetsOf(page, text string) (found []snippet) {
	var current *snippet
	number := 0
	for line := range strings.Lines(text) {
		number++
		switch trimmed := strings.TrimSpace(line); {
		case current != nil && trimmed == "```":
			found = append(found, *current)
			current = nil
		case current != nil:
			current.code += line
		case trimmed == "```go":
			current = &snippet{page: page, line: number + 1}
		}
	}
	return found
}

// source returns the file that the compiler reads for a snippet. A snippet with a package clause is a whole file. Any other snippet is the body of a
// function, which may use the names of testdata/snippets/names.go and the packages of snippetImports. Variables that it declares count as used.
func (s snippet) source(number int) (string, error) {
	line := fmt.Sprintf("//line %s:%d\n", s.page, s.line)
	if s.program() {
		return line + s.code, nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() error {\n"+line+s.code+"\n}", parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	body := file.Decls[0].(*ast.FuncDecl).Body //nolint:forcetypeassert // the text above
	var names, imports []string
	for _, statement := range body.List {
		names = append(names, declared(statement)...)
	}
	ast.Inspect(body, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && snippetImports[x.Name] != "" {
				imports = append(imports, x.Name)
			}
		}
		return true
	})
	slices.Sort(imports)
	var text strings.Builder
	text.WriteString("package snippets\n")
	for _, name := range slices.Compact(imports) {
		fmt.Fprintf(&text, "import %s %q\n", name, snippetImports[name])
	}
	fmt.Fprintf(&text, "func snippet%d() error {\n%s%s", number, line, s.code)
	if _, returns := body.List[len(body.List)-1].(*ast.ReturnStmt); returns {
		text.WriteString("}\n")
		if len(names) > 0 {
			return "", fmt.Errorf("%s:%d: a snippet that ends with return must use %v", s.page, s.line, names)
		}
		return text.String(), nil
	}
	for _, name := range names {
		fmt.Fprintf(&text, "_ = %s\n", name)
	}
	text.WriteString("return nil\n}\n")
	return text.String(), nil
}

// program reports whether a snippet is a whole file.
func (s snippet) program() bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", s.code, parser.PackageClauseOnly)
	return err == nil
}

// declared returns the names that a statement declares.
func declared(statement ast.Stmt) (names []string) {
	add := func(idents ...ast.Expr) {
		for _, x := range idents {
			if ident, ok := x.(*ast.Ident); ok && ident.Name != "_" {
				names = append(names, ident.Name)
			}
		}
	}
	switch s := statement.(type) {
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			add(s.Lhs...)
		}
	case *ast.DeclStmt:
		if general, ok := s.Decl.(*ast.GenDecl); ok {
			for _, spec := range general.Specs {
				if value, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range value.Names {
						add(name)
					}
				}
			}
		}
	}
	return names
}

// vetSnippets compiles and vets snippets as packages of this module. The only traces in the module are empty directories of programs, which end with the test.
func vetSnippets(t *testing.T, snippets []snippet) error {
	t.Helper()
	base, err := filepath.Abs("testdata/snippets")
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	args := []string{"vet", "-overlay", filepath.Join(files, "overlay.json"), base}
	for i, s := range snippets {
		source, err := s.source(i)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("snippet%d.go", i)
		if err := os.WriteFile(filepath.Join(files, name), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if s.program() {
			directory := filepath.Join(base, fmt.Sprintf("program%d-%d", os.Getpid(), i))
			if err := os.Mkdir(directory, 0o700); err != nil { // vet runs in it
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(directory) })
			args = append(args, directory)
			name = filepath.Join(filepath.Base(directory), name)
		}
		overlay.Replace[filepath.Join(base, name)] = filepath.Join(files, filepath.Base(name))
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(files, "overlay.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.ReplaceAll(string(out), files+string(filepath.Separator), ""))
	}
	return nil
}

// TestSnippets compiles every Go block of the README and the docs.
func TestSnippets(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var snippets []snippet
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page) //nolint:gosec // a page of this repository
		if err != nil {
			t.Fatal(err)
		}
		snippets = append(snippets, snippetsOf(strings.TrimPrefix(filepath.ToSlash(page), "../"), string(text))...)
	}
	if len(snippets) < 15 {
		t.Errorf("only %d snippets were found", len(snippets))
	}
	if err := vetSnippets(t, snippets); err != nil {
		t.Error(err)
	}
}

// TestSnippets_Broken shows that a snippet that does not compile is an error which names its line.
func TestSnippets_Broken(t *testing.T) {
	for name, code := range map[string]string{
		"syntax": "err = core.Start(ctx\n",
		"body":   "sent, err := core.Chats.Send(ctx, domain.Send{Chat: \"garden\", Nobody: \"ada\"})\n",
		"method": "\nerr = core.NoSuchMethod(ctx)\n",
		"file":   "package main\n\nimport \"chatcore\"\n\nfunc main() { chatcore.NoSuchFunction() }\n",
	} {
		t.Run(name, func(t *testing.T) {
			found := snippetsOf("page.md", "# Page\n\n```go\n"+code+"```\n")
			if len(found) != 1 {
				t.Fatalf("%d snippets", len(found))
			}
			if err := vetSnippets(t, found); err == nil || name != "syntax" && !strings.Contains(err.Error(), "page.md:") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
