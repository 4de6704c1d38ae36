package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestArchitecture_NamesExist checks that every file and function that docs/architecture.md names exists.
func TestArchitecture_NamesExist(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z_/]+\\.(?:go|lua|md))(?::([A-Za-z.]+))?`").FindAllStringSubmatch(string(text), -1)
	const least = 30
	if len(named) < least {
		t.Fatalf("%d names are found, want at least %d", len(named), least)
	}
	for _, name := range named {
		file, function := path.Join("..", name[1]), name[2]
		if strings.HasSuffix(file, ".md") {
			file = path.Join("../docs", name[1])
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s: %v", name[0], err)
			continue
		}
		if function != "" && !declares(t, string(source), function) {
			t.Errorf("%s: no such function", name[0])
		}
	}
}

// declares reports whether a Go file declares a function, or a method as Type.Method.
func declares(t *testing.T, source, function string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			of := f.Recv.List[0].Type
			if pointer, ok := of.(*ast.StarExpr); ok {
				of = pointer.X
			}
			if id, ok := of.(*ast.Ident); ok {
				name = id.Name + "." + name
			}
		}
		if name == function {
			return true
		}
	}
	return false
}
