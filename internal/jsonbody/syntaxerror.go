package jsonbody

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// What may stand where a body goes wrong. The texts go to the sender as they are.
const (
	expectValue        = "a value"
	expectFirstName    = "a field name in double quotes or a closing brace"
	expectName         = "a field name in double quotes"
	expectColon        = "a colon"
	expectAfterMember  = "a comma or a closing brace"
	expectFirstElement = "a value or a closing bracket"
	expectAfterElement = "a comma or a closing bracket"
	expectEnd          = "end of input"
	expectQuote        = "a closing quotation mark"
	expectEscape       = "an escape sequence instead of a control character"
	expectEscapeChar   = "a quotation mark, a backslash, a slash, b, f, n, r, t or u after the backslash"
	expectHex          = "a hexadecimal digit"
	expectUTF8         = "a valid UTF-8 byte sequence"
	expectDigit        = "a digit"
	expectExponent     = "a sign or a digit"
	expectNoZero       = "no digit after a leading zero"
	expectTrue         = "the literal true"
	expectFalse        = "the literal false"
	expectNull         = "the literal null"
	expectNoMark       = "a value, not a byte order mark"
)

// SyntaxError says where a body stops being JSON in the sense of RFC 8259, and
// what could have stood there. It never holds any byte of the body, so it may be
// shown to the sender and written to logs.
type SyntaxError struct {
	// Offset is the index of the first byte that is wrong, from 0. It is the
	// length of the body where that ends too early, and the first byte of the
	// sequence where UTF-8 is not valid.
	Offset int
	// Line and Column say the same for a person in front of an editor, both from
	// 1. Lines end with LF or CR LF. Columns count characters (Unicode code
	// points), as editors do; Offset is there for programs. All that stands
	// before Offset is valid UTF-8, so the count is exact.
	Line, Column int
	// Expected says what could have stood at Offset, such as "a comma or a
	// closing brace", for use after the word "expected".
	Expected string
}

// Error returns one line such as
//
//	invalid JSON at line 1, column 12 (byte 11): expected a colon
func (e *SyntaxError) Error() string {
	b := make([]byte, 0, 128)
	b = append(b, "invalid JSON at line "...)
	b = strconv.AppendInt(b, int64(e.Line), 10)
	b = append(b, ", column "...)
	b = strconv.AppendInt(b, int64(e.Column), 10)
	b = append(b, " (byte "...)
	b = strconv.AppendInt(b, int64(e.Offset), 10)
	b = append(b, "): expected "...)
	b = append(b, e.Expected...)
	return string(b)
}

// Position returns the line and the column of data[offset] as [SyntaxError] counts
// them, for a caller who wants to point at a [Value] of the wrong kind. An offset
// outside data counts as the nearest one inside or at the end.
func Position(data []byte, offset int) (line, column int) {
	before := data[:max(0, min(offset, len(data)))]
	return 1 + bytes.Count(before, []byte{'\n'}),
		1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

func (s *scanner) syntaxError() *SyntaxError {
	line, column := Position(s.data, s.at)
	return &SyntaxError{Offset: s.at, Line: line, Column: column, Expected: s.expected}
}
