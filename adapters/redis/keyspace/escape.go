package keyspace

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape makes any text usable as a part of a key: it percent-encodes characters with a meaning in keys and patterns. Plain ids remain unchanged.
func Escape(s string) string {
	if strings.IndexFunc(s, special) < 0 && utf8.ValidString(s) {
		return s
	}
	return string(AppendEscaped(nil, s))
}

// AppendEscaped appends s as [Escape] returns it.
func AppendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf && !special(rune(c)) {
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if special(r) || (r == utf8.RuneError && size == 1) {
			for _, c := range []byte(s[i : i+size]) {
				b = append(b, '%', hex[c>>4], hex[c&15])
			}
		} else {
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}

func special(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7f || strings.IndexByte(`%:{}*?[]\`, byte(r)) >= 0
	}
	return unicode.IsSpace(r) || unicode.IsControl(r)
}
