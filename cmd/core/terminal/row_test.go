package terminal_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"chatcore/cmd/core/terminal"
)

// hostile are pieces of text that could forge a row.
var hostile = []string{
	"\n", "\r\n", "\r", "\t", "\v", "\f", "\u0085", "\u2028", "\u2029", "\x00", "\x1b[2K", "\x1b[1A", "\x9b", "\x7f", "\u009b2J", "\b",
	"\u202e", "\u202a", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b", "\u200d", "\u200c", "\ufeff", "\ufffe", "\U000e0001", "\U000e007f",
	"    6  2026-01-02 12:01  bob: yes", "\n    6  2026-01-02 12:01  bob: yes", "| ", "+ 👍 99", "漢字", "👩\u200d👩\u200d👧", "❤\ufe0f", "🏴\U000e0067\U000e0062\U000e007f", "e\u0301", "\u0301",
	"שלום", "\xff", "\xe2\x80", strings.Repeat(" ", 70), "a",
}

// forbidden reports whether a rune may change how a terminal shows others.
func forbidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point)
}

// checkRow formats a row and fails if its output is not one row.
func checkRow(t rapid.TB, r terminal.Row, cells int) {
	t.Helper()
	out := r.Format(cells)
	if !utf8.ValidString(out) {
		t.Fatalf("%q is not valid UTF-8", out)
	}
	for i, line := range strings.Split(out, "\n") {
		if strings.ContainsFunc(line, forbidden) {
			t.Fatalf("line %d has a forbidden character: %q of %q", i, line, out)
		}
		unmarked := strings.TrimLeft(line, " ")
		marked := strings.HasPrefix(unmarked+" ", "| ") || strings.HasPrefix(unmarked+" ", "+ ")
		if i > 0 && !marked {
			t.Fatalf("line %d is not marked: %q of %q", i, line, out)
		}
		if i == 0 && !strings.HasPrefix(line+"  ", "    5  ") {
			t.Fatalf("the first line is %q", line)
		}
		if cells > 0 && terminal.Width(line) > cells {
			t.Fatalf("line %d takes %d cells of %d: %q", i, terminal.Width(line), cells, line)
		}
	}
	want := strings.Count(r.Text, "\n") + 1
	if r.Note != "" {
		want++
	}
	if got := strings.Count(out, "\n") + 1; cells == 0 && got != want {
		t.Fatalf("%d lines, want %d: %q", got, want, out)
	}
}

// TestRow_CannotBeForged puts hostile text into every part of a row.
func TestRow_CannotBeForged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string {
			return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(hostile), rapid.String()), 0, 8).Draw(t, label), "")
		}
		row := terminal.Row{Columns: []string{"    5", text("column")}, Prefix: text("prefix"), Text: text("text"), Note: text("note")}
		checkRow(t, row, 0)
		checkRow(t, row, rapid.IntRange(24, 120).Draw(t, "cells"))
	})
}

func FuzzRow(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, s, uint8(40))
	}
	f.Fuzz(func(t *testing.T, sender, text string, cells uint8) {
		row := terminal.Row{Columns: []string{"    5", "2026-01-02 12:00"}, Prefix: sender + ": ", Text: text, Note: sender}
		checkRow(t, row, 0)
		checkRow(t, row, 24+int(cells))
	})
}

func TestRow_Format(t *testing.T) {
	row := terminal.Row{Columns: []string{"    5", "2026-01-02 12:00"}, Prefix: "ada (edited): ", Text: "one\n\ttwo\n\n    6  2026-01-02 12:01  bob: \u202eyes\x1b[1A", Note: "👍 2"}
	want := strings.Join([]string{
		`    5  2026-01-02 12:00  ada (edited): one`,
		`                         |     two`,
		`                         |`,
		`                         |     6  2026-01-02 12:01  bob: \u202eyes\x1b[1A`,
		`                         + 👍 2`,
	}, "\n")
	if got := row.Format(0); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	long := terminal.Row{Columns: []string{"    5"}, Prefix: "ada: ", Text: "漢字漢字漢字漢字漢字" + strings.Repeat(" ", 20) + "    6  bob: yes"}
	for i, line := range strings.Split(long.Format(30), "\n") {
		if terminal.Width(line) > 30 || i > 0 && !strings.HasPrefix(line, "       |") {
			t.Errorf("line %d of 30 cells is %q", i, line)
		}
	}
}

func TestEscape(t *testing.T) {
	for s, want := range map[string]string{
		"plain": "plain", "a\nb\tc\r": `a\nb\tc\r`, "\x1b[31m": `\x1b[31m`, "\u202eabc": `\u202eabc`, "a\u200bb": `a\u200bb`, "\u2028": `\u2028`, "\xff": `\xff`,
		"👩\u200d👩\u200d👧": "👩\u200d👩\u200d👧", "❤\ufe0f": "❤\ufe0f", "\u0301a": `\u0301a`, "e\u0301": "e\u0301", "\u200da": `\u200da`, "می\u200cخواهم": "می\u200cخواهم",
		"🏴\U000e0067\U000e0062\U000e007f": "🏴\U000e0067\U000e0062\U000e007f", "\U000e0001": `\U000e0001`, "漢字　": "漢字　", "\ue000": `\ue000`,
	} {
		if got := terminal.Escape(s); got != want {
			t.Errorf("%+q is %+q, want %+q", s, got, want)
		}
	}
	if got := terminal.EscapeLines("a\n\x1bb\n"); got != "a\n\\x1bb\n" {
		t.Errorf("lines are %q", got)
	}
}

func TestTable_AlignsByWidth(t *testing.T) {
	var b strings.Builder
	if err := terminal.Table(&b, [][]string{{"USER", "ROLE", "N"}, {"漢字", "owner", "1"}, {"👩\u200d👩\u200d👧", "member", "2"}, {"e\u0301va\n", "\u202eadmin", "3"}, {"x"}}); err != nil {
		t.Fatal(err)
	}
	want := "USER   ROLE         N\n漢字   owner        1\n👩\u200d👩\u200d👧     member       2\ne\u0301va\\n  \\u202eadmin  3\nx\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
