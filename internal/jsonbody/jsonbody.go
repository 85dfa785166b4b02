package jsonbody

import (
	"errors"
	"slices"
)

// DefaultMaxDepth is the number of levels that objects and arrays may nest when
// [Checker.MaxDepth] is not set. encoding/json has the same limit.
const DefaultMaxDepth = 10_000

// ErrNotObject reports a body that is valid JSON and whose top level is something
// else than an object.
var ErrNotObject = errors.New("top level is not an object")

// Kind is the kind of a JSON value. The zero value is [Absent].
type Kind uint8

const (
	// Absent: the body has no such field.
	Absent Kind = iota
	// String: a string, which may be empty.
	String
	// Object: an object, which may be empty.
	Object
	// Array: an array, which may be empty.
	Array
	// Number: a number of any size and precision.
	Number
	// Bool: true or false.
	Bool
	// Null: the literal null.
	Null
)

var kindNames = [...]string{
	Absent: "absent",
	String: "string",
	Object: "object",
	Array:  "array",
	Number: "number",
	Bool:   "boolean",
	Null:   "null",
}

// String returns the kind in the words of RFC 8259 ("string", "boolean" and so
// on); "absent" for [Absent] and for a value out of range.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return kindNames[Absent]
	}
	return kindNames[k]
}

// kindOf gives the kind of a value by its first byte. It is looked up before the
// value is checked, so any other byte may be asked for.
var kindOf = [256]Kind{
	'"': String, '{': Object, '[': Array, 't': Bool, 'f': Bool, 'n': Null,
	'-': Number, '0': Number, '1': Number, '2': Number, '3': Number, '4': Number,
	'5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
}

// Value is where a top-level field stands in a body, and what kind of value it
// has. The zero value is an absent field.
type Value struct {
	Kind Kind
	// Start and End delimit the value in the body, in bytes: data[Start:End] is
	// the value as it was sent, quotation marks included. Both are 0 for an
	// absent field.
	Start, End int
}

// Text returns the decoded string that v stands for in data, which must be the
// bytes that v was found in. It is "" unless v.Kind is [String]. It allocates the
// string and nothing else; the string shares no memory with data.
//
// Text is at most v.End-v.Start-2 bytes long. The sender chooses that length, so
// look at it first where a long string would do harm. A lone surrogate becomes
// U+FFFD, as in encoding/json.
func (v Value) Text(data []byte) string {
	if v.Kind != String || v.Start < 0 || v.End > len(data) || v.End-v.Start < 2 {
		return ""
	}
	return unquote(data[v.Start+1 : v.End-1])
}

// Checker says whether a request body is a JSON object, and what its top-level
// fields are. The zero value checks any object and reports no field. A Checker is
// safe for concurrent use as long as nobody modifies it.
type Checker struct {
	// Fields are the names of the top-level fields to report, compared byte by
	// byte with the decoded names in the body: case matters, "\u006dodel" is
	// model. Where two are equal only the first is reported. Each name in the body
	// is compared with each of them, so keep the list short.
	Fields []string
	// MaxDepth is how many levels objects and arrays may nest; the top level is
	// level 1. 0 or less is [DefaultMaxDepth]. The check needs one bit a level,
	// without any allocation up to [DefaultMaxDepth].
	MaxDepth int
}

// Check reads data once from end to end. If data is a JSON object it appends to
// dst one [Value] for each of c.Fields, in that order, and returns the extended
// slice. Of a field that occurs more than once the last occurrence counts.
//
// Otherwise it returns dst as it was, with a [*SyntaxError] that points at the
// first byte that is wrong, or with [ErrNotObject] for any other valid JSON.
//
// Check keeps no reference to data or dst. It allocates only if dst is too short,
// for the error, and beyond [DefaultMaxDepth] levels.
func (c *Checker) Check(dst []Value, data []byte) ([]Value, error) {
	base := len(dst)
	dst = slices.Grow(dst, len(c.Fields))
	for range c.Fields {
		dst = append(dst, Value{})
	}
	s := scanner{data: data, limit: c.MaxDepth}
	if s.limit <= 0 {
		s.limit = DefaultMaxDepth
	}
	end, isObject := s.body(&report{fields: c.Fields, values: dst[base:]})
	if end < 0 {
		return dst[:base], s.syntaxError()
	}
	if !isObject {
		return dst[:base], ErrNotObject
	}
	return dst, nil
}
