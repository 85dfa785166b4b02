package jsonbody_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/internal/jsonbody"
	"github.com/errwire/errwire/internal/jsonbody/jsonbodytest"
)

// verdict applies the policy of jsonbodytest.Case to a body.
func verdict(data []byte) (string, error) {
	c := jsonbody.Checker{Fields: []string{"model", "input"}}
	var buf [2]jsonbody.Value
	values, err := c.Check(buf[:0], data)
	switch {
	case errors.Is(err, jsonbody.ErrNotObject):
		return jsonbodytest.NotObject, err
	case err != nil:
		return jsonbodytest.Invalid, err
	case values[0].Kind != jsonbody.String:
		return jsonbodytest.NoModel, nil
	case values[1].Kind != jsonbody.Object:
		return jsonbodytest.NoInput, nil
	}
	return "ok " + values[0].Text(data), nil
}

func TestCheckCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range jsonbodytest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			require.False(t, seen[c.Name], "two cases with one name")
			seen[c.Name] = true
			got, err := verdict([]byte(c.Body))
			require.Equal(t, c.Want, got)
			if c.Want != jsonbodytest.Invalid {
				require.Zero(t, c.At)
				return
			}
			var wrong *jsonbody.SyntaxError
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, c.At, jsonbodytest.At{
				Offset: wrong.Offset, Line: wrong.Line, Column: wrong.Column, Expected: wrong.Expected,
			})
		})
	}
	require.Greater(t, len(seen), 40)
}

func TestCheckReportsEveryKind(t *testing.T) {
	data := []byte(`{"s":"","o":{},"a":[ ],"n":-1.5e3,"t":true,"f":false,"z":null,"twice":1,"twice":"x"}`)
	c := jsonbody.Checker{Fields: []string{"s", "o", "a", "n", "t", "f", "z", "none", "twice"}}
	values, err := c.Check(nil, data)
	require.NoError(t, err)
	type found struct {
		Kind jsonbody.Kind
		Raw  string
	}
	var got []found
	for _, v := range values {
		got = append(got, found{v.Kind, string(data[v.Start:v.End])})
	}
	require.Equal(t, []found{
		{jsonbody.String, `""`},
		{jsonbody.Object, `{}`},
		{jsonbody.Array, `[ ]`},
		{jsonbody.Number, `-1.5e3`},
		{jsonbody.Bool, `true`},
		{jsonbody.Bool, `false`},
		{jsonbody.Null, `null`},
		{jsonbody.Absent, ``},
		{jsonbody.String, `"x"`},
	}, got)
}

func TestCheckAppends(t *testing.T) {
	before := jsonbody.Value{Kind: jsonbody.Null, Start: 1, End: 5}
	c := jsonbody.Checker{Fields: []string{"a"}}
	for body, want := range map[string][]jsonbody.Value{
		`{"a":1}`:   {before, {Kind: jsonbody.Number, Start: 5, End: 6}},
		`{}`:        {before, {}},
		`{"a":1`:    {before},
		`["a"]`:     {before},
		`{"a":1}{}`: {before},
	} {
		got, err := c.Check([]jsonbody.Value{before}, []byte(body))
		require.Equal(t, want, got, body)
		require.Equal(t, len(want) == 1, err != nil, body)
	}
	// What an earlier use left behind dst must not show.
	dirty := []jsonbody.Value{{Kind: jsonbody.String, Start: 3, End: 9}}
	got, err := c.Check(dirty[:0], []byte(`{"b":1}`))
	require.NoError(t, err)
	require.Equal(t, []jsonbody.Value{{}}, got)
}

func TestCheckFieldNames(t *testing.T) {
	for _, c := range []struct {
		name, body string
		found      bool
	}{
		{``, `{"":1}`, true},
		{``, `{"a":1}`, false},
		{`a\n`, `{"a\n":1}`, false},
		{`a\n`, `{"a\\n":1}`, true},
		{"a\n", `{"a\n":1}`, true},
		{`\u0061`, `{"\u0061":1}`, false},
		{"größe", `{"größe":1}`, true},
		{"größe", `{"gr\u00f6\u00DFe":1}`, true},
		{"größe", `{"gr\u00f6ße\u0000":1}`, false},
		{"🙂", `{"\ud83d\ude42":1}`, true},
		{"\ufffd", `{"\ud83d":1}`, true},
		{"a\xff", `{"a\ufffd":1}`, false},
		{"model", `{"mode\u006c\u006c":1}`, false},
		{"modell", `{"mode\u006c":1}`, false},
	} {
		checker := jsonbody.Checker{Fields: []string{"other", c.name}}
		values, err := checker.Check(nil, []byte(c.body))
		require.NoError(t, err)
		require.Equal(t, c.found, values[1].Kind == jsonbody.Number, "%q in %s", c.name, c.body)
		require.Zero(t, values[0])
	}
	twice := jsonbody.Checker{Fields: []string{"a", "a"}}
	values, err := twice.Check(nil, []byte(`{"a":1}`))
	require.NoError(t, err)
	require.Equal(t, []jsonbody.Kind{jsonbody.Number, jsonbody.Absent}, []jsonbody.Kind{values[0].Kind, values[1].Kind})
}

