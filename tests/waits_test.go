package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatcore/tests/wait"
)

// durations are the constant durations of a package by name.
type durations map[string]time.Duration

// add adds the constants of a file.
func (d durations) add(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
			for i, name := range spec.Names {
				if v, known := d.of(spec.Values[i]); known {
					d[name.Name] = v
				}
			}
		}
		return true
	})
}

// of returns the value of a constant expression, if it is one of numbers, units of package time and constants of the package.
func (d durations) of(x ast.Expr) (time.Duration, bool) {
	switch x := x.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(x.Value, 10, 64)
		return time.Duration(n), err == nil
	case *ast.Ident:
		v, known := d[x.Name]
		return v, known
	case *ast.SelectorExpr:
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour, "Limit": wait.Limit}
		v, known := units[x.Sel.Name]
		return v, known
	case *ast.BinaryExpr:
		a, ok1 := d.of(x.X)
		b, ok2 := d.of(x.Y)
		switch {
		case !ok1 || !ok2:
		case x.Op == token.MUL:
			return a * b, true
		case x.Op == token.QUO && b != 0:
			return a / b, true
		}
	}
	return 0, false
}

// bound returns the duration of a call that makes a deadline.
func (d durations) bound(call *ast.CallExpr) (time.Duration, bool) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return 0, false
	}
	x, ok := selector.X.(*ast.Ident)
	if !ok || !slices.Contains([]string{"time.After", "time.NewTimer", "context.WithTimeout"}, x.Name+"."+selector.Sel.Name) {
		return 0, false
	}
	return d.of(call.Args[len(call.Args)-1])
}

// isReceive reports whether a statement only receives, such as <-time.After(d): a pause of that length, which fails nothing.
func isReceive(n ast.Node) bool {
	statement, ok := n.(*ast.ExprStmt)
	if !ok {
		return false
	}
	receive, ok := statement.X.(*ast.UnaryExpr)
	return ok && receive.Op == token.ARROW
}

// TestWaits_AreLong finds deadlines of more than a second and less than [wait.Limit] in tests and in packages that only tests use: on a busy machine they
// pass although nothing is wrong. Shorter ones, and bare receives, are pauses. Tests with virtual time are left out.
func TestWaits_AreLong(t *testing.T) {
	files, parsed := token.NewFileSet(), make(map[string][]*ast.File)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case name == "bench":
			return filepath.SkipDir
		case d.IsDir():
			return skipped(name)
		case filepath.Ext(name) != ".go":
			return nil
		case !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(filepath.ToSlash(path), "../tests/") && !strings.Contains(path, "porttest"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		parsed[filepath.Dir(path)] = append(parsed[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, all := range parsed {
		known := make(durations)
		for _, file := range all {
			known.add(file)
		}
		for _, file := range all {
			if slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` }) {
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if isReceive(n) {
					return false
				}
				if call, ok := n.(*ast.CallExpr); ok {
					d, constant := known.bound(call)
					if constant && d > 0 {
						found++
					}
					if constant && d > time.Second && d < wait.Limit {
						t.Errorf("%s: a deadline of %v; allowed: wait.Until, wait.Limit, or at most a second for a pause", files.Position(call.Pos()), d)
					}
				}
				return true
			})
		}
	}
	if found < 20 {
		t.Errorf("found %d deadlines", found)
	}
}
