package domain

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Emoji is the symbol of a reaction: one emoji, or the :shortcode: of one. Events may have other text, which older programs recorded.
type Emoji string

// NewEmoji returns the normal form of s, which must be one emoji or one :shortcode:. Spellings that show the same emoji have one normal form (see
// [Emoji.Normal]).
func NewEmoji(s string) (Emoji, error) {
	problem := lineProblem(s, MaxEmojiBytes)
	var normal string
	if problem == "" {
		var one bool
		if normal, one = normalEmoji(s); !one && !isShortcode(s) {
			problem = "is neither one emoji nor a :shortcode:"
		}
	}
	if problem == "" {
		problem = lineProblem(normal, MaxEmojiBytes)
	}
	if problem != "" {
		return "", &InvalidError{Field: "emoji", Problem: problem, Allowed: "one emoji, or a :shortcode: of letters, digits, _, - and +; at most 64 bytes"}
	}
	return Emoji(normal), nil
}

// RecordedEmoji returns the normal form of s, which may be any text that a log can have as an emoji: older programs, and other ones, took any text
// without spaces.
func RecordedEmoji(s string) (Emoji, error) {
	problem := lineProblem(s, MaxEmojiBytes)
	switch {
	case s == "":
		problem = "is empty"
	case problem == "" && strings.IndexFunc(s, unicode.IsSpace) >= 0:
		problem = "has a space"
	}
	if problem != "" {
		return "", &InvalidError{Field: "emoji", Problem: problem, Allowed: "1 to 64 bytes of valid UTF-8 without spaces and control characters"}
	}
	return Emoji(s).Normal(), nil
}

// Normal returns the form in which emoji are compared. Of an emoji this is the fully-qualified form of Unicode Technical Standard 51: a
// variation selector stands where a character would otherwise be shown as text, and nowhere else. Any other text is returned as it is.
func (e Emoji) Normal() Emoji {
	normal, _ := normalEmoji(string(e))
	return Emoji(normal)
}

// Characters of which emoji sequences are made.
const (
	zeroWidthJoiner   = 0x200D
	textSelector      = 0xFE0E
	emojiSelector     = 0xFE0F
	enclosingKeycap   = 0x20E3
	blackFlag         = 0x1F3F4
	firstModifier     = 0x1F3FB // of the five skin tones
	lastModifier      = 0x1F3FF
	firstTag, lastTag = 0xE0020, 0xE007E
	endTag            = 0xE007F
)

// normalEmoji returns the normal form of s if s is one emoji, and otherwise s and false. The grammar is that of ED-17 in Unicode Technical
// Standard 51. The whole must be one grapheme cluster.
func normalEmoji(s string) (string, bool) {
	if s == "" || s[0] < utf8.RuneSelf && len(s) == 1 {
		return s, false
	}
	if r, size := utf8.DecodeRuneInString(s); size == len(s) && isPictographic(r) && hasEmojiPresentation(r) {
		return s, true // most are like this, and it costs no allocation
	}
	if cluster, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1); len(cluster) < len(s) {
		return s, false
	}
	p := emojiParser{rest: []rune(s), normal: make([]rune, 0, 16)}
	if !p.element() {
		return s, false
	}
	for len(p.rest) > 0 {
		if !p.take(zeroWidthJoiner) || !p.element() {
			return s, false
		}
	}
	return string(p.normal), true
}

// emojiParser reads an emoji and writes its normal form.
type emojiParser struct{ rest, normal []rune }

// peek returns the next character, or 0 at the end.
func (p *emojiParser) peek() rune {
	if len(p.rest) == 0 {
		return 0
	}
	return p.rest[0]
}

func (p *emojiParser) write(r ...rune) { p.normal = append(p.normal, r...) }

// take moves on if the next character is r, and writes it.
func (p *emojiParser) take(r rune) bool {
	if p.peek() != r {
		return false
	}
	p.rest = p.rest[1:]
	p.write(r)
	return true
}

// skipSelector moves on over a variation selector.
func (p *emojiParser) skipSelector() {
	if r := p.peek(); r == textSelector || r == emojiSelector {
		p.rest = p.rest[1:]
	}
}

// element reads one element of a joined sequence: a flag, a keycap, or a character with its modifier or tags.
func (p *emojiParser) element() bool {
	r := p.peek()
	switch {
	case r == 0:
		return false
	case unicode.Is(unicode.Regional_Indicator, r):
		p.take(r)
		second := p.peek()
		return unicode.Is(unicode.Regional_Indicator, second) && p.take(second)
	case r >= '0' && r <= '9', r == '#', r == '*':
		p.take(r)
		p.skipSelector()
		p.write(emojiSelector)
		return p.take(enclosingKeycap)
	case isModifier(r):
		return p.take(r)
	case !isPictographic(r):
		return false
	}
	p.take(r)
	p.skipSelector()
	switch m := p.peek(); {
	case isModifier(m):
		p.take(m)
		p.skipSelector()
	case !hasEmojiPresentation(r):
		p.write(emojiSelector)
	case r == blackFlag && m >= firstTag && m <= lastTag:
		return p.tags()
	}
	return true
}

// tags reads the name of a region, such as gbsct, and its end.
func (p *emojiParser) tags() bool {
	const shortest, longest = 3, 6 // a country and its subdivision
	n := 0
	for ; p.peek() >= firstTag && p.peek() <= lastTag; n++ {
		letter := p.peek() - firstTag + ' '
		if (letter < 'a' || letter > 'z') && (letter < '0' || letter > '9') {
			return false
		}
		p.take(p.peek())
	}
	return n >= shortest && n <= longest && p.take(endTag)
}

func isModifier(r rune) bool { return r >= firstModifier && r <= lastModifier }

// isPictographic reports whether a character is Extended_Pictographic: an emoji, or reserved for one. Such a character alone forms one grapheme cluster with
// another one behind a joiner (rule GB11 of Unicode Standard Annex 29).
func isPictographic(r rune) bool {
	const joined = "\u200D\u00A9"
	if r < 0xA9 {
		return false
	}
	var room [utf8.UTFMax + len(joined)]byte
	text := append(utf8.AppendRune(room[:0], r), joined...)
	_, rest, _, _ := uniseg.FirstGraphemeCluster(text, -1)
	return len(rest) == 0
}

// hasEmojiPresentation reports whether a pictographic character is shown as an emoji without a variation selector. It is then two cells wide.
func hasEmojiPresentation(r rune) bool {
	var room [utf8.UTFMax]byte
	_, _, width, _ := uniseg.FirstGraphemeCluster(utf8.AppendRune(room[:0], r), -1)
	return width > 1
}

// isShortcode reports whether s is a name between colons.
func isShortcode(s string) bool {
	if len(s) < 3 || s[0] != ':' || s[len(s)-1] != ':' {
		return false
	}
	for _, c := range []byte(s[1 : len(s)-1]) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '-' && c != '+' {
			return false
		}
	}
	return true
}
