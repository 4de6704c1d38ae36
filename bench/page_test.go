package bench

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plotVariable names the directory into which benchmarks write their pictures and the tables of benchmarks.md. Without it they write none.
const plotVariable = "CHATCORE_PLOTS"

// writeTable logs a table, whose first row is its head. It replaces the table of that name in benchmarks.md, which follows the comment <!-- table: name -->.
func writeTable(b *testing.B, name string, rows [][]string) {
	b.Helper()
	rows = slices.Insert(slices.Clone(rows), 1, slices.Repeat([]string{"---"}, len(rows[0])))
	var text strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(row, " | "))
	}
	b.Logf("%s\n%s", name, text.String())
	directory := os.Getenv(plotVariable)
	if directory == "" {
		return
	}
	file := filepath.Join(directory, "benchmarks.md")
	page, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	mark := "<!-- table: " + name + " -->\n"
	before, after, found := strings.Cut(string(page), mark)
	if !found {
		b.Fatalf("%s has no line %q", file, mark)
	}
	for strings.HasPrefix(after, "|") { // the rows of the table before
		_, after, _ = strings.Cut(after, "\n")
	}
	if err := os.WriteFile(file, []byte(before+mark+text.String()+after), 0o644); err != nil { //nolint:gosec // for everyone to read
		b.Fatal(err)
	}
}

// spread returns the median of values, and the lowest and highest of them.
func spread(values []float64, format func(float64) string) string {
	return fmt.Sprintf("%s (%s to %s)", format(median(values)), format(slices.Min(values)), format(slices.Max(values)))
}

// thousands formats a number of at least 1,000 with a comma before each three digits, in three significant digits. A smaller one has three digits.
func thousands(value float64) string {
	if value < 999.5 {
		return fmt.Sprintf("%.3g", value)
	}
	unit := math.Pow10(int(math.Log10(value)) - 2)
	return grouped(int(math.Round(value/unit) * unit))
}

// grouped formats a number with a comma before each three digits.
func grouped(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func twoDigits(value float64) string { return fmt.Sprintf("%.2f", value) }
