package jsonbody_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/internal/jsonbody"
)

func TestValueText(t *testing.T) {
	c := jsonbody.Checker{Fields: []string{"v"}}
	for _, quoted := range []string{
		`""`, `"plain"`, `"größe 日本 🙂"`, `"\"\\\/\b\f\n\r\t"`, `"\u0000\u007f\u0080\u07ff\u0800\uFFFF"`,
		`"\ud83d\ude42"`, `"\uD83D\uDE42 after"`, `"\ud83d"`, `"\ude42"`, `"\ud83d\ud83d\ude42"`, `"\ud83dx"`, `"\ud83d\n"`,
		`"\ud83d\u0041"`, `"\ud83d\\ude42"`, `"a\u0062c\u0064"`, `"\ufffd"`, `"` + strings.Repeat(`\u00e9`, 1000) + `"`,
	} {
		var want string
		require.NoError(t, json.Unmarshal([]byte(quoted), &want))
		data := []byte(`{"v": ` + quoted + ` }`)
		values, err := c.Check(nil, data)
		require.NoError(t, err)
		got := values[0].Text(data)
		require.Equal(t, want, got)
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { values[0].Text(data) }), 1.0, quoted)

		clear(data) // what was read stays
		require.Equal(t, want, got)
	}
}

func TestValueTextOfOtherKinds(t *testing.T) {
	data := []byte(`{"v":"x"}`)
	for _, v := range []jsonbody.Value{
		{},
		{Kind: jsonbody.Number, Start: 5, End: 8},
		{Kind: jsonbody.String},
		{Kind: jsonbody.String, Start: 5, End: 100}, // found in other bytes
		{Kind: jsonbody.String, Start: -1, End: 3},
		{Kind: jsonbody.String, Start: 8, End: 5},
	} {
		require.Empty(t, v.Text(data), "%+v", v)
	}
	// Bytes that no check has seen.
	for _, raw := range []string{`\`, `\u`, `\u00e`, `\ud83d\u`, `\ud83d\ude4`, `\x`, `\uzzzz`} {
		data := []byte(`"` + raw + `"`)
		v := jsonbody.Value{Kind: jsonbody.String, End: len(data)}
		require.True(t, utf8.ValidString(v.Text(data)), "%q", raw)
	}
	require.Equal(t, "x", jsonbody.Value{Kind: jsonbody.String, Start: 5, End: 8}.Text(data))
}
