package jsonbody

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// What a method of scanner returns in place of an index into the body.
const (
	failed = -1 // the body is wrong: the scanner holds where and what
	deeper = -2 // more levels than a word has bits: the scanner holds where to go on
)

// scanner checks one body. Its methods take the index to begin at and return the
// index to go on from.
type scanner struct {
	data  []byte
	limit int // levels that data may nest

	escaped bool // set by every escape sequence

	// After failed: where, and what could have stood there.
	at       int
	expected string

	// After deeper: the state of walk.
	resumeAt, resumeDepth int
	resumeKinds           uint64
}

func (s *scanner) fail(i int, expected string) int {
	s.at, s.expected = i, expected
	return failed
}

func (s *scanner) failDepth(i int) int {
	return s.fail(i, "at most "+strconv.Itoa(s.limit)+" levels of nesting")
}

// failUTF8 fails at the first sequence from data[i] that is not valid UTF-8. The
// caller knows that there is one, and that data[i] does not continue another.
func (s *scanner) failUTF8(i int) int {
	for i < len(s.data) {
		r, size := utf8.DecodeRune(s.data[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	return s.fail(i, expectUTF8)
}

// report is what a caller wants to know of the top-level object. It is no part of
// scanner: what an error takes from there would move values to the heap.
type report struct {
	fields []string
	values []Value // one for each field
}

// find returns the value that belongs to the field whose name stands between
// quotation marks as raw, or nil. escaped says that raw has escape sequences.
func (r *report) find(raw []byte, escaped bool) *Value {
	for n, name := range r.fields {
		if !escaped && string(raw) == name || escaped && equalQuoted(raw, name) {
			return &r.values[n]
		}
	}
	return nil
}

// body checks the whole of data. It puts what it finds of the fields into r, and
// says whether the top level is an object.
func (s *scanner) body(r *report) (end int, isObject bool) {
	data, i := s.data, 0
	if i < len(data) && data[i] <= ' ' {
		i = space(data, i)
	}
	switch {
	case i < len(data) && data[i] == '{':
		isObject = true
		i = s.object(i, r)
	case len(data) >= len(byteOrderMark) && string(data[:len(byteOrderMark)]) == byteOrderMark:
		return s.fail(0, expectNoMark), false
	default:
		i = s.value(i, 0)
	}
	if i >= 0 && i < len(data) {
		if i = space(data, i); i < len(data) {
			i = s.fail(i, expectEnd)
		}
	}
	return i, isObject
}

// byteOrderMark may not begin a JSON text (RFC 8259, section 8.1). Elsewhere
// outside of a string it is one more byte that is no value.
const byteOrderMark = "\ufeff"

// object checks the top-level object, whose brace is data[i]. It puts what it finds
// of the fields into r.
func (s *scanner) object(i int, r *report) int {
	data := s.data
	i++
	if i < len(data) && data[i] <= ' ' {
		i = space(data, i)
	}
	if i < len(data) && data[i] == '}' {
		return i + 1
	}
	if i >= len(data) || data[i] != '"' {
		return s.fail(i, expectFirstName)
	}
	for { // data[i] is the quotation mark before a field name.
		start := i + 1
		i = start
		s.escaped = false
		if i >= 0 && i < len(data)-7 {
			if m := special(load(data[i : i+8])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
			} else {
				i += 8
			}
		}
		if i < len(data) && data[i] == '"' {
			i++
		} else if i = s.str(i); i < 0 {
			return i
		}
		value := r.find(data[start:i-1], s.escaped)
		if i < len(data) && data[i] <= ' ' {
			i = space(data, i)
		}
		if i >= len(data) || data[i] != ':' {
			return s.fail(i, expectColon)
		}
		i++
		if i < len(data) && data[i] <= ' ' {
			i = space(data, i)
		}
		start = i
		if i >= len(data) {
			return s.fail(i, expectValue)
		}
		kind := kindOf[data[i]]
		if kind == String { // spares a call where there is most to spare
			i = s.str(i + 1)
		} else {
			i = s.value(i, 1)
		}
		if i < 0 {
			return i
		}
		if value != nil {
			*value = Value{Kind: kind, Start: start, End: i}
		}
		if i < len(data) && data[i] <= ' ' {
			i = space(data, i)
		}
		if i >= len(data) || data[i] != ',' {
			if i < len(data) && data[i] == '}' {
				return i + 1
			}
			return s.fail(i, expectAfterMember)
		}
		i++
		if i < len(data) && data[i] <= ' ' {
			i = space(data, i)
		}
		if i >= len(data) || data[i] != '"' {
			return s.fail(i, expectName)
		}
	}
}

// value checks the value that begins at data[i], inside of depth levels.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.data) {
		return s.fail(i, expectValue)
	}
	switch s.data[i] {
	case '"':
		return s.str(i + 1)
	case '{', '[':
		if i = s.walk(i, depth, 0, nil); i == deeper {
			return s.deep()
		}
		return i
	case 't':
		return s.literal(i, "true", expectTrue)
	case 'f':
		return s.literal(i, "false", expectFalse)
	case 'n':
		return s.literal(i, "null", expectNull)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(i)
	}
	return s.fail(i, expectValue)
}

// deep goes on where walk ran out of bits. Few bodies come here, so the others need
// not pay for clearing the words.
func (s *scanner) deep() int {
	var words [DefaultMaxDepth/64 + 1]uint64
	return s.walk(s.resumeAt, s.resumeDepth, s.resumeKinds, words[:0])
}

// walk checks nested objects and arrays without recursion, from the bracket at
// data[i] to the one that closes it. depth counts the levels open before data[i].
//
// kinds has one bit for each level that walk has opened, the innermost lowest: 1
// is an object, 0 an array. When its 64 bits are used they move to words. With nil
// words, as for a first call, walk then returns deeper, to be called again with
// the state it left in s.
//
// It repeats itself for speed: a call for each token costs more than the token.
func (s *scanner) walk(i, depth int, kinds uint64, words []uint64) int {
	data := s.data
	floor := depth
	if words != nil {
		floor -= 64
	}
	var c byte

open: // data[i] opens an object or an array.
	if depth == s.limit {
		return s.failDepth(i)
	}
	if (depth-floor)&63 == 0 && depth != floor {
		if words == nil {
			s.resumeAt, s.resumeDepth, s.resumeKinds = i, depth, kinds
			return deeper
		}
		words = append(words, kinds)
	}
	depth++
	kinds = kinds<<1 | uint64(data[i]>>5&1) // '[' is 0x5b, '{' is 0x7b
	i++
	if i < len(data) && data[i] <= ' ' {
		i = space(data, i)
	}
	if kinds&1 != 0 {
		if i < len(data) && data[i] == '"' {
			goto name
		}
		if i < len(data) && data[i] == '}' {
			goto shut
		}
		return s.fail(i, expectFirstName)
	}
	if i < len(data) && data[i] == ']' {
		goto shut
	}
	if i >= len(data) || kindOf[data[i]] == Absent {
		return s.fail(i, expectFirstElement)
	}
	goto value

name: // data[i] is the quotation mark before a field name.
	i++
	if i >= 0 && i < len(data)-15 {
		m := special(load(data[i : i+8]))
		if m == 0 {
			i += 8
			m = special(load(data[i : i+8]))
		}
		if m == 0 {
			i += 8
		} else {
			i += bits.TrailingZeros64(m) >> 3
			if data[i] == '"' {
				i++
				goto colon
			}
		}
	}
	if i = s.str(i); i < 0 {
		return i
	}

colon: // data[i] follows a field name.
	if i < len(data) && data[i] <= ' ' {
		i = space(data, i)
	}
	if i >= len(data) || data[i] != ':' {
		return s.fail(i, expectColon)
	}
	i++
	if i < len(data) && data[i] <= ' ' {
		i = space(data, i)
	}
	if i >= len(data) {
		return s.fail(i, expectValue)
	}

value: // data[i] is there, and begins a value.
	switch data[i] {
	case '"':
		i++
		if i >= 0 && i < len(data)-15 {
			m := special(load(data[i : i+8]))
			if m == 0 {
				i += 8
				m = special(load(data[i : i+8]))
			}
			if m == 0 {
				i += 8
			} else {
				i += bits.TrailingZeros64(m) >> 3
				if data[i] == '"' {
					i++
					goto after
				}
			}
		}
		i = s.str(i)
	case '{', '[':
		goto open
	case 't':
		i = s.literal(i, "true", expectTrue)
	case 'f':
		i = s.literal(i, "false", expectFalse)
	case 'n':
		i = s.literal(i, "null", expectNull)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		i = s.number(i)
	default:
		return s.fail(i, expectValue)
	}
	if i < 0 {
		return i
	}

after: // data[i] follows a value.
	if i < len(data) && data[i] <= ' ' {
		i = space(data, i)
	}
	if i < len(data) {
		c = data[i]
		if c == ',' {
			i++
			if i < len(data) && data[i] <= ' ' {
				i = space(data, i)
			}
			if kinds&1 != 0 {
				if i < len(data) && data[i] == '"' {
					goto name
				}
				return s.fail(i, expectName)
			}
			if i < len(data) {
				goto value
			}
			return s.fail(i, expectValue)
		}
		if c == ']'|byte(kinds&1)<<5 { // ']' is 0x5d, '}' is 0x7d
			goto shut
		}
	}
	if kinds&1 != 0 {
		return s.fail(i, expectAfterMember)
	}
	return s.fail(i, expectAfterElement)

shut: // data[i] closes the innermost object or array.
	i++
	depth--
	if depth == floor {
		return i
	}
	kinds >>= 1
	if (depth-floor)&63 == 0 && len(words) > 0 {
		kinds = words[len(words)-1]
		words = words[:len(words)-1]
	}
	goto after
}

// str checks a string from a byte inside of it where a character begins, and
// returns the index after its closing quotation mark.
//
// Most strings are short and plain ASCII, and this loop is all they need: it has
// little to set up and keeps little. The others go on in text.
func (s *scanner) str(i int) int {
	data := s.data
	stop := i + shortString
	for i >= 0 && i < len(data)-7 && i < stop {
		if m := special(load(data[i : i+8])); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			if data[i] == '"' {
				return i + 1
			}
			return s.text(i)
		}
		i += 8
	}
	if i == stop {
		i += plain(data[i:]) // as text does in a long run
	}
	return s.text(i)
}

