package errcodes

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD;
// control characters, DEL and the two line separators of Unicode are escaped, so that
// the result is one line to any reader.
func appendString(dst []byte, s string) []byte {
	return append(appendInner(append(dst, '"'), s), '"')
}

// appendInner appends what stands between the quotes.
func appendInner(dst []byte, s string) []byte {
	if !plainText(s) {
		return appendEscaped(dst, s)
	}
	return append(dst, s...)
}

// appendEscaped is appendInner for a string in which something has to be escaped.
func appendEscaped(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
		case r == 0x85 || r == 0x2028 || r == 0x2029:
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			i += n
			continue
		}
		i += n
		start = i
	}
	return append(dst, s[start:]...)
}

// plainText reports whether all of s stands for itself in JSON: printable ASCII without quote and backslash. Most messages are nothing
// else, so it looks at eight bytes at a time.
func plainText(s string) bool {
	n := len(s)
	if n < 8 {
		return n == 0 || marks(short(s))&high == 0
	}
	marked := marks(word(s[n-8:])) // the last word, which may have some bytes of the one before
	for i := 0; i < n-8; i += 8 {
		marked |= marks(word(s[i:]))
	}
	return marked&high == 0
}

const (
	ones = 0x0101010101010101
	high = ones << 7
)

// marks returns v with the high bit of at least one byte set if one of the eight has to be escaped.
func marks(v uint64) uint64 {
	// The terms have the high bit of a byte set that is, in turn: not ASCII or DEL, below a blank, a quote, a backslash.
	// Borrows can mark a byte above a marked one, never hide one.
	quote, slash := v^(ones*'"'), v^(ones*'\\')
	return v | (v + ones) | (v - ones*' ') | (quote - ones) | (slash - ones)
}

// word returns the first eight bytes of s.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// short returns eight bytes that are the one to seven of s, some of them again or with letters between.
func short(s string) uint64 {
	n := len(s)
	if n < 4 {
		const letters = 0x6161616161 << 24
		return uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16 | letters
	}
	t := s[n-4:]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(t[0])<<32 | uint64(t[1])<<40 | uint64(t[2])<<48 | uint64(t[3])<<56
}

// appendMember appends a member with a string for its value, or nothing when value is empty. name is all that stands before the
// value: a comma, which is left out directly after an opening brace, the name, which must need no escaping, a colon and a quote.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	if n := len(dst); n == 0 || dst[n-1] == '{' {
		name = name[1:]
	}
	return append(appendInner(append(dst, name...), value), '"')
}

// appendName appends ,"name": with the comma left out directly after an opening brace.
func appendName(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendMessage appends the message member, which is never empty.
func appendMessage(dst []byte, name, message string) []byte {
	if message == "" {
		message = emptyMessage
	}
	return appendMember(dst, name, message)
}
