package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// edit is an insertion of text. Edits at one offset keep the order of their ranks.
type edit struct {
	at   int
	rank int
	text string
}

// rewriter adds the mutants of one Go file. Line numbers stay the same.
type rewriter struct {
	file    string
	src     []byte
	fset    *token.FileSet
	base    int          // number of the first mutant
	skip    map[int]bool // lines without mutants
	mutants []mutant
	edits   []edit
}

// goMutants returns the file's text with all mutants in it and their descriptions. Mutant i has the number base+i.
func goMutants(file string, src []byte, base int, skip map[int]bool) ([]byte, []mutant, error) {
	r := &rewriter{file: file, src: src, fset: token.NewFileSet(), base: base, skip: skip}
	parsed, err := parser.ParseFile(r.fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			r.body(f.Type, f.Body)
		}
	}
	return r.text(), r.mutants, nil
}

func (r *rewriter) text() []byte {
	slices.SortStableFunc(r.edits, func(a, b edit) int {
		if a.at != b.at {
			return a.at - b.at
		}
		return a.rank - b.rank
	})
	var b bytes.Buffer
	last := 0
	for _, e := range r.edits {
		b.Write(r.src[last:e.at])
		b.WriteString(e.text)
		last = e.at
	}
	b.Write(r.src[last:])
	return b.Bytes()
}

// body adds the mutants of a function. Functions in it are handled with their own results.
func (r *rewriter) body(t *ast.FuncType, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			r.body(n.Type, n.Body)
			return false
		case *ast.GenDecl:
			return n.Tok != token.CONST
		case *ast.IfStmt:
			r.condition(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				r.wrap(n.Cond, "never", "((", ") && !%s)")
			}
		case *ast.SwitchStmt:
			if n.Tag == nil {
				for _, c := range n.Body.List {
					for _, e := range c.(*ast.CaseClause).List {
						r.condition(e)
					}
				}
			}
		case *ast.ReturnStmt:
			r.results(t, n)
		case *ast.BinaryExpr:
			r.binary(n)
		case *ast.BlockStmt:
			r.statements(n.List)
		case *ast.CaseClause:
			r.statements(n.Body)
		case *ast.CommClause:
			r.statements(n.Body)
		}
		return true
	})
}

func (r *rewriter) condition(e ast.Expr) {
	r.wrap(e, "always", "((", ") || %s)")
	r.wrap(e, "never", "((", ") && !%s)")
}

// results negates the results of type bool.
func (r *rewriter) results(t *ast.FuncType, n *ast.ReturnStmt) {
	if t.Results == nil {
		return
	}
	var kinds []ast.Expr
	for _, f := range t.Results.List {
		for range max(1, len(f.Names)) {
			kinds = append(kinds, f.Type)
		}
	}
	if len(kinds) != len(n.Results) {
		return
	}
	for i, e := range n.Results {
		if id, ok := kinds[i].(*ast.Ident); ok && id.Name == "bool" {
			r.wrap(e, "negated", "((", ") != %s)")
		}
	}
}

func (r *rewriter) binary(n *ast.BinaryExpr) {
	x, y := r.of(n.X), r.of(n.Y)
	switch n.Op {
	case token.LAND:
		r.wrap(n.X, "without", "((", ") || %s)")
		r.wrap(n.Y, "without", "((", ") || %s)")
	case token.LOR:
		r.wrap(n.X, "without", "((", ") && !%s)")
		r.wrap(n.Y, "without", "((", ") && !%s)")
	case token.LSS, token.GTR:
		r.wrap(n, "or equal", "((", fmt.Sprintf(") || (%%s && (%s) == (%s)))", x, y))
	case token.LEQ, token.GEQ:
		r.wrap(n, "not equal", "((", fmt.Sprintf(") && !(%%s && (%s) == (%s)))", x, y))
	case token.ADD, token.SUB:
		if lit, ok := n.Y.(*ast.BasicLit); ok && lit.Kind == token.INT && !strings.Contains(strings.ReplaceAll(x, "len(", ""), "(") { // a call would be made twice
			r.wrap(n, "without the summand", "mutantSum(", fmt.Sprintf(", %s, %%s)", x))
		}
	default:
	}
}

// statements removes one statement after the other.
func (r *rewriter) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); !ok || keeps(r.of(call.Fun)) {
				continue
			}
		case *ast.IncDecStmt:
		case *ast.BranchStmt:
			if s.Tok != token.CONTINUE && s.Tok != token.BREAK {
				continue
			}
		default:
			continue
		}
		r.wrap(s, "removed", "if !%s { ", " }")
	}
}

// keeps reports whether a call cannot be removed: the tests would wait forever, or the code would not compile.
func keeps(called string) bool {
	name := called[strings.LastIndexByte(called, '.')+1:]
	return slices.Contains([]string{"panic", "Lock", "Unlock", "RLock", "RUnlock", "Done", "Wait", "Add", "close", "end", "cancel"}, name)
}

// wrap adds a mutant: text before and after a node, with the switch in the place of %s.
func (r *rewriter) wrap(n ast.Node, kind, before, after string) {
	line := r.fset.Position(n.Pos()).Line
	if r.skip[line] {
		return
	}
	number := r.base + len(r.mutants)
	on := fmt.Sprintf("mutantOn(%d)", number)
	r.mutants = append(r.mutants, mutant{file: r.file, line: line, what: kind + ": " + oneLine(r.of(n))})
	r.edits = append(r.edits,
		edit{r.offset(n.Pos()), len(r.edits) + 1, strings.Replace(before, "%s", on, 1)},
		edit{r.offset(n.End()), -len(r.edits) - 2, strings.Replace(after, "%s", on, 1)}) // inner nodes end first
}

func (r *rewriter) of(n ast.Node) string {
	return string(r.src[r.offset(n.Pos()):r.offset(n.End())])
}

func (r *rewriter) offset(p token.Pos) int { return r.fset.Position(p).Offset }

// switches is the file that each package with mutants gets.
const switches = `package %s

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

var (
	mutantActive = func() int64 { n, err := strconv.ParseInt(os.Getenv("CHATCORE_MUTANT"), 10, 64); if err != nil { return -1 }; return n }()
	mutantTrace = func() *os.File { name := os.Getenv("CHATCORE_MUTANT_TRACE"); if name == "" { return nil }; f, err := os.Create(name); if err != nil { panic(err) }; return f }()
	mutantReached [%d]atomic.Bool
	mutantMu sync.Mutex
)

func mutantOn(n int64) bool {
	if mutantTrace != nil && mutantReached[n].CompareAndSwap(false, true) {
		mutantMu.Lock()
		defer mutantMu.Unlock()
		if _, err := mutantTrace.WriteAt([]byte{1}, n); err != nil { panic(err) }
	}
	return mutantActive == n
}

func mutantSum[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float64](sum, summand T, on bool) T {
	if on { return summand }
	return sum
}
`
