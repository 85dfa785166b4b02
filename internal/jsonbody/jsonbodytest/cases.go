package jsonbodytest

import "strings"

// What a check of a [Case] comes to. A body that passes is "ok " and its model.
const (
	Invalid   = "invalid"       // no JSON text
	NotObject = "not an object" // another JSON text
	NoModel   = "no model"      // "model" is absent or no string
	NoInput   = "no input"      // "input" is absent or no object
)

// Case is a body, and what a check has to say that requires "model", a string, and
// "input", an object, at the top level: strict RFC 8259, valid UTF-8, at most
// 10,000 levels, names compared with their case, the last of several fields with one name.
type Case struct {
	Name string
	Body string
	Want string
	At   At // where Want is Invalid
}

// At is a position in a body, and what could have stood there.
type At struct {
	Offset, Line, Column int
	Expected             string
}

const (
	value        = "a value"
	firstName    = "a field name in double quotes or a closing brace"
	fieldName    = "a field name in double quotes"
	colon        = "a colon"
	afterMember  = "a comma or a closing brace"
	firstElement = "a value or a closing bracket"
	afterElement = "a comma or a closing bracket"
	end          = "end of input"
	quote        = "a closing quotation mark"
	control      = "an escape sequence instead of a control character"
	escapeChar   = "a quotation mark, a backslash, a slash, b, f, n, r, t or u after the backslash"
	hexDigit     = "a hexadecimal digit"
	utf8Sequence = "a valid UTF-8 byte sequence"
	oneDigit     = "a digit"
	exponent     = "a sign or a digit"
	noZero       = "no digit after a leading zero"
	literalTrue  = "the literal true"
	literalFalse = "the literal false"
	literalNull  = "the literal null"
	noMark       = "a value, not a byte order mark"
	depth10000   = "at most 10000 levels of nesting"
)

// in returns a body that has v at offset 26, column 27, inside of two objects.
func in(v string) string { return `{"model":"m","input":{"a":` + v + `}}` }

// ascii returns where a body of one line without anything beyond ASCII before the
// offset goes wrong.
func ascii(offset int, expected string) At { return At{offset, 1, offset + 1, expected} }

