package tests

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var rewriteScale = flag.Bool("rewrite", false, "write docs/scale.md anew from its constants and docs/benchmarks.md")

// TestScale computes docs/scale.md again: measured constants equal the figures of docs/benchmarks.md, benchmarks that measure them exist, and each cell of
// the computed tables is what its formula gives.
func TestScale(t *testing.T) {
	page := readPage(t, "../docs/scale.md")
	fresh, err := computeScale(page, readPage(t, "../docs/benchmarks.md"), benchmarkNames(t))
	if err != nil {
		t.Fatal(err)
	}
	if *rewriteScale {
		if err := os.WriteFile("../docs/scale.md", []byte(fresh), 0o644); err != nil { //nolint:gosec // for everyone to read
			t.Fatal(err)
		}
		return
	}
	now, computed := strings.Split(page, "\n"), strings.Split(fresh, "\n")
	for i := range now {
		if now[i] != computed[i] {
			t.Errorf("docs/scale.md:%d:\n%s\nis computed as\n%s\n`go test ./tests -run TestScale -rewrite` writes the page", i+1, now[i], computed[i])
		}
	}
}

// TestScale_Faults shows that differences are found.
func TestScale_Faults(t *testing.T) {
	const benchmarks = "<!-- table: cost -->\n| µs | one |\n| --- | --- |\n| core | 1,250.5 (1 to 2) |\n"
	const measured = "<!-- scale: measured -->\n| name | value | unit | measured by |\n| --- | --- | --- | --- |\n| `send` | 7 | µs | `BenchmarkSend`: cost / core / one |\n"
	const computed = "<!-- scale: computed -->\n| row | formula | 10⁷ | 10⁸ |\n| --- | --- | --- | --- |\n| sends | `sends = day * send / 1e6` | 0 | 0 |\n| rounded | `ceil(max(sends, 1.5))` | 0 | 0 |\n"
	names := []string{"BenchmarkSend"}
	fresh, err := computeScale(measured+"\n"+computed, benchmarks, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| `send` | 1250.5 |", "| 12,500 | 125,000 |"} {
		if !strings.Contains(fresh, want) {
			t.Errorf("%q is not in\n%s", want, fresh)
		}
	}
	for fault, page := range map[string]string{
		"BenchmarkGone":        strings.Replace(measured, "BenchmarkSend", "BenchmarkGone", 1),
		"cost / core / two":    strings.Replace(measured, "/ one", "/ two", 1),
		"table price":          strings.Replace(measured, "cost /", "price /", 1),
		"unknown name other":   measured + "\n" + strings.Replace(computed, "* send", "* other", 1),
		"names no benchmark":   strings.Replace(measured, "`BenchmarkSend`: cost / core / one", "by hand", 1),
		"no power of ten":      measured + "\n" + strings.Replace(computed, "10⁸", "many", 1),
		"no function":          measured + "\n" + strings.Replace(computed, "ceil(", "floor(", 1),
		"no part of a formula": measured + "\n" + strings.Replace(computed, "1e6", "-1", 1),
	} {
		if _, err := computeScale(page, benchmarks, names); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("want %q, got %v", fault, err)
		}
	}
}

// scale computes a page line by line.
type scale struct {
	benchmarks string
	names      []string           // of benchmarks
	constants  map[string]float64 // the same in each column
	columns    []map[string]float64
	kind       string // of the block of the present line, or nothing
	rows       int    // lines of the block before it
}

// computeScale returns the page with the values that its constants and formulas give. It has the same lines.
func computeScale(page, benchmarks string, names []string) (string, error) {
	s := &scale{benchmarks: benchmarks, names: names, constants: map[string]float64{}}
	lines := strings.Split(page, "\n")
	for i, line := range lines {
		if mark, is := strings.CutPrefix(line, "<!-- scale: "); is {
			s.kind, s.rows = strings.TrimSuffix(mark, " -->"), 0
			continue
		}
		if !strings.HasPrefix(line, "|") {
			s.kind = ""
			continue
		}
		if s.kind == "" {
			continue
		}
		s.rows++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		var err error
		switch {
		case s.rows == 1:
			err = s.head(cells)
		case s.rows > 2 && s.kind == "measured":
			err = s.measured(cells)
		case s.rows > 2 && s.kind == "assumed":
			err = s.assumed(cells)
		case s.rows > 2 && s.kind == "computed":
			err = s.computed(cells)
		}
		if err != nil {
			return "", fmt.Errorf("line %d: %w", i+1, err)
		}
		if s.rows > 2 {
			lines[i] = "| " + strings.Join(cells, " | ") + " |"
		}
	}
	return strings.Join(lines, "\n"), nil
}

// head begins a table. A column of a computed table that is headed 10⁷ has day = 10⁷; what earlier tables computed for it stays.
func (s *scale) head(cells []string) error {
	if s.kind != "computed" {
		return nil
	}
	if len(s.columns) == 0 {
		for range cells[2:] {
			s.columns = append(s.columns, maps.Clone(s.constants))
		}
	}
	if len(cells) != len(s.columns)+2 {
		return fmt.Errorf("the table has %d columns, the first one has %d", len(cells), len(s.columns)+2)
	}
	for i, cell := range cells[2:] {
		exponent := strings.IndexRune("⁰¹²³⁴⁵⁶⁷⁸⁹", []rune(strings.TrimPrefix(cell, "10"))[0])
		if exponent < 0 {
			return fmt.Errorf("%q is no power of ten", cell)
		}
		s.columns[i]["day"] = math.Pow10(len([]rune("⁰¹²³⁴⁵⁶⁷⁸⁹"[:exponent])))
	}
	return nil
}