func TestCheckMaxDepth(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 63, 64, 65, 66, 127, 128, 129, 130, 1_000, 9_999, 10_001, 20_000, 100_000} {
		c := jsonbody.Checker{MaxDepth: limit}
		for _, open := range []string{`[`, `{"a":`} {
			// The object of the top level, limit-1 levels, one level too many.
			good := `{"x":` + strings.Repeat(open, limit-1)
			shut := strings.Repeat(string(open[0]+2), limit-1) + `}`
			inner := `1`
			_, err := c.Check(nil, []byte(good+inner+shut))
			require.NoError(t, err, limit)
			_, err = c.Check(nil, []byte(good+`[]`+shut))
			var wrong *jsonbody.SyntaxError
			require.ErrorAs(t, err, &wrong, limit)
			require.Equal(t, len(good), wrong.Offset, limit)
			require.Contains(t, wrong.Expected, "levels of nesting")
		}
	}
	_, err := (&jsonbody.Checker{MaxDepth: -1}).Check(nil, []byte(`{"a":[]}`))
	require.NoError(t, err)
}

func TestCheckAllocations(t *testing.T) {
	deep := []byte(`{"model":"m","input":{"a":` + strings.Repeat("[", 9_998) + strings.Repeat("]", 9_998) + `}}`)
	bodies := append(jsonbodytest.Bodies(), jsonbodytest.Body{Name: "deep", Data: deep})
	for _, body := range bodies {
		c := jsonbody.Checker{Fields: []string{"model", "input"}}
		n := testing.AllocsPerRun(5, func() {
			var buf [2]jsonbody.Value
			if _, err := c.Check(buf[:0], body.Data); err != nil {
				t.Fatal(err)
			}
		})
		require.Zero(t, n, body.Name)
		n = testing.AllocsPerRun(5, func() {
			var buf [2]jsonbody.Value
			values, _ := c.Check(buf[:0], body.Data)
			if values[0].Text(body.Data) == "" {
				t.Fatal("no model")
			}
		})
		require.LessOrEqual(t, n, 1.0, body.Name)
	}
	tooDeep := []byte(strings.Repeat("[", 1<<20))
	var c jsonbody.Checker
	n := testing.AllocsPerRun(5, func() {
		if _, err := c.Check(nil, tooDeep); err == nil {
			t.Fatal("accepted")
		}
	})
	require.LessOrEqual(t, n, 3.0) // the error and its words
}

func TestKindString(t *testing.T) {
	names := map[string]bool{}
	for k := jsonbody.Absent; k <= jsonbody.Null; k++ {
		names[k.String()] = true
	}
	require.Len(t, names, 7)
	require.Equal(t, "absent", jsonbody.Kind(200).String())
}

func BenchmarkCheck(b *testing.B) {
	for _, body := range jsonbodytest.Bodies() {
		c := jsonbody.Checker{Fields: []string{"model", "input"}}
		b.Run(body.Name+"/errwire", func(b *testing.B) {
			b.SetBytes(int64(len(body.Data)))
			b.ReportAllocs()
			for b.Loop() {
				var buf [2]jsonbody.Value
				values, err := c.Check(buf[:0], body.Data)
				if err != nil || values[0].Text(body.Data) == "" || values[1].Kind != jsonbody.Object {
					b.Fatal("not accepted")
				}
			}
		})
		b.Run(body.Name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(body.Data)))
			b.ReportAllocs()
			for b.Loop() {
				var v struct {
					Model string
					Input json.RawMessage
				}
				if err := json.Unmarshal(body.Data, &v); err != nil || v.Model == "" || v.Input[0] != '{' {
					b.Fatal("not accepted")
				}
			}
		})
	}
}