// shortString is how many bytes of a string str looks at, a multiple of 8.
const shortString = 64

// text does for any string what str does for most.
func (s *scanner) text(i int) int {
	data, start := s.data, i
	state := uint64(utf8Whole) // after the bytes before i
	clean := 0                 // words with nothing special just before i
	for i >= 0 && i < len(data)-7 {
		x := load(data[i : i+8])
		m := special(x)
		if m|state == 0 {
			i += 8
			if clean++; clean == 8 {
				// A long run: larger steps pay now. In mixed text they do not.
				i += plain(data[i:])
				clean = 0
			}
			continue
		}
		clean = 0
		if state == utf8Whole {
			bit := uint(bits.TrailingZeros64(m)) &^ 7
			switch c := byte(x >> bit); {
			case c == '"':
				return i + int(bit>>3) + 1
			case c == '\\':
				if i = s.escape(i + int(bit>>3) + 1); i < 0 {
					return i
				}
				continue
			case c < ' ':
				return s.fail(i+int(bit>>3), expectEscape)
			}
		}

		// There are bytes beyond ASCII before the next byte that ends or
		// interrupts the string, if that is in x at all. Put spaces from there on
		// and let the automaton run over all of x: no branch depends on where
		// characters begin and how long they are, which is what cannot be
		// predicted in text of mixed languages.
		m = ascii(x) &^ x & high
		y, bit := x, uint(64)
		if m != 0 {
			bit = uint(bits.TrailingZeros64(m)) &^ 7
			y = x&(1<<bit-1) | ' '*ones<<bit
		}
		state = utf8Next[byte(y)] >> (state & 63)
		state = utf8Next[byte(y>>8)] >> (state & 63)
		state = utf8Next[byte(y>>16)] >> (state & 63)
		state = utf8Next[byte(y>>24)] >> (state & 63)
		state = utf8Next[byte(y>>32)] >> (state & 63)
		state = utf8Next[byte(y>>40)] >> (state & 63)
		state = utf8Next[byte(y>>48)] >> (state & 63)
		state = utf8Next[byte(y>>56)] >> (state & 63) & 63
		i += int(bit >> 3)
		if state == utf8Wrong {
			// The automaton has run past the place. A character cut short by what
			// m stands for comes here on the next turn, which begins with that.
			return s.failUTF8(start)
		}
	}

	// Fewer than 8 bytes are left of data. If they begin inside of a character,
	// go back to its first byte.
	for state != utf8Whole && i > start {
		i--
		if utf8.RuneStart(data[i]) {
			break
		}
	}
	for i < len(data) {
		switch c := data[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i + 1); i < 0 {
				return i
			}
		case c < ' ':
			return s.fail(i, expectEscape)
		case c < utf8.RuneSelf:
			i++
		default:
			_, size := utf8.DecodeRune(data[i:])
			if size == 1 {
				return s.fail(i, expectUTF8)
			}
			i += size
		}
	}
	return s.fail(i, expectQuote)
}

