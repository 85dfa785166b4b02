package codedoc

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestPlain(t *testing.T) {
	for _, tt := range []struct {
		cell, text string
		spans      []string
	}{
		{"", "", nil},
		{"  a   b ", "a b", nil},
		{"`a`", "a", []string{"a"}},
		{"`` a`b `` and `c", "a`b and `c", []string{"a`b"}},
		{"```a``", "```a``", nil},
		{"`a` `b", "a `b", []string{"a"}},
		{"``` `` ` x", "``` `` ` x", nil},
		{"**429**", "429", nil},
		{"_RATE_LIMITED_", "RATE_LIMITED", nil},
		{"2 * 3 _ 4", "2 * 3 _ 4", nil},
		{"~~old~~ a~b", "old a~b", nil},
		{"[`a_b`](#x) [c](d(e)f) [g][h] [i]", "a_b c g [i]", []string{"a_b"}},
		{"[a](never closed ](again", "[a](never closed ](again", nil},
		{"![alt](x.png) ok! [^1]", "alt ok!", nil},
		{"] [", "] [", nil},
		{"a<br>b<br/>c <code>d</code> inv<wbr>alid", "a b c d invalid", nil},
		{"<https://example.com/a> 1 < 2 </ >", "https://example.com/a 1 < 2", nil},
		{"a &lt; b&nbsp;c &#124; &nonsense; & d", "a < b c | &nonsense; & d", nil},
		{`\*a\_ \q \`, `*a_ \q \`, nil},
	} {
		text, spans := plain(tt.cell)
		require.Equal(t, tt.text, text, tt.cell)
		require.Equal(t, tt.spans, spans, tt.cell)
	}
}

// A page of nothing but openings is read in one pass.
func TestPlainHostile(t *testing.T) {
	for _, unit := range []string{"[", "](", "[a](", "`", "<", "&", "![", "[^", "*", "\\", "[]("} {
		text, _ := plain(strings.Repeat(unit, MaxPage/len(unit)))
		require.LessOrEqual(t, len(text), MaxPage)
	}
	var runs strings.Builder
	for n := 1; runs.Len() < MaxPage; n++ {
		runs.WriteString(strings.Repeat("`", n) + " ")
	}
	text, spans := plain(runs.String())
	require.Len(t, text, runs.Len()-1)
	require.Empty(t, spans)
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a_b _c_", "x | y", "\\|", "`", "&lt;", "a\x00\xff\u202e\nb", "[a](b)", "<br>", "$a$ {b}", "* _ ~~", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cell := escape(s)
		require.True(t, utf8.ValidString(cell))
		row := splitRow("| before | " + cell + " | after |")
		require.Len(t, row, 3, cell)
		text, spans := plain(row[1])
		require.Equal(t, oneLine(s), text, cell)
		require.Empty(t, spans)
	})
}
