package errcodes

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The reader below takes bodies from strangers: it never recurses, touches each byte a bounded
// number of times, and looks members up by exact name, where encoding/json folds case.
// Where both accept a body they read the same values; a fuzz test holds them together.

const (
	// maxDepth bounds nesting. Real error bodies stay below ten levels.
	maxDepth = 512
	// shareBelow is the body length up to which decoded strings share one copy of the body;
	// beyond it each is copied, so that a short code does not keep a long body alive.
	shareBelow = 4 << 10
)

// open returns a copy of data as text, and in out the raw values of the members named names of the
// object that data holds. It checks all of data.
func open(data []byte, names, out []string) (string, error) {
	if len(data) > MaxBody {
		return "", ErrTooLarge
	}
	s := string(data)
	start := skipSpace(s, 0)
	end := pickAt(s, start, names, out)
	if end >= 0 && skipSpace(s, end) == len(s) {
		return s[start:end], nil
	}
	clear(out)
	if end = skipValue(s, start); end < 0 || skipSpace(s, end) != len(s) {
		return "", ErrNotJSON
	}
	return s[start:end], ErrNotError
}

// pick sets out[i] to the raw value of the member named names[i] of obj, a whole JSON value; the last duplicate
// wins. It returns false if obj is not an object.
func pick(obj string, names, out []string) bool { return pickAt(obj, 0, names, out) >= 0 }

// pickAt is pick on the object at offset i of s. It returns the offset behind it, or -1 if no valid object is there.
func pickAt(s string, i int, names, out []string) int {
	if i >= len(s) || s[i] != '{' {
		return -1
	}
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return -1
		}
		keyEnd := skipString(s, i)
		if keyEnd < 0 {
			return -1
		}
		key := s[i+1 : keyEnd-1]
		if strings.IndexByte(key, '\\') >= 0 {
			key = unescape(key)
		}
		if i = skipSpace(s, keyEnd); i >= len(s) || s[i] != ':' {
			return -1
		}
		start := skipSpace(s, i+1)
		end := skipValue(s, start)
		if end < 0 {
			return -1
		}
		for j, name := range names {
			if key == name {
				out[j] = s[start:end]
				break
			}
		}
		if i = skipSpace(s, end); i >= len(s) {
			return -1
		}
		switch s[i] {
		case '}':
			return i + 1
		case ',':
			i = skipSpace(s, i+1)
		default:
			return -1
		}
	}
}

// each calls f with the raw elements of the array arr, a whole JSON value, until f returns
// false. It calls nothing if arr is not an array.
func each(arr string, f func(raw string) bool) {
	if arr == "" || arr[0] != '[' {
		return
	}
	for i := skipSpace(arr, 1); arr[i] != ']'; {
		end := skipValue(arr, i)
		if !f(arr[i:end]) {
			return
		}
		if i = skipSpace(arr, end); arr[i] == ',' {
			i = skipSpace(arr, i+1)
		}
	}
}

// text returns the string that raw holds, or the number as it is written; "" for anything else.
// bodyLen decides whether the result may share memory with the body.
func text(raw string, bodyLen int) string {
	if raw == "" {
		return ""
	}
	switch c := raw[0]; {
	case c == '"':
		raw = raw[1 : len(raw)-1]
		if strings.IndexByte(raw, '\\') >= 0 || !utf8.ValidString(raw) {
			return unescape(raw)
		}
	case c == '-' || c >= '0' && c <= '9':
	default:
		return ""
	}
	if bodyLen > shareBelow {
		return strings.Clone(raw)
	}
	return raw
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the offset behind the value that starts at i, or -1 if none is there.
func skipValue(s string, i int) int {
	if i < len(s) && s[i] == '"' {
		return skipString(s, i) // most values of an error are strings
	}
	var objects [maxDepth / 64]uint64 // bit d: the container at depth d is an object
	depth := 0
	for {
		// A value starts at i.
		if i >= len(s) {
			return -1
		}
		opened := false
		switch c := s[i]; c {
		case '{', '[':
			if depth == maxDepth {
				return -1
			}
			bit := uint64(1) << (depth & 63)
			if c == '{' {
				objects[depth>>6] |= bit
			} else {
				objects[depth>>6] &^= bit
			}
			depth++
			i = skipSpace(s, i+1)
			opened = true
		case '"':
			i = skipString(s, i)
		case 't':
			i = skipWord(s, i, "true")
		case 'f':
			i = skipWord(s, i, "false")
		case 'n':
			i = skipWord(s, i, "null")
		default:
			i = skipNumber(s, i)
		}
		if i < 0 {
			return -1
		}
		// Behind a value or an opening bracket: close what ends here.
		for {
			if depth == 0 {
				return i
			}
			object := objects[(depth-1)>>6]>>((depth-1)&63)&1 == 1
			if !opened {
				i = skipSpace(s, i)
			}
			if i >= len(s) {
				return -1
			}
			if object && s[i] == '}' || !object && s[i] == ']' {
				i++
				depth--
				opened = false
				continue
			}
			if !opened {
				if s[i] != ',' {
					return -1
				}
				i = skipSpace(s, i+1)
			}
			if object {
				if i = skipKey(s, i); i < 0 {
					return -1
				}
			}
			break
		}
	}
}

// skipKey returns the offset of the value of the member whose key starts at i, or -1.
func skipKey(s string, i int) int {
	if i >= len(s) || s[i] != '"' {
		return -1
	}
	if i = skipString(s, i); i < 0 {
		return -1
	}
	if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
		return -1
	}
	return skipSpace(s, i+1)
}

// plain tells the bytes that stand for themselves inside a string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// skipString returns the offset behind the string whose opening quote is at i, or -1.
func skipString(s string, i int) int {
	for i++; ; i++ {
		for i < len(s) && plain[s[i]] {
			i++
		}
		if i >= len(s) || s[i] < ' ' {
			return -1
		}
		if s[i] == '"' {
			return i + 1
		}
		if i++; i >= len(s) {
			return -1
		}
		switch s[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if hex4(s, i+1) < 0 {
				return -1
			}
			i += 4
		default:
			return -1
		}
	}
}

func skipWord(s string, i int, word string) int {
	if !strings.HasPrefix(s[i:], word) {
		return -1
	}
	return i + len(word)
}

func skipNumber(s string, i int) int {
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	default:
		if i = skipDigits(s, i); i < 0 {
			return -1
		}
	}
	if i < len(s) && s[i] == '.' {
		if i = skipDigits(s, i+1); i < 0 {
			return -1
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		return skipDigits(s, i)
	}
	return i
}

// skipDigits returns the offset behind one or more digits at i, or -1.
func skipDigits(s string, i int) int {
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// hex4 returns the value of the four hex digits at i, or -1.
func hex4(s string, i int) rune {
	if i+4 > len(s) {
		return -1
	}
	var v rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		v = v<<4 | rune(c)
	}
	return v
}

// unescape decodes the inside of a string that skipString accepted. Lone surrogates and bytes
// that are not UTF-8 become U+FFFD.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		c = s[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(s, i)
			i += 4
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if strings.HasPrefix(s[i:], `\u`) {
					pair = utf16.DecodeRune(r, hex4(s, i+2))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
			continue
		}
		b = append(b, c)
	}
	return string(b)
}
