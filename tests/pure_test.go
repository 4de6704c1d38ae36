package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// pure is the folder whose package decides without I/O, clock, goroutines or locks.
const pure = "adapters/pubsub/delivery"

// pureImports are the packages of the standard library that package delivery may use. impure is what it must not use of them.
var (
	pureImports = []string{"cmp", "fmt", "hash/fnv", "math/rand/v2", "slices", "strconv", "strings", "time"}
	impure      = map[string][]string{
		"time": {"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"},
		"rand": {"Int", "IntN", "Int64", "Int64N", "N", "Uint64", "Uint64N", "Float64", "Perm", "Shuffle"},
		"fmt":  {"Print", "Println", "Printf"},
	}
)

// impurities returns what in the sources depends on anything but arguments, or starts or awaits something.
func impurities(sources fs.FS) (found []string, err error) {
	files, err := fs.Glob(sources, "*.go")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(sources, file)
		if err != nil {
			return nil, err
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, source, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if what := impurity(n); what != "" {
				found = append(found, fmt.Sprintf("%v: %s", positions.Position(n.Pos()), what))
			}
			return true
		})
	}
	return found, nil
}

func impurity(n ast.Node) string {
	switch n := n.(type) {
	case *ast.ImportSpec:
		imported, err := strconv.Unquote(n.Path.Value)
		if err == nil && standard(imported) && !slices.Contains(pureImports, imported) {
			return "import of " + imported
		}
	case *ast.GoStmt:
		return "go statement"
	case *ast.ChanType:
		return "channel"
	case *ast.SelectStmt:
		return "select statement"
	case *ast.SelectorExpr:
		of, ok := n.X.(*ast.Ident)
		if ok && of.Obj == nil && slices.Contains(impure[of.Name], n.Sel.Name) {
			return "use of " + of.Name + "." + n.Sel.Name
		}
	}
	return ""
}

func TestPureDelivery(t *testing.T) {
	found, err := impurities(os.DirFS(path.Join("..", pure)))
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range found {
		t.Errorf("%s: %s", pure, what)
	}
}

func TestPureDelivery_Planted(t *testing.T) {
	for _, planted := range []string{
		`import "context"`, `import "sync"`, `import "sync/atomic"`, `import "os"`, `import "log/slog"`, `import "net/http"`,
		`var _ = time.Now()`, `var _ = time.Since`, `var _ = time.After`, `var _ = time.AfterFunc`, `var _ = time.NewTimer`,
		`var _ = rand.IntN(3)`, `func f() { go f() }`, `var c chan int`, `func f() { select {} }`, `func f() { fmt.Println() }`,
	} {
		found, err := impurities(fstest.MapFS{"a.go": {Data: []byte("package p\n\n" + planted + "\n")}})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 {
			t.Errorf("%s planted: found %q", planted, found)
		}
	}
	if found, err := impurities(fstest.MapFS{"a_test.go": {Data: []byte("package p\n\nimport \"context\"\n")}}); err != nil || len(found) != 0 {
		t.Errorf("in a test: found %q, error %v", found, err)
	}
}
