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

// read appends the nodes of the value at i. It returns the offset behind what it read, and whether that was the whole value.
func (d *jsonDoc) read(i int) (int, bool) {
	r := jsonReader{doc: d, i: i}
	whole := r.values()
	for r.depth > 0 {
		r.depth--
		d.nodes[r.stack[r.depth]].next = int32(len(d.nodes))
	}
	return r.i, whole
}

// jsonReader is a reading under way.
type jsonReader struct {
	doc   *jsonDoc
	i     int                 // what comes next
	stack [maxJSONDepth]int32 // the containers around it
	depth int
	next  node // the name of the value that comes next
}

// values reads values until the first is complete; false if it ends before.
func (r *jsonReader) values() bool {
	for {
		r.i = skipBlank(r.doc.src, r.i)
		if r.i >= len(r.doc.src) || len(r.doc.nodes) >= maxJSONNodes {
			return false
		}
		opened, ok := r.value()
		if !ok {
			return false
		}
		if more, ok := r.advance(opened); !ok || !more {
			return ok
		}
	}
}

// value reads a scalar or an opening bracket.
func (r *jsonReader) value() (opened, ok bool) {
	s, n := r.doc.src, r.next
	r.next = node{}
	n.start = int32(r.i)
	ok = true
	switch c := s[r.i]; {
	case c == '{' || c == '[':
		if r.depth == maxJSONDepth {
			r.i = skipNested(s, r.i)
			n.kind, ok = kindNull, r.i < len(s)
			break
		}
		if n.kind = kindArray; c == '{' {
			n.kind = kindObject
		}
		r.stack[r.depth] = int32(len(r.doc.nodes))
		r.depth++
		r.i++
		n.end = int32(len(s))
		r.doc.add(n)
		return true, true
	case c == '"':
		var end int
		end, n.escaped, ok = stringEnd(s, r.i+1)
		n.kind, n.start, n.end = kindString, int32(r.i+1), int32(end)
		r.i = min(end+1, len(s))
		r.doc.add(n)
		return false, ok
	case c == '-' || isDigit(c):
		n.kind = kindNumber
		for r.i++; r.i < len(s) && isNumberByte(s[r.i]); r.i++ {
		}
	default:
		for r.i < len(s) && s[r.i] >= 'a' && s[r.i] <= 'z' {
			r.i++
		}
		switch s[n.start:r.i] {
		case "true", "false":
			n.kind = kindBool
		case "null":
			n.kind = kindNull
		default:
			r.i = int(n.start)
			return false, false
		}
	}
	n.end = int32(r.i)
	r.doc.add(n)
	return false, ok
}

// advance closes the containers that end here and reads the name of the value that comes next. There is more unless the
// outermost container was closed. A comma before a closing bracket is forgiven.
func (r *jsonReader) advance(opened bool) (more, ok bool) {
	s, nodes := r.doc.src, r.doc.nodes
	for r.depth > 0 {
		r.i = skipBlank(s, r.i)
		if r.i < len(s) && s[r.i] == ',' && !opened {
			r.i = skipBlank(s, r.i+1)
		} else if r.i < len(s) && s[r.i] != '}' && s[r.i] != ']' && !opened {
			return false, false
		}
		if r.i >= len(s) {
			return false, false
		}
		top := &nodes[r.stack[r.depth-1]]
		object := top.kind == kindObject
		switch {
		case object && s[r.i] == '}', !object && s[r.i] == ']':
			r.i++
			top.end, top.next = int32(r.i), int32(len(nodes))
			r.depth--
			opened = false
		case object:
			return true, r.name()
		default:
			return true, true
		}
	}
	return false, true
}

// name reads the name of a member and the colon.
func (r *jsonReader) name() bool {
	s := r.doc.src
	if s[r.i] != '"' {
		return false
	}
	end, escaped, ok := stringEnd(s, r.i+1)
	colon := skipBlank(s, min(end+1, len(s)))
	if !ok || colon >= len(s) || s[colon] != ':' {
		return false
	}
	r.next.keyStart, r.next.keyEnd, r.next.keyEscaped = int32(r.i+1), int32(end), escaped
	r.i = colon + 1
	return true
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
	quote := -1
	for i < len(s) {
		if quote < i {
			n := strings.IndexByte(s[i:], '"')
			if n < 0 {
				return len(s), escaped || strings.IndexByte(s[i:], '\\') >= 0, false
			}
			quote = i + n
		}
		n := strings.IndexByte(s[i:quote], '\\')
		if n < 0 {
			return quote, escaped, true
		}
		escaped = true
		i += n + 2
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
