// Package jsonbody checks that a request body is a JSON object, and says what its
// top-level fields are, before anything is decoded.
//
// [Checker.Check] reads the body once and is strict: RFC 8259 over the whole of
// it, valid UTF-8, no byte order mark, a bounded depth. It copies nothing. What it
// refuses it refuses with a [SyntaxError], which says where and what was expected
// and never quotes the body.
//
// # Policy
//
// RFC 8259 leaves some things open, and readers of JSON differ in them. A check
// that reads a body otherwise than the handler behind it can be passed by a body
// that says one thing to each of them, so the choices are those of encoding/json,
// but for the two marked with a star:
//
//   - The last of several fields with the same name counts.
//   - Names are compared byte by byte after decoding (*): "\u006dodel" is model,
//     "Model" is not. A struct that encoding/json decodes into would take "Model"
//     too; decode into a map, or refuse unknown fields, where that matters.
//   - UTF-8 must be valid (*). encoding/json replaces what is not.
//   - An escaped surrogate may stand alone, as the grammar of RFC 8259 allows. It
//     is read as U+FFFD.
//   - Objects and arrays may nest 10,000 levels deep by default.
//   - Numbers may have any size and precision.
//
// # Cost
//
// The time is linear in the length of the body whatever it holds. The memory is
// 1.25 KB of stack for bodies nested deeper than 64 levels, and nothing for
// others; docs/performance.md has the figures.
//
// The package knows nothing of HTTP and imports only the standard library. It
// never panics. All its functions are safe for concurrent use.
package jsonbody
