package terminal

import (
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// Marks of the lines that go on with a row. No row begins with one.
const (
	textMark = "| " // more of the text
	noteMark = "+ " // a fact about the text, not part of it
)

// narrowest is the least number of cells that text is wrapped to.
const narrowest = 20

// Row is one row of a listing: columns, then text of any number of lines, then a note.
type Row struct {
	Columns []string // without trailing spaces; see Pad
	Prefix  string   // between the columns and the text
	Text    string
	Note    string // on a line of its own; "" for none
}

// Format returns the lines of the row, without a line break at the end. Lines after the first are indented to the end of the columns and marked: "| "
// for text and "+ " for the note. Lines longer than cells are broken, so that a terminal of that width does not break them itself, without a mark; 0
// breaks none.
func (r Row) Format(cells int) string {
	columns := make([]string, len(r.Columns), len(r.Columns)+1)
	for i, c := range r.Columns {
		columns[i] = Escape(c)
	}
	head := strings.Join(append(columns, ""), "  ")
	indent := Width(head)
	if cells > 0 {
		indent = min(indent, max(0, cells-narrowest))
	}
	margin := strings.Repeat(" ", indent)
	text := lines(r.Text)
	out := wrap(nil, head+Escape(r.Prefix)+text[0], margin+textMark, cells)
	for _, line := range text[1:] {
		out = wrap(out, margin+textMark+line, margin+textMark, cells)
	}
	if r.Note != "" {
		out = wrap(out, margin+noteMark+Escape(r.Note), margin+noteMark, cells)
	}
	for i, line := range out {
		out[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(out, "\n")
}

// wrap adds a line to lines, broken where it gets longer than cells. The broken parts begin with mark.
func wrap(lines []string, line, mark string, cells int) []string {
	if cells <= 0 || Width(line) <= cells {
		return append(lines, line)
	}
	var b strings.Builder
	used, state := 0, -1
	for line != "" {
		var cluster string
		var width int
		cluster, line, width, state = uniseg.FirstGraphemeClusterInString(line, state)
		if used > 0 && used+width > cells {
			lines = append(lines, b.String())
			b.Reset()
			b.WriteString(mark)
			used = Width(mark)
		}
		b.WriteString(cluster)
		used += width
	}
	return append(lines, b.String())
}

// Table writes rows in columns, two cells apart. Every row is one line.
func Table(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(Escape(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(Pad(cell, widths[i]))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
