package wireformat

const (
	uuidBytes = 16
	uuidText  = 36
)

// AppendUUID appends the 16 bytes of a UUID in its canonical form: 36 characters with lower-case digits. ok is false, and dst unchanged, for any other
// text.
func AppendUUID(dst []byte, s string) (buf []byte, ok bool) {
	if len(s) != uuidText || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return dst, false
	}
	buf = dst
	for _, part := range [...]string{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		if buf, ok = appendHex(buf, part); !ok {
			return dst, false
		}
	}
	return buf, true
}

// appendHex appends the bytes of lower-case hexadecimal digits. ok is false if s has anything else.
func appendHex(dst []byte, s string) (buf []byte, ok bool) {
	for i := 0; i+1 < len(s); i += 2 {
		high, low := hexDigit(s[i]), hexDigit(s[i+1])
		if high > 15 || low > 15 {
			return dst, false
		}
		dst = append(dst, high<<4|low)
	}
	return dst, len(s)%2 == 0
}

// hexDigit returns the value of a lower-case hexadecimal digit, and a number above 15 for any other byte.
func hexDigit(c byte) byte {
	if c >= 'a' && c <= 'f' {
		return c - 'a' + 10
	}
	if c >= '0' && c <= '9' {
		return c - '0'
	}
	return 0xff
}

// appendUUIDText appends the canonical form of a UUID of 16 bytes.
func appendUUIDText(dst []byte, id string) []byte {
	dst = append(appendHexText(dst, id[:4]), '-')
	dst = append(appendHexText(dst, id[4:6]), '-')
	dst = append(appendHexText(dst, id[6:8]), '-')
	dst = append(appendHexText(dst, id[8:10]), '-')
	return appendHexText(dst, id[10:])
}

// appendHexText appends the lower-case hexadecimal digits of bytes.
func appendHexText(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		dst = append(dst, digits[s[i]>>4], digits[s[i]&15])
	}
	return dst
}
