package codedoc

import (
	"html"
	"strings"
	"unicode"
)

// Text of a table cell, in both directions: escape writes what plain reads.

// oneLine makes s fit into one line of text: valid UTF-8, every run of white space and control characters one space, and
// nothing that turns the direction of what follows.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// escape returns s as the text of a table cell. Braces are escaped for the sake of MDX, where they hold code. An underscore
// inside a word means nothing and stays readable.
func escape(s string) string {
	s = oneLine(s)
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\', '`', '*', '[', ']', '<', '{', '}', '|', '~', '$', '&':
			b.WriteByte('\\')
		case '_':
			if !insideWord(s, i) {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// insideWord reports whether the byte at i has a letter or digit on both sides.
func insideWord(s string, i int) bool {
	return i > 0 && i+1 < len(s) && wordByte(s[i-1]) && wordByte(s[i+1])
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

// maxLabel bounds the labels of references and footnotes, and tags, in bytes.
const maxLabel = 1000

// dropped takes the place of a byte that turns out to be markup. It occurs in no valid UTF-8.
const dropped = 0xff

// plain returns the text that a reader sees of the inline Markdown s, which must be valid UTF-8, and the contents of its
// code spans. It takes time linear in s.
func plain(s string) (text string, spans []string) {
	p := inline{s: s}
	for p.i < len(p.s) {
		p.next()
	}
	out := p.out[:0]
	for _, c := range p.out {
		if c != dropped {
			out = append(out, c)
		}
	}
	return strings.Join(strings.Fields(string(out)), " "), p.spans
}

type inline struct {
	s       string
	i       int
	out     []byte
	spans   []string
	open    []int         // where in out the brackets stand that may begin a link
	runs    map[int][]int // where runs of backticks begin, by length; those before i may be gone
	noParen bool          // no destination after here is closed
}

// next reads one element of s at i.
func (p *inline) next() {
	c := p.s[p.i]
	rest := p.s[p.i+1:]
	switch c {
	case '\\':
		if rest != "" && isPunct(rest[0]) {
			p.keep(rest[:1], 2)
			return
		}
	case '`':
		p.codeSpan()
		return
	case '!':
		if strings.HasPrefix(rest, "[") {
			p.i++
			return
		}
	case '[':
		if strings.HasPrefix(rest, "^") {
			if n := strings.IndexByte(rest[:min(len(rest), maxLabel)], ']'); n > 0 {
				p.i += n + 2 // a footnote
				return
			}
		}
		p.open = append(p.open, len(p.out))
	case ']':
		p.closeBracket()
		return
	case '*':
		if !between(p.s, p.i, ' ') {
			p.i++
			return
		}
	case '_':
		if !insideWord(p.s, p.i) && !between(p.s, p.i, ' ') {
			p.i++
			return
		}
	case '~':
		if strings.HasPrefix(rest, "~") {
			p.i += 2
			return
		}
	case '<':
		if n := tagLen(p.s[p.i:]); n > 0 {
			tag := p.s[p.i : p.i+n]
			switch {
			case strings.Contains(tag, "://"):
				tag = tag[1 : len(tag)-1]
			case len(tag) > 3 && strings.EqualFold(tag[1:3], "br"):
				tag = " "
			default:
				tag = ""
			}
			p.keep(tag, n)
			return
		}
	case '&':
		if n := strings.IndexByte(rest[:min(len(rest), 32)], ';'); n > 0 {
			p.keep(html.UnescapeString(p.s[p.i:p.i+n+2]), n+2)
			return
		}
	}
	p.keep(p.s[p.i:p.i+1], 1)
}

// keep writes text for the next n bytes.
func (p *inline) keep(text string, n int) {
	p.out = append(p.out, text...)
	p.i += n
}

// codeSpan reads a run of backticks and what it encloses: everything up to the next run of the same length.
func (p *inline) codeSpan() {
	if p.runs == nil {
		p.runs = runsOf(p.s)
	}
	n := ticks(p.s[p.i:])
	later := p.runs[n]
	for len(later) > 0 && later[0] <= p.i {
		later = later[1:]
	}
	p.runs[n] = later
	if len(later) == 0 {
		p.keep(p.s[p.i:p.i+n], n)
		return
	}
	content := strings.TrimSpace(p.s[p.i+n : later[0]])
	p.spans = append(p.spans, content)
	p.keep(content, later[0]+n-p.i)
}

// runsOf returns where the runs of backticks in s begin, by their length.
func runsOf(s string) map[int][]int {
	runs := map[int][]int{}
	for i := 0; i < len(s); i++ {
		if n := ticks(s[i:]); n > 0 {
			runs[n] = append(runs[n], i)
			i += n
		}
	}
	return runs
}

func ticks(s string) int { return len(s) - len(strings.TrimLeft(s, "`")) }

// closeBracket ends a link, of which only the text is read, or writes a bracket.
func (p *inline) closeBracket() {
	last := len(p.open) - 1
	if last < 0 {
		p.keep("]", 1)
		return
	}
	at := p.open[last]
	p.open = p.open[:last]
	n := 0
	if rest := p.s[p.i+1:]; strings.HasPrefix(rest, "(") {
		n = p.destination(rest)
	} else if strings.HasPrefix(rest, "[") {
		n = strings.IndexByte(rest[:min(len(rest), maxLabel)], ']') + 1
	}
	if n == 0 {
		p.keep("]", 1)
		return
	}
	p.out[at] = dropped
	p.i += 1 + n
}

// destination returns the length of the parenthesis that s begins with, 0 if it is not closed.
func (p *inline) destination(s string) int {
	if p.noParen {
		return 0
	}
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
	p.noParen = true
	return 0
}

// tagLen returns the length of the HTML tag or autolink that s begins with, 0 for none.
func tagLen(s string) int {
	if len(s) < 3 || s[1] != '/' && (s[1]|0x20 < 'a' || s[1]|0x20 > 'z') {
		return 0
	}
	return strings.IndexByte(s[:min(len(s), maxLabel)], '>') + 1
}

func between(s string, i int, c byte) bool {
	return (i == 0 || s[i-1] == c) && (i+1 == len(s) || s[i+1] == c)
}

func isPunct(c byte) bool { return c > ' ' && c < 0x7f && !wordByte(c) }