var reference = regexp.MustCompile("^`(Benchmark[A-Za-z]+)`(?:: (.+) / (.+) / (.+))?$")

// measured takes a constant. Where the row names a cell of a table in docs/benchmarks.md, the value is that of the cell.
func (s *scale) measured(cells []string) error {
	parts := reference.FindStringSubmatch(cells[3])
	if parts == nil {
		return fmt.Errorf("%q names no benchmark", cells[3])
	}
	if !slices.Contains(s.names, parts[1]) {
		return fmt.Errorf("bench/ has no %s", parts[1])
	}
	if parts[2] != "" {
		value, err := s.cell(parts[2], parts[3], parts[4])
		if err != nil {
			return err
		}
		cells[1] = value
	}
	return s.assumed(cells)
}

func (s *scale) assumed(cells []string) error {
	value, err := strconv.ParseFloat(strings.ReplaceAll(cells[1], ",", ""), 64)
	if err != nil {
		return err
	}
	s.constants[strings.Trim(cells[0], "`")] = value
	return nil
}

// cell returns the number that begins a cell of a table of docs/benchmarks.md.
func (s *scale) cell(table, row, column string) (string, error) {
	_, after, found := strings.Cut(s.benchmarks, "<!-- table: "+table+" -->\n")
	if !found {
		return "", fmt.Errorf("docs/benchmarks.md has no table %s", table)
	}
	at := -1
	for i, line := range strings.Split(after, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if i == 0 {
			at = slices.Index(cells, column)
		} else if at >= 0 && cells[0] == row && at < len(cells) {
			number, _, _ := strings.Cut(cells[at], " ")
			return strings.ReplaceAll(number, ",", ""), nil
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
	}
	return "", fmt.Errorf("docs/benchmarks.md has no cell %s / %s / %s", table, row, column)
}

// computed sets the cells of a row to what its formula gives, and remembers them if the formula has a name.
func (s *scale) computed(cells []string) error {
	name, formula, named := strings.Cut(strings.Trim(cells[1], "`"), " = ")
	if !named {
		formula = name
	}
	expression, err := parser.ParseExpr(formula)
	if err != nil {
		return err
	}
	for i, column := range s.columns {
		value, err := evaluate(expression, column)
		if err != nil {
			return err
		}
		if named {
			column[name] = value
		}
		cells[i+2] = threeDigits(value)
	}
	return nil
}

// evaluate computes an expression of numbers, names, + - * /, ceil and max.
func evaluate(expression ast.Expr, names map[string]float64) (float64, error) {
	switch e := expression.(type) {
	case *ast.BasicLit:
		return strconv.ParseFloat(e.Value, 64)
	case *ast.Ident:
		value, known := names[e.Name]
		if !known {
			return 0, fmt.Errorf("unknown name %s", e.Name)
		}
		return value, nil
	case *ast.ParenExpr:
		return evaluate(e.X, names)
	case *ast.BinaryExpr:
		left, err := evaluate(e.X, names)
		if err != nil {
			return 0, err
		}
		right, err := evaluate(e.Y, names)
		if err != nil {
			return 0, err
		}
		switch e.Op {
		case token.ADD:
			return left + right, nil
		case token.SUB:
			return left - right, nil
		case token.MUL:
			return left * right, nil
		case token.QUO:
			return left / right, nil
		default:
			return 0, fmt.Errorf("%s is no operator of a formula: + - * and / are", e.Op)
		}
	case *ast.CallExpr:
		return call(e, names)
	}
	return 0, fmt.Errorf("%T is no part of a formula", expression)
}

func call(e *ast.CallExpr, names map[string]float64) (float64, error) {
	var values []float64
	for _, arg := range e.Args {
		value, err := evaluate(arg, names)
		if err != nil {
			return 0, err
		}
		values = append(values, value)
	}
	name, _ := e.Fun.(*ast.Ident) //nolint:errcheck // nil is no function of a formula
	switch {
	case name != nil && name.Name == "ceil" && len(values) == 1:
		return math.Ceil(values[0]), nil
	case name != nil && name.Name == "max" && len(values) > 0:
		return slices.Max(values), nil
	}
	return 0, fmt.Errorf("%v is no function of a formula: ceil and max are", e.Fun)
}

// threeDigits writes a value with three significant digits and a comma before each three digits.
func threeDigits(value float64) string {
	if value == 0 {
		return "0"
	}
	unit := math.Pow10(int(math.Floor(math.Log10(math.Abs(value)))) - 2)
	rounded := math.Round(value/unit) * unit
	if rounded < 100 {
		return strconv.FormatFloat(rounded, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(rounded, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func readPage(t *testing.T, file string) string {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// benchmarkNames returns the names of the benchmarks in bench/.
func benchmarkNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("../bench")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), "_test.go") {
			for _, found := range regexp.MustCompile(`(?m)^func (Benchmark\w+)\(`).FindAllStringSubmatch(readPage(t, "../bench/"+entry.Name()), -1) {
				names = append(names, found[1])
			}
		}
	}
	return names
}
