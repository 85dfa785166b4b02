package jsonbody_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/internal/jsonbody"
	"github.com/errwire/errwire/internal/jsonbody/jsonbodytest"
)

func TestPosition(t *testing.T) {
	data := []byte("ab\ncd\r\n\nö日🙂e\n")
	for _, c := range []struct{ offset, line, column int }{
		{-1, 1, 1},
		{0, 1, 1},
		{1, 1, 2},
		{2, 1, 3}, // the line feed belongs to the line that it ends
		{3, 2, 1},
		{5, 2, 3}, // CR
		{6, 2, 4}, // LF
		{7, 3, 1},
		{8, 4, 1},
		{10, 4, 2}, // after two bytes
		{13, 4, 3}, // after three
		{17, 4, 4}, // after four
		{18, 4, 5},
		{19, 5, 1},
		{20, 5, 1},
		{math.MaxInt, 5, 1},
	} {
		line, column := jsonbody.Position(data, c.offset)
		require.Equal(t, [2]int{c.line, c.column}, [2]int{line, column}, "offset %d", c.offset)
	}
	line, column := jsonbody.Position(nil, 0)
	require.Equal(t, [2]int{1, 1}, [2]int{line, column})
}

// An error may be shown to anybody, so nothing of the body may be in it.
func TestSyntaxErrorKeepsTheBodyToItself(t *testing.T) {
	const secret = "~hunter2~"
	marked := 0
	for _, c := range jsonbodytest.Cases() {
		if c.Want != jsonbodytest.Invalid {
			continue
		}
		// The secret stands on both sides of the mistake.
		body := c.Body[:c.At.Offset] + secret + c.Body[c.At.Offset:]
		_, err := (&jsonbody.Checker{}).Check(nil, []byte(body))
		if err == nil {
			continue // inside of a string it repairs some
		}
		marked++
		require.NotContains(t, err.Error(), secret)
		require.Regexp(t, `^invalid JSON at line \d+, column \d+ \(byte \d+\): expected [a-zA-Z0-9, -]+$`, err.Error())
		require.False(t, strings.HasSuffix(err.Error(), "."))
	}
	require.Greater(t, marked, 40)
}
