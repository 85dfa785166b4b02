package jsonbody

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote decodes what stands between the quotation marks of a string that has
// been checked.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	n := 0
	for i := 0; i < len(raw); {
		r, size := next(raw[i:])
		n += utf8.RuneLen(r)
		i += size
	}
	var b strings.Builder
	b.Grow(n)
	for i := 0; i < len(raw); {
		r, size := next(raw[i:])
		b.WriteRune(r)
		i += size
	}
	return b.String()
}

// equalQuoted reports whether raw, as for unquote, decodes to name.
func equalQuoted(raw []byte, name string) bool {
	var buf [utf8.UTFMax]byte
	for i := 0; i < len(raw); {
		r, size := next(raw[i:])
		n := utf8.EncodeRune(buf[:], r)
		if len(name) < n || name[:n] != string(buf[:n]) {
			return false
		}
		name = name[n:]
		i += size
	}
	return name == ""
}

// next decodes the character at the start of raw, which is not empty, and says how
// many bytes spell it. Escape sequences that no check would have let through, as a
// caller can bring about who mixes up two bodies, count as U+FFFD.
func next(raw []byte) (rune, int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	if len(raw) < 2 || raw[1] == 'u' && len(raw) < 6 {
		return utf8.RuneError, 1
	}
	switch raw[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r := unit(raw)
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
			if pair := utf16.DecodeRune(r, unit(raw[6:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(raw[1]), 2
}

// unit returns the UTF-16 code unit of the escape, \u and four hex digits, at the start of raw.
func unit(raw []byte) rune {
	u := rune(0)
	for _, c := range raw[2:6] {
		u = u<<4 | rune(hex[c]&15)
	}
	return u
}
