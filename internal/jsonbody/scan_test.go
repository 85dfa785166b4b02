package jsonbody_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/internal/jsonbody"
	"github.com/errwire/errwire/internal/jsonbody/jsonbodytest"
)

// agree holds a check of data against encoding/json and unicode/utf8: whether data
// is valid, where it stops being so, and what the top-level fields are. It returns
// whether data is valid.
func agree(t *testing.T, data []byte) bool {
	t.Helper()
	fields := []string{"model", "input", "a", "", "messages", "ö\n"}
	c := jsonbody.Checker{Fields: fields}
	values, err := c.Check(nil, data)

	var wrong *jsonbody.SyntaxError
	valid := json.Valid(data) && utf8.Valid(data)
	if errors.As(err, &wrong) == valid {
		t.Fatalf("valid is %t, but: %v\n%q", valid, err, data)
	}
	if !valid {
		if want := firstWrong(data); knowsOffset && wrong.Offset != want {
			t.Fatalf("wrong at %d, but: %v\n%q", want, err, data)
		}
		// Counted the slow way round.
		line, column := 1, 1
		for _, r := range string(data[:wrong.Offset]) {
			column++
			if r == '\n' {
				line, column = line+1, 1
			}
		}
		if wrong.Line != line || wrong.Column != column || wrong.Expected == "" {
			t.Fatalf("wrong at line %d, column %d, but: %v\n%q", line, column, err, data)
		}
		return false
	}

	var want map[string]json.RawMessage // unlike a struct it takes names as they are
	if first := bytes.TrimLeft(data, " \t\r\n")[0]; first != '{' {
		if !errors.Is(err, jsonbody.ErrNotObject) {
			t.Fatalf("no object, but: %v\n%q", err, data)
		}
		return true
	}
	if err != nil {
		t.Fatalf("an object, but: %v\n%q", err, data)
	}
	require.NoError(t, json.Unmarshal(data, &want))
	for n, name := range fields {
		raw, ok := want[name]
		v := values[n]
		if ok != (v.Kind != jsonbody.Absent) || string(raw) != string(data[v.Start:v.End]) || kind(raw) != v.Kind {
			t.Fatalf("field %q is %q, but: %+v\n%q", name, raw, v, data)
		}
		text := ""
		if v.Kind == jsonbody.String {
			require.NoError(t, json.Unmarshal(raw, &text))
		}
		if got := v.Text(data); got != text {
			t.Fatalf("field %q is %q, but: %q\n%q", name, text, got, data)
		}
	}
	return true
}

// knowsOffset is false with GOEXPERIMENT=jsonv2, under which encoding/json points
// somewhere before the first wrong byte.
var knowsOffset = firstWrong([]byte("[1x")) == 2

// firstWrong returns where data stops being JSON: where encoding/json says so, or
// earlier where UTF-8 is not valid.
func firstWrong(data []byte) int {
	// At the end of its input encoding/json pretends to read a space, and may then
	// count that. NUL is wrong wherever it stands, so the input never just ends.
	var wrong *json.SyntaxError
	if !errors.As(json.Unmarshal(append(bytes.Clone(data), 0), new(json.RawMessage)), &wrong) {
		return -1
	}
	offset := int(wrong.Offset) - 1
	for i := 0; i < offset; {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return offset
}

func kind(raw []byte) jsonbody.Kind {
	if len(raw) == 0 {
		return jsonbody.Absent
	}
	switch raw[0] {
	case '"':
		return jsonbody.String
	case '{':
		return jsonbody.Object
	case '[':
		return jsonbody.Array
	case 't', 'f':
		return jsonbody.Bool
	case 'n':
		return jsonbody.Null
	}
	return jsonbody.Number
}

func TestScanAgreesOnCases(t *testing.T) {
	for _, c := range jsonbodytest.Cases() {
		valid := agree(t, []byte(c.Body))
		require.Equal(t, c.Want != jsonbodytest.Invalid, valid, c.Name)
	}
	for _, b := range jsonbodytest.Bodies() {
		require.True(t, agree(t, b.Data), b.Name)
	}
}

// Everything is read 8 or 32 bytes at a time, from any offset: put everything that
// can stand in a string, and everything that cannot, at every place of strings of
// every length, in every part of a body, cut off and whole.
func TestScanEveryOffset(t *testing.T) {
	things := []string{
		`\n`, `\"`, `\\`, `\u00e9`, `\ud83d\ude42`, `\x`, `\u12g4`, `"`, "\n", "\x00", "\x1f", " ", "!", "#", "]", "\x7f",
		"é", "日", "🙂", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff",
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xdf", "\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80", "\xef\xbf",
		"\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
	}
	fills := []string{"a", "é", "日", "🙂"}
	lengths := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 22, 23, 24, 25, 31, 32, 33, 40, 63, 64, 65, 66, 72, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 128}
	if testing.Short() {
		fills, lengths = fills[:2], lengths[:24]
	}
	frames := [][2]string{
		{`{"model":"`, `"}`}, {`{"`, `":1}`}, {`{"input":{"a":"`, `"}}`}, {`{"input":{"`, `":[]}}`},
		{`{"input":["`, `","some more text behind it, longer than a word"]}`}, {`"`, `"`},
	}
	for _, frame := range frames {
		for _, thing := range things {
			for _, fill := range fills {
				for _, n := range lengths {
					body := frame[0] + strings.Repeat(fill, n) + thing + fill + frame[1]
					agree(t, []byte(body))
					agree(t, []byte(body[:len(frame[0])+n*len(fill)+len(thing)]))
				}
			}
		}
	}
}

