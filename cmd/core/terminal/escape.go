// Package terminal formats text of users for a terminal. Its results have no control, line separator or bidi control but the line breaks of the
// layout itself, so no text can move the cursor, reorder a line or imitate another line.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// tab stands for a tab in text of several lines.
const tab = "    "

// Escape returns s as part of one line. Characters that are not shown, or that change how others are shown, appear as in a Go string: \n, \x1b, \u202e.
// Joiners, variation selectors and tags stay where they are part of a visible character, such as an emoji.
func Escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	state := -1
	for s != "" {
		var cluster string
		cluster, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
		escapeCluster(&b, cluster)
	}
	return b.String()
}

// plain reports whether s is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func escapeCluster(b *strings.Builder, cluster string) {
	based := false // whether a visible character came before
	for i, size := 0, 0; i < len(cluster); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(cluster[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(b, `\x%02x`, cluster[i])
		case based && (unicode.IsGraphic(r) || joins(r)), unicode.IsGraphic(r) && !unicode.IsMark(r):
			based = true
			b.WriteRune(r)
		default:
			b.WriteString(escaped(r))
		}
	}
}

// joins reports whether a format character may be part of a grapheme cluster: the joiners, and the tags of flags.
func joins(r rune) bool {
	return unicode.Is(unicode.Join_Control, r) || r >= 0xE0020 && r <= 0xE007F
}

func escaped(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// EscapeLines returns s with its line breaks; each of the lines is as Escape returns it.
func EscapeLines(s string) string {
	if plain(s) {
		return s
	}
	return strings.Join(lines(s), "\n")
}

// lines returns the lines of s, escaped, with spaces for tabs.
func lines(s string) []string {
	all := strings.Split(s, "\n")
	for i, line := range all {
		all[i] = Escape(strings.ReplaceAll(line, "\t", tab))
	}
	return all
}

// Width returns the number of cells that s takes.
func Width(s string) int { return uniseg.StringWidth(s) }

// Pad returns s, escaped, and spaces up to a number of cells.
func Pad(s string, cells int) string {
	s = Escape(s)
	return s + strings.Repeat(" ", max(0, cells-Width(s)))
}
