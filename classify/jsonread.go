package classify

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The reader below reads JSON that may have been cut anywhere, as far as it goes. It works on a flat list of nodes,
// never recurses, and is bounded in depth and number: what lies beyond is skipped.

const (
	maxJSONDepth = 32
	maxJSONNodes = 4096
	// usualNodes is enough for nearly every error body.
	usualNodes = 48
)

type kind uint8

const (
	kindObject kind = iota + 1
	kindArray
	kindString
	kindNumber
	kindBool
	kindNull
)

// node is a value. A container's first child is the next node, and its subtree ends at node next.
type node struct {
	keyStart, keyEnd int32 // the member's name, between its quotes; keyEnd 0 for none
	start, end       int32 // the value; for strings what is between the quotes
	next             int32
	kind             kind
	keyEscaped       bool
	escaped          bool
}

// jsonDoc is one JSON value of src.
type jsonDoc struct {
	src   string
	nodes []node
	end   int  // the offset behind what was read
	whole bool // the value is complete and well-formed
}

// readJSON reads the object or array that begins at src[at], using buf for its nodes. It returns false if none begins
// there: the first name must be a string in double quotes, so that a Python dict is text.
func readJSON(src string, at int, buf []node) (jsonDoc, bool) {
	d := jsonDoc{src: src, nodes: buf[:0]}
	if at >= len(src) || src[at] != '{' && src[at] != '[' {
		return d, false
	}
	d.end, d.whole = d.read(at)
	// A lone bracket is no JSON, unless it is closed at once.
	return d, len(d.nodes) > 1 || d.whole
}

// read appends the nodes of the value at i.
func (d *jsonDoc) read(i int) (int, bool) {
	s := d.src
	var stack [maxJSONDepth]int32
	depth := 0
	whole := true
	var n node // the name of the member whose value comes next
scan:
	for {
		i = skipBlank(s, i)
		if i >= len(s) || len(d.nodes) >= maxJSONNodes {
			whole = false
			break
		}
		opened := false
		switch c := s[i]; {
		case c == '{' || c == '[':
			if depth == maxJSONDepth {
				n.kind, n.start = kindNull, int32(i)
				if i = skipNested(s, i); i >= len(s) {
					whole = false
				}
				n.end = int32(i)
				d.add(n)
				break
			}
			n.kind = kindArray
			if c == '{' {
				n.kind = kindObject
			}
			n.start, n.end = int32(i), int32(len(s))
			stack[depth] = int32(len(d.nodes))
			depth++
			d.add(n)
			i++
			opened = true
		case c == '"':
			end, escaped, ok := stringEnd(s, i+1)
			n.kind, n.start, n.end, n.escaped = kindString, int32(i+1), int32(end), escaped
			d.add(n)
			if !ok {
				i, whole = end, false
				break scan
			}
			i = end + 1
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(s) && isNumberByte(s[end]) {
				end++
			}
			n.kind, n.start, n.end = kindNumber, int32(i), int32(end)
			d.add(n)
			i = end
		default:
			end := i
			for end < len(s) && s[end] >= 'a' && s[end] <= 'z' {
				end++
			}
			switch s[i:end] {
			case "true", "false":
				n.kind = kindBool
			case "null":
				n.kind = kindNull
			default:
				whole = false
				break scan
			}
			n.start, n.end = int32(i), int32(end)
			d.add(n)
			i = end
		}
		n = node{}

		// Behind a value or an opening bracket: close what ends here, then find the next value.
		for {
			if depth == 0 {
				break scan
			}
			i = skipBlank(s, i)
			if i >= len(s) {
				whole = false
				break scan
			}
			top := stack[depth-1]
			object := d.nodes[top].kind == kindObject
			if s[i] == ',' && !opened {
				i = skipBlank(s, i+1)
				if i >= len(s) {
					whole = false
					break scan
				}
			} else if s[i] != '}' && s[i] != ']' && !opened {
				whole = false
				break scan
			}
			if object && s[i] == '}' || !object && s[i] == ']' {
				i++
				d.nodes[top].end, d.nodes[top].next = int32(i), int32(len(d.nodes))
				depth--
				opened = false
				continue
			}
			if object {
				end, escaped, ok := 0, false, false
				if s[i] == '"' {
					end, escaped, ok = stringEnd(s, i+1)
				}
				colon := 0
				if ok {
					colon = skipBlank(s, end+1)
				}
				if !ok || colon >= len(s) || s[colon] != ':' {
					whole = false
					break scan
				}
				n.keyStart, n.keyEnd, n.keyEscaped = int32(i+1), int32(end), escaped
				i = colon + 1
			}
			break
		}
	}
	for depth > 0 {
		depth--
		d.nodes[stack[depth]].next = int32(len(d.nodes))
	}
	return i, whole
}

