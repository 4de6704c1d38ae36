package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// TestRoot_NoAliasHidesAStruct checks the exported aliases of the root package: go doc shows neither the fields nor the methods of a struct behind one.
func TestRoot_NoAliasHidesAStruct(t *testing.T) {
	hidden, aliases, err := hiddenStructs(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range hidden {
		t.Errorf("chatcore.%s is an alias of a struct: define it in the root package, or use the type itself", name)
	}
	if aliases == 0 {
		t.Error("no alias is found")
	}
}

// TestHiddenStructs_FindsPlantedAliases checks the check.
func TestHiddenStructs_FindsPlantedAliases(t *testing.T) {
	hidden, aliases, err := hiddenStructs(fstest.MapFS{
		"core.go":        {Data: []byte("package chatcore\nimport \"chatcore/ports\"\ntype (\n\tHidden = ports.S\n\tChained = ports.A\n\tGeneric[T any] = ports.G[T]\n\tPlain = ports.I\n\tunexported = ports.S\n)\n")},
		"ports/ports.go": {Data: []byte("package ports\ntype S struct{ F int }\ntype A = S\ntype G[T any] struct{ F T }\ntype I interface{}\n")},
	})
	if err != nil || strings.Join(hidden, " ") != "Hidden Chained Generic" || aliases != 4 {
		t.Errorf("found %q of %d aliases, error %v", hidden, aliases, err)
	}
}

// hiddenStructs returns the exported aliases in the package at the top of sources that stand for structs of other packages of the module, and the
// number of all exported aliases.
func hiddenStructs(sources fs.FS) (hidden []string, aliases int, err error) {
	files, err := parseDir(sources, ".")
	if err != nil {
		return nil, 0, err
	}
	for _, file := range files {
		for _, spec := range typeSpecs(file) {
			if !spec.Assign.IsValid() || !spec.Name.IsExported() {
				continue
			}
			aliases++
			is, err := isStruct(sources, ".", file, spec.Type)
			if err != nil {
				return nil, 0, err
			}
			if is {
				hidden = append(hidden, spec.Name.Name)
			}
		}
	}
	return hidden, aliases, nil
}

// isStruct reports whether a type expression of a file in a folder stands for a struct.
func isStruct(sources fs.FS, folder string, file *ast.File, of ast.Expr) (bool, error) {
	switch of := of.(type) {
	case *ast.StructType:
		return true, nil
	case *ast.IndexExpr:
		return isStruct(sources, folder, file, of.X)
	case *ast.IndexListExpr:
		return isStruct(sources, folder, file, of.X)
	case *ast.Ident:
		return namesStruct(sources, folder, of.Name)
	case *ast.SelectorExpr:
		imported := importOf(file, of.X.(*ast.Ident).Name)
		inside, ours := strings.CutPrefix(imported, module+"/")
		if !ours {
			return false, nil
		}
		return namesStruct(sources, inside, of.Sel.Name)
	}
	return false, nil
}

// namesStruct reports whether a type of a folder is a struct, or an alias of one.
func namesStruct(sources fs.FS, folder, name string) (bool, error) {
	files, err := parseDir(sources, folder)
	if err != nil {
		return false, err
	}
	for _, file := range files {
		for _, spec := range typeSpecs(file) {
			if spec.Name.Name == name {
				return isStruct(sources, folder, file, spec.Type)
			}
		}
	}
	return false, nil
}

// parseDir parses the files of a folder, without tests.
func parseDir(sources fs.FS, folder string) ([]*ast.File, error) {
	names, err := fs.Glob(sources, path.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(sources, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Base(name), source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func typeSpecs(file *ast.File) (specs []*ast.TypeSpec) {
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.TYPE {
			continue
		}
		for _, spec := range general.Specs {
			specs = append(specs, spec.(*ast.TypeSpec))
		}
	}
	return specs
}

// importOf returns the path that a file imports under a name.
func importOf(file *ast.File, name string) string {
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path.Base(imported) == name {
			return imported
		}
	}
	return ""
}
