package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// errorReasons returns the reason and the code of each error of the API, from the sources of its adapter: "reason code" of composite literals that have
// both, and "reason" of those that have no code of their own.
func errorReasons(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../adapters/connect/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no sources of adapters/connect", err)
	}
	found := make(map[string]string)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if literal, ok := n.(*ast.CompositeLit); ok {
				if reason, code := reasonOf(literal); reason != "" {
					found[reason] = code
				}
			}
			return true
		})
	}
	return found
}

// reasonOf returns the reason of an error in a composite literal, and its code.
func reasonOf(literal *ast.CompositeLit) (reason, code string) {
	typ, _ := literal.Type.(*ast.Ident)
	for i, element := range literal.Elts {
		value, name := element, ""
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok {
				name = key.Name
			}
			value = pair.Value
		}
		if selector, ok := value.(*ast.SelectorExpr); ok && strings.HasPrefix(selector.Sel.Name, "Code") {
			code = selector.Sel.Name
		}
		if text, ok := value.(*ast.BasicLit); ok && (name == "reason" || name == "" && i == 1 && typ != nil && typ.Name == "callError") {
			reason, _ = strconv.Unquote(text.Value)
		}
	}
	return reason, code
}

// TestAPIErrors compares the table of errors of docs/api.md with the errors of the adapter.
func TestAPIErrors(t *testing.T) {
	documented := make(map[string][]string) // codes by reason
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([\\d, ]+) \\| (.*?) \\|").FindAllStringSubmatch(pageText(t, "docs/api.md"), -1) {
		for _, reason := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1) {
			documented[reason[1]] = append(documented[reason[1]], row[1])
		}
	}
	reasons := errorReasons(t)
	if len(reasons) < 40 {
		t.Errorf("only %d reasons were found", len(reasons))
	}
	for reason, code := range reasons {
		code = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(strings.TrimPrefix(code, "Code"), "${1}_$2"))
		if code != "" && !slices.Contains(documented[reason], code) || documented[reason] == nil {
			t.Errorf("docs/api.md does not list the reason %s of code %q", reason, code)
		}
	}
	for reason, codes := range documented {
		if _, known := reasons[reason]; !known {
			t.Errorf("docs/api.md lists the reason %s (%s), which no error has", reason, fmt.Sprint(codes))
		}
	}
}
