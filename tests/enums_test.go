package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// enumerations are the named integer types of a package, its constants of such types and its String methods, by the names of the types.
type enumerations struct {
	types, constants, strings map[string]bool
}

// add adds the declarations of a file.
func (e *enumerations) add(file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil && d.Name.Name == "String" {
				e.strings[strings.TrimPrefix(typeName(d.Recv.List[0].Type), "*")] = true
			}
		case *ast.GenDecl:
			e.addSpecs(d)
		}
	}
}

func (e *enumerations) addSpecs(d *ast.GenDecl) {
	inherited := "" // type of a constant without a value
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if name := typeName(spec.Type); isInteger(name) && !spec.Assign.IsValid() {
				e.types[spec.Name.Name] = true
			}
		case *ast.ValueSpec:
			if d.Tok != token.CONST {
				continue
			}
			if spec.Type != nil || len(spec.Values) > 0 {
				inherited = typeName(spec.Type)
			}
			if len(spec.Values) > 0 && inherited == "" {
				if call, ok := spec.Values[0].(*ast.CallExpr); ok { // T(1)
					inherited = typeName(call.Fun)
				}
			}
			e.constants[inherited] = true
		}
	}
}

// typeName returns the name of a type of its own package or of Go, and "" for any other.
func typeName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.StarExpr:
		return "*" + typeName(x.X)
	}
	return ""
}

func isInteger(name string) bool {
	return slices.Contains([]string{"int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "byte", "rune"}, name)
}

// missing returns the enumerated types without a String method.
func (e *enumerations) missing() (names []string) {
	for name := range e.types {
		if e.constants[name] && !e.strings[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestEnums_HaveString finds every named integer type with constants: logs, errors and tests print its values by name.
func TestEnums_HaveString(t *testing.T) {
	packages, files := make(map[string]*enumerations), token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir():
			return skipped(name)
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if packages[dir] == nil {
			packages[dir] = &enumerations{types: make(map[string]bool), constants: make(map[string]bool), strings: make(map[string]bool)}
		}
		packages[dir].add(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for dir, e := range packages {
		for name := range e.types {
			if e.constants[name] {
				found++
			}
		}
		for _, name := range e.missing() {
			t.Errorf("%s: %s has constants and no String method", dir, name)
		}
	}
	if found < 10 {
		t.Errorf("found %d enumerated types", found)
	}
}
