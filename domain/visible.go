package domain

import "unicode"

// showsNothing reports whether every character of s is invisible.
func showsNothing(s string) bool {
	for _, r := range s {
		if !invisible(r) {
			return false
		}
	}
	return true
}

// invisible reports whether a character shows nothing by itself: white space, controls, noncharacters, default-ignorable code points (joiners,
// fillers, variation selectors, tags, bidi controls), and blank glyphs.
func invisible(r rune) bool {
	switch {
	case r > ' ' && r < 0x7f:
		return false
	case unicode.IsSpace(r), unicode.IsControl(r), unicode.Is(unicode.Noncharacter_Code_Point, r):
		return true
	}
	return defaultIgnorable(r) || blankGlyph(r)
}

// defaultIgnorable reports whether a character has no glyph of its own. It is Default_Ignorable_Code_Point as the Unicode Standard derives it from
// other properties (DerivedCoreProperties.txt). The interlinear annotation and Egyptian format characters, which the derivation leaves out
// because renderers may show them, count as ignorable here.
func defaultIgnorable(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// blankGlyph reports whether a character is a symbol or letter whose glyph is empty. No Unicode property covers these, only their names.
func blankGlyph(r rune) bool {
	switch r {
	case 0x2800, // BRAILLE PATTERN BLANK
		0x13441, 0x13442, // EGYPTIAN HIEROGLYPH FULL BLANK, HALF BLANK
		0x16FE4, // KHITAN SMALL SCRIPT FILLER
		0x1D159: // MUSICAL SYMBOL NULL NOTEHEAD
		return true
	}
	return false
}
