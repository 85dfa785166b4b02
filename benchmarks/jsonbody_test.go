package benchmarks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/ast"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"github.com/errwire/errwire/internal/jsonbody"
	"github.com/errwire/errwire/internal/jsonbody/jsonbodytest"
)

// bodyCheck is one way to ask the question of jsonbodytest.Case: what is wrong with
// the body, or else "" and the model.
type bodyCheck struct {
	name  string
	check func(data []byte) (wrong, model string)
}

// bodyChecks returns ours first, then each peer in the fastest way we know that
// can tell all the answers apart. They are not safe for concurrent use.
func bodyChecks() []bodyCheck {
	return []bodyCheck{
		{"errwire", checkErrwire()},
		{"encoding-json", checkEncodingJSON},
		{"jsontext", new(jsonText).check},
		{"sonic", checkSonic},
		{"gjson", checkGJSON},
	}
}

func checkErrwire() func([]byte) (string, string) {
	c := jsonbody.Checker{Fields: []string{"model", "input"}}
	return func(data []byte) (string, string) {
		var buf [2]jsonbody.Value
		values, err := c.Check(buf[:0], data)
		switch {
		case err == jsonbody.ErrNotObject:
			return jsonbodytest.NotObject, ""
		case err != nil:
			return jsonbodytest.Invalid, ""
		case values[0].Kind != jsonbody.String:
			return jsonbodytest.NoModel, ""
		case values[1].Kind != jsonbody.Object:
			return jsonbodytest.NoInput, ""
		}
		return "", values[0].Text(data)
	}
}

func checkEncodingJSON(data []byte) (string, string) {
	var v struct {
		Model *string         `json:"model"`
		Input json.RawMessage `json:"input"`
	}
	err := json.Unmarshal(data, &v)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return jsonbodytest.NotObject, ""
	case err != nil && kind == nil:
		return jsonbodytest.Invalid, ""
	case bytes.TrimLeft(data, " \t\r\n")[0] != '{': // null is no error
		return jsonbodytest.NotObject, ""
	case err != nil || v.Model == nil:
		return jsonbodytest.NoModel, ""
	case len(v.Input) == 0 || v.Input[0] != '{':
		return jsonbodytest.NoInput, ""
	}
	return "", *v.Model
}

// jsonText keeps what a check with jsontext can use again.
type jsonText struct {
	dec  jsontext.Decoder
	buf  bytes.Buffer
	name []byte
}

func (c *jsonText) ends() bool {
	_, err := c.dec.ReadToken()
	return err == io.EOF
}

func (c *jsonText) check(data []byte) (string, string) {
	c.buf = *bytes.NewBuffer(data) // a Buffer is read in place
	c.dec.Reset(&c.buf, jsontext.AllowDuplicateNames(true))
	if c.dec.PeekKind() != jsontext.KindBeginObject {
		if _, err := c.dec.ReadValue(); err != nil || !c.ends() {
			return jsonbodytest.Invalid, ""
		}
		return jsonbodytest.NotObject, ""
	}
	if _, err := c.dec.ReadToken(); err != nil {
		return jsonbodytest.Invalid, ""
	}
	var model string
	var modelKind, inputKind jsontext.Kind
	for c.dec.PeekKind() != jsontext.KindEndObject {
		quoted, err := c.dec.ReadValue()
		if err != nil {
			return jsonbodytest.Invalid, ""
		}
		if c.name, err = jsontext.AppendUnquote(c.name[:0], quoted); err != nil {
			return jsonbodytest.Invalid, ""
		}
		switch kind := c.dec.PeekKind(); string(c.name) {
		case "model":
			if modelKind = kind; kind == jsontext.KindString {
				tok, err := c.dec.ReadToken()
				if err != nil {
					return jsonbodytest.Invalid, ""
				}
				model = tok.String()
				continue
			}
		case "input":
			inputKind = kind
		}
		if _, err := c.dec.ReadValue(); err != nil {
			return jsonbodytest.Invalid, ""
		}
	}
	if _, err := c.dec.ReadToken(); err != nil || !c.ends() {
		return jsonbodytest.Invalid, ""
	}
	switch {
	case modelKind != jsontext.KindString:
		return jsonbodytest.NoModel, ""
	case inputKind != jsontext.KindBeginObject:
		return jsonbodytest.NoInput, ""
	}
	return "", model
}