// escape checks what follows a backslash, at data[i].
func (s *scanner) escape(i int) int {
	data := s.data
	s.escaped = true
	if i >= len(data) {
		return s.fail(i, expectEscapeChar)
	}
	switch data[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		i++
		if i >= 0 && i < len(data)-3 && hex[data[i]]&hex[data[i+1]]&hex[data[i+2]]&hex[data[i+3]] != 0 {
			return i + 4
		}
		for i < len(data) && hex[data[i]] != 0 {
			i++
		}
		return s.fail(i, expectHex)
	}
	return s.fail(i, expectEscapeChar)
}

// literal checks one of the three literals, whose first byte is known to be right.
func (s *scanner) literal(i int, want, expected string) int {
	for k := 1; k < len(want); k++ {
		if i+k >= len(s.data) || s.data[i+k] != want[k] {
			return s.fail(i+k, expected)
		}
	}
	return i + len(want)
}

// number checks a number, whose first byte is known to be a digit or a minus.
func (s *scanner) number(i int) int {
	data := s.data
	if data[i] == '-' {
		i++
	}
	switch {
	case i >= len(data) || !digit(data[i]):
		return s.fail(i, expectDigit)
	case data[i] == '0':
		i++
		if i < len(data) && digit(data[i]) {
			return s.fail(i, expectNoZero)
		}
	default:
		i = digits(data, i)
	}
	if i < len(data) && data[i] == '.' {
		i++
		if i >= len(data) || !digit(data[i]) {
			return s.fail(i, expectDigit)
		}
		i = digits(data, i)
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		expected := expectExponent
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
			expected = expectDigit
		}
		if i >= len(data) || !digit(data[i]) {
			return s.fail(i, expected)
		}
		i = digits(data, i)
	}
	return i
}

