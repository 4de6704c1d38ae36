package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestConfig_DocumentsEveryField checks that every field of the configuration says its default, or is one that has none.
func TestConfig_DocumentsEveryField(t *testing.T) {
	withoutDefault := []string{"RedisConfig.URL", "RedisConfig.Durability", "DeliveryConfig.Retry", "DeliveryConfig.Warn", "LimitsConfig.Caps"}
	file, err := parser.ParseFile(token.NewFileSet(), "../config.go", nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		of, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range of.Fields.List {
			fields++
			group := spec.Name.Name == "Config" && isGroup(field.Type)
			text := field.Doc.Text() + field.Comment.Text()
			for _, name := range field.Names {
				path := spec.Name.Name + "." + name.Name
				switch has := strings.Contains(text, "Defaults to"); {
				case text == "":
					t.Errorf("%s has no comment", path)
				case !has && !group && !slices.Contains(withoutDefault, path):
					t.Errorf("%s does not say what it defaults to", path)
				}
			}
		}
		return true
	})
	const least = 40
	if fields < least {
		t.Errorf("%d fields are found, want at least %d", fields, least)
	}
}

// isGroup reports whether a type is a group of settings.
func isGroup(of ast.Expr) bool {
	id, ok := of.(*ast.Ident)
	return ok && strings.HasSuffix(id.Name, "Config")
}