// Every prefix of a body, and the body with every byte replaced by every kind of byte.
func TestScanEveryPrefixAndByte(t *testing.T) {
	body := []byte("{\"model\" : \"m\\u00e9\\n日本\",\n\"input\":{\"a\":[1,-2.5e+3,true,false,null,{},[ ]],\"long enough for words\":\"é\"}}\n")
	require.True(t, agree(t, body))
	for i := range body {
		agree(t, body[:i])
		for _, c := range []byte("\"\\{}[]:,0-.eE+ntf u\n\x00\x7f\x80\xc3\xe6\xf0\xff") {
			changed := bytes.Clone(body)
			changed[i] = c
			agree(t, changed)
		}
	}
}

// mutate changes data in one to four places.
func mutate(r *rand.Rand, data []byte) []byte {
	pieces := []string{
		`"`, `\`, `{`, `}`, `[`, `]`, `:`, `,`, `0`, `-`, `.`, `e`, ` `, "\n", "\t", `true`, `null`, `"model":`, `"model":"x",`, `"\u006dodel":1,`,
		`\u00e9`, `\ud800`, `\n`, "é", "日", "🙂", "\xff", "\xc0", "\xe0\x80", "\xed\xa0\x80", "\xf4\x90", "\x80", "\x00", "[[", "]]", `{"a":`, `1e5`, `a`, `word `,
	}
	data = bytes.Clone(data)
	for range 1 + r.IntN(4) {
		i := r.IntN(len(data) + 1)
		switch r.IntN(7) {
		case 0: // a byte becomes another
			if i < len(data) {
				data[i] = byte(r.IntN(256))
			}
		case 1: // a letter or digit becomes another: most often still valid
			for k := i; k < len(data); k++ {
				if c := data[k]; c >= 'a' && c <= 'z' || c >= '1' && c <= '9' {
					data[k] = "abcdefgh12345678"[r.IntN(16)]
					break
				}
			}
		case 2, 3: // something is put in
			piece := pieces[r.IntN(len(pieces))]
			data = append(data[:i], append([]byte(piece), data[i:]...)...)
		case 4: // something is left out
			data = append(data[:i], data[min(len(data), i+1+r.IntN(4)):]...)
		case 5: // a piece is doubled
			k := min(len(data), i+r.IntN(40))
			data = append(data[:k], append(bytes.Clone(data[i:k]), data[k:]...)...)
		case 6: // cut off, now and then
			if r.IntN(8) == 0 {
				data = data[:i]
			}
		}
	}
	return data
}

func TestScanMutations(t *testing.T) {
	rounds := 200_000
	if testing.Short() {
		rounds = 20_000
	}
	var seeds [][]byte
	for _, c := range jsonbodytest.Cases() {
		if c.Want != jsonbodytest.Invalid && len(c.Body) < 400 {
			seeds = append(seeds, []byte(c.Body))
		}
	}
	for _, b := range jsonbodytest.Bodies() {
		// A whole body is too long to be mutated often; a string of it is not.
		text, _ := json.Marshal(strings.ToValidUTF8(string(b.Data[:min(len(b.Data), 300)]), ""))
		seeds = append(seeds, []byte(`{"model":"m","messages":[{"content":`+string(text)+`}],"input":{}}`))
		if len(b.Data) < 400 {
			seeds = append(seeds, b.Data)
		}
	}
	r := rand.New(rand.NewPCG(4, 4))
	valid := 0
	for range rounds {
		if agree(t, mutate(r, seeds[r.IntN(len(seeds))])) {
			valid++
		}
	}
	t.Logf("%d of %d valid", valid, rounds)
	// Both answers must be common, or the test would show nothing.
	require.Greater(t, valid, rounds/10)
	require.Less(t, valid, rounds*9/10)
}

func FuzzCheck(f *testing.F) {
	for _, c := range jsonbodytest.Cases() {
		if len(c.Body) < 1000 {
			f.Add([]byte(c.Body))
		}
	}
	f.Add(jsonbodytest.Bodies()[2].Data[:500])
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