func checkSonic(data []byte) (string, string) {
	if !sonic.Valid(data) {
		return jsonbodytest.Invalid, ""
	}
	if bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return jsonbodytest.NotObject, ""
	}
	text := unsafe.String(unsafe.SliceData(data), len(data)) // sonic.Get would copy data
	model, err := sonic.GetFromString(text, "model")
	if err != nil || model.TypeSafe() != ast.V_STRING {
		return jsonbodytest.NoModel, ""
	}
	input, err := sonic.GetFromString(text, "input")
	if err != nil || input.TypeSafe() != ast.V_OBJECT {
		return jsonbodytest.NoInput, ""
	}
	name, err := model.StrictString()
	if err != nil {
		return jsonbodytest.Invalid, ""
	}
	return "", strings.Clone(name) // it may point into data, which is reused
}

func checkGJSON(data []byte) (string, string) {
	if !gjson.ValidBytes(data) {
		return jsonbodytest.Invalid, ""
	}
	if bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return jsonbodytest.NotObject, ""
	}
	text := unsafe.String(unsafe.SliceData(data), len(data)) // gjson.GetBytes would copy the input
	model := gjson.Get(text, "model")
	if model.Type != gjson.String {
		return jsonbodytest.NoModel, ""
	}
	if input := gjson.Get(text, "input"); !input.IsObject() {
		return jsonbodytest.NoInput, ""
	}
	return "", strings.Clone(model.String()) // it may point into data, which is reused
}

// TestJSONBodyMatrix prints, with -v, the bodies on which a peer gives another
// answer than jsonbodytest.Case wants.
func TestJSONBodyMatrix(t *testing.T) {
	checks := bodyChecks()
	differences := make([]int, len(checks))
	var table strings.Builder
	row := func(cells []string) { fmt.Fprintf(&table, "| %s |\n", strings.Join(cells, " | ")) }
	head := []string{"body", "wanted"}
	for _, c := range checks {
		head = append(head, c.name)
	}
	row(head)
	row(slices.Repeat([]string{"---"}, len(head)))

	cases := jsonbodytest.Cases()
	for _, c := range cases {
		cells := []string{c.Name, fmt.Sprintf("%q", c.Want)}
		differ := false
		for n, check := range checks {
			wrong, model := check.check([]byte(c.Body))
			got := wrong
			if got == "" {
				got = "ok " + model
			}
			if got == c.Want {
				cells = append(cells, ".")
				continue
			}
			cells = append(cells, fmt.Sprintf("%q", got))
			differences[n]++
			differ = true
		}
		if differ {
			row(cells)
		}
	}
	last := []string{fmt.Sprintf("differences, of %d", len(cases)), ""}
	for _, n := range differences {
		last = append(last, fmt.Sprint(n))
	}
	row(last)
	t.Log("\n" + table.String())
	require.Zero(t, differences[0], "ours")
}

func accepts(b *testing.B, check bodyCheck, data []byte) {
	b.Helper()
	if wrong, model := check.check(data); wrong != "" || model == "" {
		b.Fatalf("%s says %q", check.name, wrong)
	}
}

func BenchmarkJSONBody(b *testing.B) {
	for _, body := range jsonbodytest.Bodies() {
		for _, check := range bodyChecks() {
			b.Run(body.Name+"/"+check.name, func(b *testing.B) {
				accepts(b, check, body.Data)
				b.SetBytes(int64(len(body.Data)))
				b.ReportAllocs()
				for b.Loop() {
					check.check(body.Data)
				}
			})
		}
	}
}

// BenchmarkJSONBodyRatio reports how many times as long each peer takes as ours.
// All of them take turns of about a millisecond, in another order each time, and
// the ratio is the median over the rounds: what else the machine does then falls
// on all alike. Run it with -benchtime=200x; an op is a round.
func BenchmarkJSONBodyRatio(b *testing.B) {
	for _, body := range jsonbodytest.Bodies() {
		b.Run(body.Name, func(b *testing.B) {
			checks := bodyChecks()
			calls := make([]int, len(checks))
			for n, check := range checks {
				accepts(b, check, body.Data)
				start := time.Now()
				for calls[n] = 0; calls[n] == 0 || time.Since(start) < time.Millisecond; calls[n]++ {
					check.check(body.Data)
				}
			}
			ratios := make([][]float64, len(checks))
			times := make([]float64, len(checks))
			for round := 0; b.Loop(); round++ {
				for k := range checks {
					n := (k + round) % len(checks)
					start := time.Now()
					for range calls[n] {
						checks[n].check(body.Data)
					}
					times[n] = float64(time.Since(start)) / float64(calls[n])
				}
				for n := range checks {
					ratios[n] = append(ratios[n], times[n]/times[0])
				}
			}
			b.ReportMetric(0, "ns/op")
			for n, check := range checks[1:] {
				slices.Sort(ratios[n+1])
				b.ReportMetric(ratios[n+1][len(ratios[n+1])/2], check.name+"-x")
			}
		})
	}
}
