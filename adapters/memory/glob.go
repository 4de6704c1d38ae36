package memory

// matches reports whether a text matches a pattern as Redis reads it: byte by byte, with no error for an unclosed bracket.
func matches(pattern, text string) bool {
	star, again := -1, 0 // after the last *, and the place in the text to try next from there
	p, t := 0, 0
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, again = p, t
			continue
		}
		if p < len(pattern) {
			if fits, width := one(pattern[p:], text[t]); fits {
				p += width
				t++
				continue
			}
		}
		if star < 0 {
			return false
		}
		again++
		p, t = star, again
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// one reports whether a byte fits the first element of a pattern, which is no *, and how long that element is.
func one(pattern string, c byte) (fits bool, width int) {
	switch {
	case pattern[0] == '?':
		return true, 1
	case pattern[0] == '[':
		return class(pattern, c)
	case pattern[0] == '\\' && len(pattern) > 1:
		return pattern[1] == c, 2
	}
	return pattern[0] == c, 1
}

// class is one for [a-c] and [^a]. One that is not closed ends with the pattern.
func class(pattern string, c byte) (fits bool, width int) {
	p := 1
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			fits = fits || pattern[p] == c
		case p+2 < len(pattern) && pattern[p+1] == '-':
			from, to := pattern[p], pattern[p+2]
			fits = fits || min(from, to) <= c && c <= max(from, to)
			p += 2
		default:
			fits = fits || pattern[p] == c
		}
	}
	return fits != not, min(p+1, len(pattern))
}