func (d *jsonDoc) add(n node) {
	n.next = int32(len(d.nodes) + 1)
	d.nodes = append(d.nodes, n)
}

// skipNested returns the offset behind the brackets that open at i, or the end of s.
func skipNested(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch s[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			i, _, _ = stringEnd(s, i+1)
		}
		i++
	}
	return len(s)
}

// stringEnd returns the offset of the quote that ends the string whose inside begins at i, or the
// end of s and false.
func stringEnd(s string, i int) (end int, escaped, ok bool) {
	for i < len(s) {
		switch s[i] {
		case '"':
			return i, escaped, true
		case '\\':
			escaped = true
			i++
		}
		i++
	}
	return len(s), escaped, false
}

func skipBlank(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// get returns the member of the object i with that name, the last one of several, or -1.
func (d *jsonDoc) get(i int32, name string) int32 {
	found := int32(-1)
	if i < 0 || d.nodes[i].kind != kindObject {
		return found
	}
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		n := &d.nodes[c]
		if d.src[n.keyStart:n.keyEnd] == name {
			found = c
		}
	}
	return found
}

// getFold is get for a folded name.
func (d *jsonDoc) getFold(i int32, name string) int32 {
	found := int32(-1)
	if i < 0 || d.nodes[i].kind != kindObject {
		return found
	}
	var buf [24]byte
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		if string(d.key(c, &buf)) == name {
			found = c
		}
	}
	return found
}

// join returns the elements of the list at i as a dotted path.
func (d *jsonDoc) join(i int32) string {
	var parts []string
	for c := i + 1; c < d.nodes[i].next && len(parts) < 16; c = d.nodes[c].next {
		if s := d.text(c); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ".")
}

// key returns the name of node i in lower case without '_', '-', blanks and dots, in buf; long names are cut.
// A switch over string(key) allocates nothing.
func (d *jsonDoc) key(i int32, buf *[24]byte) []byte {
	n := &d.nodes[i]
	return fold(d.src[n.keyStart:n.keyEnd], buf)
}

// fold returns s in lower case without separators, in buf if it fits there, cut otherwise.
func fold(s string, buf *[24]byte) []byte {
	w := 0
	for i := 0; i < len(s) && w < len(buf); i++ {
		c := s[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '_' || c == '-' || c == ' ' || c == '.':
			continue
		}
		buf[w] = c
		w++
	}
	return buf[:w]
}

func (d *jsonDoc) is(i int32, k kind) bool { return i >= 0 && d.nodes[i].kind == k }

// text returns the string or number at i as text; "" for anything else, for i < 0, and for the words None and
// null.
func (d *jsonDoc) text(i int32) string {
	if i < 0 {
		return ""
	}
	n := &d.nodes[i]
	s := d.src[n.start:n.end]
	if n.kind == kindNumber {
		return s
	}
	if n.kind != kindString {
		return ""
	}
	if n.escaped {
		s = unescape(s)
	}
	if s == "None" || s == "null" {
		return ""
	}
	return s
}

// str is text for strings alone.
func (d *jsonDoc) str(i int32) string {
	if !d.is(i, kindString) {
		return ""
	}
	return d.text(i)
}

// number returns the number at i, also one in a string.
func (d *jsonDoc) number(i int32) (float64, bool) {
	s := d.text(i)
	if s == "" || len(s) > 32 {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f-f == 0
}

// unescape decodes the inside of a string. What is no escape stays as it is; an escape cut off at the end is dropped. Lone surrogates
// become U+FFFD.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			end := strings.IndexByte(s[i:], '\\')
			if end < 0 {
				end = len(s) - i
			}
			b.WriteString(s[i : i+end])
			i += end
			continue
		}
		if i+1 >= len(s) {
			break
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
			r, ok := hex4(s, i)
			if !ok {
				if i+4 > len(s) {
					return b.String() // cut off
				}
				b.WriteString(`\u`)
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if low, ok := hex4(s, i+2); ok && s[i] == '\\' && s[i+1] == 'u' {
					pair = utf16.DecodeRune(r, low)
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			b.WriteRune(r)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// hex4 returns the value of the four hex digits at i.
func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	v, err := strconv.ParseUint(s[i:i+4], 16, 16)
	return rune(v), err == nil
}