func digit(c byte) bool { return c-'0' <= 9 }

// digits returns the index of the first byte from i that is not a digit.
func digits(data []byte, i int) int {
	for i < len(data) && digit(data[i]) {
		i++
	}
	return i
}

// space returns the index of the first byte from i that is not white space.
func space(data []byte, i int) int {
	for i < len(data) {
		switch data[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
		// Most white space is the indentation after a line feed.
		for i >= 0 && i < len(data)-7 {
			x := load(data[i:i+8]) ^ ' '*ones
			if x != 0 {
				i += bits.TrailingZeros64(x) >> 3
				break
			}
			i += 8
		}
	}
	return i
}

// What follows looks at 8 bytes at once, in a word whose lowest byte is the first
// of them. ones and high repeat a byte over the word.
const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

func load(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

// ascii has the high bit of a byte set for the first byte of x below 0x80 that may
// not stand in a string as it is: a quotation mark, a backslash or a control
// character. It may be set for later bytes and for bytes from 0x80 too, whatever
// they are; the other bits mean nothing.
//
// A subtraction that borrows is what marks a byte. Exchanging 0x20 with 0x22 and
// 0x00 with 0x02 puts the quotation mark right behind the control characters, so
// one subtraction finds both.
func ascii(x uint64) uint64 {
	return ((x ^ 0x02*ones) - 0x21*ones) | ((x ^ '\\'*ones) - ones)
}

// special has the high bit of a byte set for the first byte of x that ascii finds
// or that is not ASCII. Bits above that one mean nothing; 0 means that there is no
// such byte.
func special(x uint64) uint64 { return (ascii(x) | x) & high }

// plain returns how many bytes at the start of p stand for themselves in a string.
// It may stop short of the last 8 bytes of p.
func plain(p []byte) int {
	n := len(p)
	p = p[:n:n] // the compiler then needs no capacity to follow
	for len(p) > 32 {
		a, b, c, d := load(p), load(p[8:]), load(p[16:]), load(p[24:])
		if (ascii(a)|a|ascii(b)|b|ascii(c)|c|ascii(d)|d)&high != 0 {
			break
		}
		p = p[32:]
	}
	for len(p) > 8 {
		if m := special(load(p)); m != 0 {
			return n - len(p) + bits.TrailingZeros64(m)>>3
		}
		p = p[8:]
	}
	return n - len(p)
}

// hex holds 16 plus the value of a hexadecimal digit, and 0 for any other byte.
var hex = [256]byte{
	'0': 16, '1': 17, '2': 18, '3': 19, '4': 20, '5': 21, '6': 22, '7': 23, '8': 24, '9': 25,
	'a': 26, 'b': 27, 'c': 28, 'd': 29, 'e': 30, 'f': 31,
	'A': 26, 'B': 27, 'C': 28, 'D': 29, 'E': 30, 'F': 31,
}

// The states of an automaton that reads UTF-8 (RFC 3629, section 4) byte by byte.
// A state is the number of bits by which a row of utf8Next is shifted to find the
// next one, so that a step is a load and a shift.
const (
	utf8Whole = 6 * iota // between characters
	utf8Wrong            // for good
	utf8Tail1            // one more byte of the character to come, 80..BF
	utf8Tail2            // two more
	utf8Tail3            // three more
	utf8E0               // two more, the first A0..BF
	utf8ED               // two more, the first 80..9F: the others are surrogates
	utf8F0               // three more, the first 90..BF
	utf8F4               // three more, the first 80..8F
)

// utf8Next holds for each byte the state that follows each state, 6 bits each.
var utf8Next = func() (rows [256]uint64) {
	for _, r := range []struct {
		from, to    byte
		state, next uint64
	}{
		{0x00, 0x7f, utf8Whole, utf8Whole},
		{0xc2, 0xdf, utf8Whole, utf8Tail1},
		{0xe0, 0xe0, utf8Whole, utf8E0},
		{0xe1, 0xec, utf8Whole, utf8Tail2},
		{0xed, 0xed, utf8Whole, utf8ED},
		{0xee, 0xef, utf8Whole, utf8Tail2},
		{0xf0, 0xf0, utf8Whole, utf8F0},
		{0xf1, 0xf3, utf8Whole, utf8Tail3},
		{0xf4, 0xf4, utf8Whole, utf8F4},
		{0x80, 0xbf, utf8Tail1, utf8Whole},
		{0x80, 0xbf, utf8Tail2, utf8Tail1},
		{0x80, 0xbf, utf8Tail3, utf8Tail2},
		{0xa0, 0xbf, utf8E0, utf8Tail1},
		{0x80, 0x9f, utf8ED, utf8Tail1},
		{0x90, 0xbf, utf8F0, utf8Tail2},
		{0x80, 0x8f, utf8F4, utf8Tail2},
	} {
		for b := int(r.from); b <= int(r.to); b++ {
			rows[b] |= (r.next ^ utf8Wrong) << r.state
		}
	}
	for b := range rows {
		for state := utf8Whole; state <= utf8F4; state += 6 {
			rows[b] ^= utf8Wrong << state // nothing above means wrong
		}
	}
	return rows
}()