// Cases returns the bodies on which readers of JSON are known to differ, and the
// likes of them.
func Cases() []Case {
	nested := func(n int) string { return in(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	return []Case{
		// Numbers.
		{"NaN", in(`NaN`), Invalid, ascii(26, value)},
		{"Infinity", in(`Infinity`), Invalid, ascii(26, value)},
		{"minus Infinity", in(`-Infinity`), Invalid, ascii(27, oneDigit)},
		{"leading zero", in(`01`), Invalid, ascii(27, noZero)},
		{"leading zero after a minus", in(`-01`), Invalid, ascii(28, noZero)},
		{"leading plus", in(`+1`), Invalid, ascii(26, value)},
		{"leading point", in(`.5`), Invalid, ascii(26, value)},
		{"point without digits", in(`1.`), Invalid, ascii(28, oneDigit)},
		{"point before exponent", in(`1.e5`), Invalid, ascii(28, oneDigit)},
		{"exponent without digits", in(`1e`), Invalid, ascii(28, exponent)},
		{"exponent with a sign only", in(`1E+`), Invalid, ascii(29, oneDigit)},
		{"two points", in(`1.2.3`), Invalid, ascii(29, afterMember)},
		{"lone minus", in(`-`), Invalid, ascii(27, oneDigit)},
		{"two minuses", in(`--1`), Invalid, ascii(27, oneDigit)},
		{"hexadecimal number", in(`0x10`), Invalid, ascii(27, afterMember)},
		{"digit separator", in(`1_000`), Invalid, ascii(27, afterMember)},
		{"number cut short at the end", `{"model":"m","input":-`, Invalid, ascii(22, oneDigit)},
		{"1e999999", in(`1e999999`), "ok m", At{}},
		{"200 digits", in(strings.Repeat("9", 200)), "ok m", At{}},
		{"numbers of every form", in(`[-0,0e-0,0.0,-12.50E+07,1E2]`), "ok m", At{}},

		// Literals.
		{"True", in(`True`), Invalid, ascii(26, value)},
		{"true cut short", in(`tru`), Invalid, ascii(29, literalTrue)},
		{"false misspelt", in(`falsy`), Invalid, ascii(30, literalFalse)},
		{"null misspelt", in(`nul1`), Invalid, ascii(29, literalNull)},
		{"null prolonged", in(`nulll`), Invalid, ascii(30, afterMember)},
		{"null cut short at the end", `{"model":nu`, Invalid, ascii(11, literalNull)},
		{"undefined", in(`undefined`), Invalid, ascii(26, value)},
		{"all literals", in(`[true,false,null]`), "ok m", At{}},

		// Escape sequences.
		{`escape \ud800 alone`, in(`"\ud800"`), "ok m", At{}},
		{`escape \udc00 alone`, in(`"\udc00x"`), "ok m", At{}},
		{"escaped surrogates in the wrong order", in(`"\udc00\ud800"`), "ok m", At{}},
		{"escaped surrogate pair", in(`"\uD83D\ude00"`), "ok m", At{}},
		{"every escape", in(`"\"\\\/\b\f\n\r\t\u0000\uFFFF"`), "ok m", At{}},
		{`escape \x41`, in(`"\x41"`), Invalid, ascii(28, escapeChar)},
		{`escape \'`, in(`"\'"`), Invalid, ascii(28, escapeChar)},
		{`escape \U`, in(`"\U0041"`), Invalid, ascii(28, escapeChar)},
		{"escaped line feed", in("\"\\\n\""), Invalid, ascii(28, escapeChar)},
		{`escape \u12G4`, in(`"\u12G4"`), Invalid, ascii(31, hexDigit)},
		{`escape \u12 before the quotation mark`, in(`"\u12"`), Invalid, ascii(31, hexDigit)},
		{`escape \u+123`, in(`"\u+123"`), Invalid, ascii(29, hexDigit)},
		{"backslash at the end", `{"model":"m\`, Invalid, ascii(12, escapeChar)},
		{`\u at the end`, `{"model":"m\u`, Invalid, ascii(13, hexDigit)},
		{`\u004 at the end`, `{"model":"m\u004`, Invalid, ascii(16, hexDigit)},
		{"escape in a field name wrong", `{"m\odel":"m","input":{}}`, Invalid, ascii(4, escapeChar)},

		// UTF-8.
		{"byte FF in string", in("\"\xff\""), Invalid, ascii(27, utf8Sequence)},
		{"byte FF in a field name", "{\"m\xffodel\":\"m\",\"input\":{}}", Invalid, ascii(3, utf8Sequence)},
		{"byte FF outside of strings", "{\"model\":\xff}", Invalid, ascii(9, value)},
		{"overlong C0 AF", in("\"\xc0\xaf\""), Invalid, ascii(27, utf8Sequence)},
		{"overlong E0 80 80", in("\"\xe0\x80\x80\""), Invalid, ascii(27, utf8Sequence)},
		{"overlong F0 8F BF BF", in("\"\xf0\x8f\xbf\xbf\""), Invalid, ascii(27, utf8Sequence)},
		{"raw surrogate ED A0 80", in("\"\xed\xa0\x80\""), Invalid, ascii(27, utf8Sequence)},
		{"beyond U+10FFFF", in("\"\xf4\x90\x80\x80\""), Invalid, ascii(27, utf8Sequence)},
		{"byte F5", in("\"\xf5\x80\x80\x80\""), Invalid, ascii(27, utf8Sequence)},
		{"continuation byte alone", in("\"abc\x80\""), Invalid, ascii(30, utf8Sequence)},
		{"continuation byte too many", in("\"é\xa9\""), Invalid, At{29, 1, 29, utf8Sequence}},
		{"sequence cut short by a quotation mark", in("\"\xe6\x97\""), Invalid, ascii(27, utf8Sequence)},
		{"sequence cut short by an escape", in("\"\xf0\x9f\x99\\n\""), Invalid, ascii(27, utf8Sequence)},
		{"sequence cut short by a letter", in("\"\xe6\x97x and more text behind it\""), Invalid, ascii(27, utf8Sequence)},
		{"sequence cut short at the end", "{\"model\":\"\xe6\x97", Invalid, ascii(10, utf8Sequence)},
		{"wrong byte after characters", in("\"héllo\xff\""), Invalid, At{33, 1, 33, utf8Sequence}},
		{"wrong byte far inside", in("\"日本語日本語日本語日本語日本語\xe6\x97 and more text\""), Invalid, At{72, 1, 43, utf8Sequence}},
		{"first and last character of every length", in("\"\x7f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff\""), "ok m", At{}},
		{"U+FFFD sent as such", in("\"\ufffd\""), "ok m", At{}},
		{"not ASCII before the mistake", `{"model":"🙂🙂" x}`, Invalid, At{20, 1, 15, afterMember}},

		// Control characters and white space.
		{"raw newline in string", in("\"a\nb\""), Invalid, ascii(28, control)},
		{"raw tab in string", in("\"\t\""), Invalid, ascii(27, control)},
		{"NUL in string", in("\"abcdefgh\x00\""), Invalid, ascii(35, control)},
		{"U+001F in string", in("\"\x1f\""), Invalid, ascii(27, control)},
		{"DEL in string", in("\"\x7f\""), "ok m", At{}},
		{"white space everywhere", " \t\r\n{ \"model\"\n:\r\"m\"\t, \"input\" : { \"a\" : [ 1 , { } , [ ] ] } } \n", "ok m", At{}},
		{"form feed as white space", "{\f}", Invalid, ascii(1, firstName)},
		{"vertical tab as white space", in("[1,\v2]"), Invalid, ascii(29, value)},
		{"no-break space as white space", "{\u00a0}", Invalid, ascii(1, firstName)},
		{"no white space but U+2028", "{}\u2028", Invalid, ascii(2, end)},

		// The ends of the body.
		{"empty", "", Invalid, ascii(0, value)},
		{"white space only", "  \n\t", Invalid, At{4, 2, 2, value}},
		{"byte order mark", "\ufeff" + in(`1`), Invalid, ascii(0, noMark)},
		{"byte order mark after white space", " \ufeff{}", Invalid, ascii(1, value)},
		{"half a byte order mark", "\xef\xbb", Invalid, ascii(0, value)},
		{"UTF-16", "\xff\xfe{\x00}\x00", Invalid, ascii(0, value)},
		{"trailing bytes", `{"model":"m","input":{}} x`, Invalid, ascii(25, end)},
		{"trailing NUL", `{"model":"m","input":{}}` + "\x00", Invalid, ascii(24, end)},
		{"trailing brace", `{"model":"m","input":{}}}`, Invalid, ascii(24, end)},
		{"trailing comma behind all", `{},`, Invalid, ascii(2, end)},
		{"two documents", "{\"model\":\"m\",\"input\":{}}\n{}", Invalid, At{25, 2, 1, end}},
		{"comment before", `/* */{}`, Invalid, ascii(0, value)},
		{"comment inside", `{"model":"m",// x` + "\n" + `"input":{}}`, Invalid, ascii(13, fieldName)},

		// Objects and arrays.
		{"trailing comma in the top level", `{"model":"m","input":{},}`, Invalid, ascii(24, fieldName)},
		{"trailing comma in an object", in(`1,`), Invalid, ascii(28, fieldName)},
		{"trailing comma in an array", in(`[1,]`), Invalid, ascii(29, value)},
		{"comma first in the top level", `{,}`, Invalid, ascii(1, firstName)},
		{"comma first in an object", in(`{,}`), Invalid, ascii(27, firstName)},
		{"comma first in an array", in(`[,1]`), Invalid, ascii(27, firstElement)},
		{"two commas", in(`[1,,2]`), Invalid, ascii(29, value)},
		{"colon missing in the top level", `{"model" "m"}`, Invalid, ascii(9, colon)},
		{"colon missing", in(`{"b" 1}`), Invalid, ascii(31, colon)},
		{"equals sign for a colon", in(`{"b"=1}`), Invalid, ascii(30, colon)},
		{"two colons", in(`{"b"::1}`), Invalid, ascii(31, value)},
		{"value missing", in(`{"b":}`), Invalid, ascii(31, value)},
		{"comma missing in the top level", `{"model":"m" "input":{}}`, Invalid, ascii(13, afterMember)},
		{"comma missing in an object", in(`{"b":1 "c":2}`), Invalid, ascii(33, afterMember)},
		{"comma missing in an array", in(`[1 2]`), Invalid, ascii(29, afterElement)},
		{"single quotes", `{'model':'m'}`, Invalid, ascii(1, firstName)},
		{"single quotes around a value", in(`'x'`), Invalid, ascii(26, value)},
		{"name without quotes", `{model:"m"}`, Invalid, ascii(1, firstName)},
		{"number for a name", in(`{1:2}`), Invalid, ascii(27, firstName)},
		{"second name without quotes", in(`1,b:2`), Invalid, ascii(28, fieldName)},
		{"array closed as an object", in(`[1}`), Invalid, ascii(28, afterElement)},
		{"object closed as an array", in(`{"b":1]`), Invalid, ascii(32, afterMember)},
		{"array closed twice", in(`[1]]`), Invalid, ascii(29, afterMember)},
		{"colon in an array", in(`["b":1]`), Invalid, ascii(30, afterElement)},
		{"only a brace", `{`, Invalid, ascii(1, firstName)},
		{"only a closing brace", `}`, Invalid, ascii(0, value)},
		{"unterminated object", `{"model":"m"`, Invalid, ascii(12, afterMember)},
		{"unterminated after a name", `{"model"`, Invalid, ascii(8, colon)},
		{"unterminated after a colon", `{"model":`, Invalid, ascii(9, value)},
		{"unterminated after a comma", `{"model":"m",`, Invalid, ascii(13, fieldName)},
		{"unterminated string", `{"model":"m`, Invalid, ascii(11, quote)},
		{"unterminated long string", `{"model":"` + strings.Repeat("m", 100), Invalid, ascii(110, quote)},
		{"unterminated name", `{"model`, Invalid, ascii(7, quote)},
		{"unterminated inner object", `{"input":{`, Invalid, ascii(10, firstName)},
		{"unterminated after an inner name", `{"input":{"a"`, Invalid, ascii(13, colon)},
		{"unterminated after an inner colon", `{"input":{"a":`, Invalid, ascii(14, value)},
		{"unterminated after an inner value", `{"input":{"a":1`, Invalid, ascii(15, afterMember)},
		{"unterminated after an inner comma", `{"input":{"a":1,`, Invalid, ascii(16, fieldName)},
		{"unterminated array", `{"input":[`, Invalid, ascii(10, firstElement)},
		{"unterminated after an element", `{"input":[1`, Invalid, ascii(11, afterElement)},
		{"unterminated after a comma in an array", `{"input":[1,`, Invalid, ascii(12, value)},
		{"lines end with CR LF", "{\r\n  \"model\": \"m\",\r\n  \"input\": tru\r\n}", Invalid, At{34, 3, 15, literalTrue}},
		{"lines end with LF", "{\n\"model\":\n\n\"m\"\n\"input\":{}}", Invalid, At{16, 5, 1, afterMember}},

		// Depth.
		{"depth 9,000", nested(8_998), "ok m", At{}},
		{"depth 10,000", nested(9_998), "ok m", At{}},
		{"depth 10,001", nested(9_999), Invalid, ascii(26+9_998, depth10000)},
		{"depth 10,010", nested(10_008), Invalid, ascii(26+9_998, depth10000)},
		{"depth 1,000,000", nested(1_000_000), Invalid, ascii(26+9_998, depth10000)},
		{"depth 1,000,000, never closed", strings.Repeat("[", 1_000_000), Invalid, ascii(10_000, depth10000)},
		{"depth 1,000,000, objects", strings.Repeat(`{"a":`, 1_000_000), Invalid, ascii(50_000, depth10000)},
		{"depth 300 and back, kinds kept apart", in(strings.Repeat(`[{"b":`, 150) + `1` + strings.Repeat(`},2]`, 150)), "ok m", At{}},
		{"depth 300 and back, one kind wrong", in(strings.Repeat(`[{"b":`, 150) + `1` + strings.Repeat(`},2]`, 100) + `]` + strings.Repeat(`},2]`, 50)),
			Invalid, ascii(26+900+1+400, afterMember)},

		// Which field counts.
		{"model twice: a, b", `{"model":"a","model":"b","input":{}}`, "ok b", At{}},
		{"model twice: a, 1", `{"model":"a","model":1,"input":{}}`, NoModel, At{}},
		{"model twice: 1, a", `{"model":1,"input":{},"model":"a"}`, "ok a", At{}},
		{"model twice: a, null", `{"model":"a","input":{},"model":null}`, NoModel, At{}},
		{"model twice, once escaped", `{"model":"a","\u006dodel":"b","input":{}}`, "ok b", At{}},
		{"input twice: object, array", `{"input":{},"model":"m","input":[]}`, NoInput, At{}},
		{`key "Model"`, `{"Model":"m","input":{}}`, NoModel, At{}},
		{`key "model" beside "Model"`, `{"model":"m","Model":"n","MODEL":1,"input":{},"INPUT":1}`, "ok m", At{}},
		{`key "\u006dodel"`, `{"\u006dodel":"m","input":{}}`, "ok m", At{}},
		{`key all escaped`, `{"\u006D\u006f\u0064\u0065\u006C":"m","inpu\u0074":{}}`, "ok m", At{}},
		{`key "\u004dodel"`, `{"\u004dodel":"m","input":{}}`, NoModel, At{}},
		{`key "model\u0000"`, `{"model\u0000":"m","input":{}}`, NoModel, At{}},
		{`key " model"`, `{" model":"m","input":{}}`, NoModel, At{}},
		{`key "ſ", which folds to s`, `{"model":"m","input":{},"ſ":1}`, "ok m", At{}},
		{"empty key", `{"":1,"model":"m","input":{}}`, "ok m", At{}},
		{"long keys", `{"` + strings.Repeat("model", 100) + `":1,"model":"m","input":{}}`, "ok m", At{}},
		{"nested model only", `{"input":{"model":"m"}}`, NoModel, At{}},
		{"model after a nested model", `{"input":{"model":"n"},"model":"m"}`, "ok m", At{}},
		{"model after deep nesting", `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `,"model":"m","input":{}}`, "ok m", At{}},

		// What the fields hold.
		{"model empty", `{"model":"","input":{}}`, "ok ", At{}},
		{"model escaped", `{"model":"\u006d\/\"\\\n","input":{}}`, "ok m/\"\\\n", At{}},
		{"model not ASCII", `{"model":"größe-日本🙂","input":{}}`, "ok größe-日本🙂", At{}},
		{"model with an escaped pair", `{"model":"\ud83d\ude42","input":{}}`, "ok 🙂", At{}},
		{"model with a lone surrogate", `{"model":"\ud83dx\ude42","input":{}}`, "ok \ufffdx\ufffd", At{}},
		{"model null", `{"model":null,"input":{}}`, NoModel, At{}},
		{"model 123", `{"model":123,"input":{}}`, NoModel, At{}},
		{"model true", `{"model":true,"input":{}}`, NoModel, At{}},
		{"model object", `{"model":{"model":"m"},"input":{}}`, NoModel, At{}},
		{"model array", `{"model":["m"],"input":{}}`, NoModel, At{}},
		{"input absent", `{"model":"m"}`, NoInput, At{}},
		{"input array", `{"model":"m","input":[]}`, NoInput, At{}},
		{"input string", `{"model":"m","input":"{}"}`, NoInput, At{}},
		{"input null", `{"model":"m","input":null}`, NoInput, At{}},
		{"empty object", `{}`, NoModel, At{}},

		// The top level.
		{"top-level array", `[{"model":"m","input":{}}]`, NotObject, At{}},
		{"top-level string", `"model"`, NotObject, At{}},
		{"top-level number", ` 12 `, NotObject, At{}},
		{"top-level number 0", `0`, NotObject, At{}},
		{"top-level true", `true`, NotObject, At{}},
		{"top-level null", `null`, NotObject, At{}},
		{"top-level array, broken", `[1,2`, Invalid, ascii(4, afterElement)},
		{"top-level number, broken", `-`, Invalid, ascii(1, oneDigit)},
		{"top-level word", `model`, Invalid, ascii(0, value)},
	}
}
