//nolint:testifylint // Handlers that check run on the goroutine of the test, through a recorder.
package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func TestRequireJSON(t *testing.T) {
	rules := JSONRules{Limit: 64, Depth: 3, Fields: []JSONField{
		{Name: "model", Kind: JSONString}, {Name: "input", Kind: JSONObject},
	}}
	const good = `{"model":"m","input":{}}`
	for _, c := range []struct {
		name, contentType, body string
		rules                   JSONRules
		code                    errcodes.Code
		message                 string
		model                   string
	}{
		{"good", "application/json", good, rules, "", "", "m"},
		{"charset", `application/json; charset="UTF-8"`, good, rules, "", "", "m"},
		{"suffix", "application/vnd.x+json", good, rules, "", "", "m"},
		{"upper case", "Application/JSON", good, rules, "", "", "m"},
		{"another parameter", "application/json;profile=x", good, rules, "", "", "m"},
		{"exactly the limit", "application/json", good + strings.Repeat(" ", 64-len(good)), rules, "", "", "m"},
		{"one beyond", "application/json", good + strings.Repeat(" ", 65-len(good)), rules, errcodes.BodyTooLarge, "too large", ""},
		{"size before type", "text/plain", strings.Repeat(" ", 65), rules, errcodes.BodyTooLarge, "", ""},
		{"type before JSON", "text/plain", "{", rules, errcodes.UnsupportedMediaType, "", ""},
		{"no type", "", good, rules, errcodes.UnsupportedMediaType, "", ""},
		{"malformed type", "application/json; charset", good, rules, errcodes.UnsupportedMediaType, "", ""},
		{"another charset", "application/json; charset=latin1", good, rules, errcodes.UnsupportedMediaType, "charset", ""},
		{"suffix of another tree", "image/svg+json", good, rules, errcodes.UnsupportedMediaType, "", ""},
		{"almost", "application/jsonx", good, rules, errcodes.UnsupportedMediaType, "", ""},
		{"empty", "application/json", "", rules, errcodes.InvalidJSON, "line 1, column 1 (byte 0): expected a value", ""},
		{"position", "application/json", "{\n \"a\" 1}", rules, errcodes.InvalidJSON, "line 2, column 6 (byte 7): expected a colon.", ""},
		{"two values", "application/json", good + "{}", rules, errcodes.InvalidJSON, "expected end of input", ""},
		{"not UTF-8", "application/json", "{\"a\":\"\xff\"}", rules, errcodes.InvalidJSON, "UTF-8", ""},
		{"byte order mark", "application/json", "\ufeff{}", rules, errcodes.InvalidJSON, "byte order mark", ""},
		{"too deep", "application/json", `{"a":[[[]]]}`, rules, errcodes.InvalidJSON, "at most 3 levels", ""},
		{"array", "application/json", "[]", rules, errcodes.InvalidJSON, "not an object", ""},
		{"no model", "application/json", `{"input":{}}`, rules, errcodes.MissingModel, "The model field is missing or not a string.", ""},
		{"folded name", "application/json", `{"Model":"m","input":{}}`, rules, errcodes.MissingModel, "", ""},
		{"the last counts", "application/json", `{"model":"a","model":"b","input":{}}`, rules, "", "", "b"},
		{"the last counts, of another kind", "application/json", `{"model":"a","model":1,"input":{}}`, rules, errcodes.MissingModel, "", ""},
		{"escaped name", "application/json", `{"\u006dodel":"m","input":{}}`, rules, "", "", "m"},
		{"escaped value", "application/json", `{"model":"\u006d","input":{}}`, rules, "", "", "m"},
		{"empty model", "application/json", `{"model":"","input":{}}`, rules, "", "", ""},
		{"no input", "application/json", `{"model":"m"}`, rules, errcodes.MissingInput, "The input field is missing or not an object.", ""},
		{"null", "application/json", `{"model":"m","input":null}`, rules, errcodes.MissingInput, "", ""},
		{"no rules", "application/json", `{"model":"m"}`, JSONRules{}, "", "", "m"},
		{"no rules, no model", "application/json", `{"model":7}`, JSONRules{}, "", "", ""},
		{"own code and message", "application/json", `{}`,
			JSONRules{Fields: []JSONField{{Name: "x", Code: errcodes.InvalidInput, Message: "Where is x?"}}}, errcodes.InvalidInput, "Where is x?", ""},
		{"any kind", "application/json", `{"x":null}`, JSONRules{Fields: []JSONField{{Name: "x"}}}, errcodes.MissingInput, "The x field is missing.", ""},
		{"array field", "application/json", `{"x":{}}`, JSONRules{Fields: []JSONField{{Name: "x", Kind: JSONArray}}}, errcodes.MissingInput, "not an array", ""},
		{"number field", "application/json", `{"x":-1e5}`, JSONRules{Fields: []JSONField{{Name: "x", Kind: JSONNumber}}}, "", "", ""},
		{"boolean field", "application/json", `{"x":false}`, JSONRules{Fields: []JSONField{{Name: "x", Kind: JSONBool}}}, "", "", ""},
		{"longest model", "application/json", `{"model":"` + strings.Repeat("m", 1024) + `"}`, JSONRules{}, "", "", strings.Repeat("m", 1024)},
		{"model too long", "application/json", `{"model":"` + strings.Repeat("m", 1025) + `"}`, JSONRules{}, errcodes.InvalidInput, "longer", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ew := &ErrorWriter{Logger: discard()}
			for _, sized := range []bool{true, false} {
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
				if !sized {
					r = httptest.NewRequest(http.MethodPost, "/", iotest.OneByteReader(strings.NewReader(c.body)))
				}
				r.Header["Content-Type"] = nil
				if c.contentType != "" {
					r.Header.Set("Content-Type", c.contentType)
				}
				w := httptest.NewRecorder()
				ew.RequireJSON(c.rules)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					require.Equal(t, c.body, string(body))
					require.Equal(t, int64(len(body)), r.ContentLength)
					require.Equal(t, c.model, ModelFrom(r.Context()))
					require.Equal(t, c.model, ModelFrom(context.WithValue(r.Context(), requestContextKey{}, 0)))
				})).ServeHTTP(w, r)
				if c.code == "" {
					require.Equal(t, 200, w.Code, w.Body)
					continue
				}
				got, err := errcodes.Problem().Dialect().Decode(w.Body.Bytes())
				require.NoError(t, err)
				require.Equal(t, string(c.code), got.Code)
				require.Contains(t, got.Message, c.message)
				require.True(t, strings.HasSuffix(got.Message, ".") || strings.HasSuffix(got.Message, "?"), got.Message)
			}
		})
	}
}

func TestRequireJSONHeaders(t *testing.T) {
	ew := &ErrorWriter{Logger: discard()}
	for name, c := range map[string]struct {
		header http.Header
		want   int
	}{
		"two types":  {http.Header{"Content-Type": {"application/json", "application/json"}}, 415},
		"compressed": {http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 415},
		"identity":   {http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, 200},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		r.Header = c.header
		w := httptest.NewRecorder()
		ew.RequireJSON(JSONRules{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, name)
	}
}

func TestRequireJSONMethods(t *testing.T) {
	ew := &ErrorWriter{Logger: discard()}
	for _, c := range []struct {
		method, body string
		want         int
	}{
		{"GET", "", 200}, {"OPTIONS", "", 200}, {"DELETE", "", 200}, {"GET", "x", 415}, {"DELETE", "x", 415}, {"POST", "", 415}, {"PUT", "", 415}, {"PATCH", "", 415},
	} {
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		w := httptest.NewRecorder()
		ew.RequireJSON(JSONRules{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).
			ServeHTTP(w, httptest.NewRequest(c.method, "/", body))
		require.Equal(t, c.want, w.Code, c.method)
	}
}

func TestRequireJSONReadErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code errcodes.Code
	}{
		{io.ErrUnexpectedEOF, errcodes.InvalidRequest},
		{errors.New("malformed chunk"), errcodes.InvalidRequest},
		{os.ErrDeadlineExceeded, errcodes.RequestTimeout},
		{&http.MaxBytesError{Limit: 3}, errcodes.BodyTooLarge},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("{"), iotest.ErrReader(c.err)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		(&ErrorWriter{Logger: discard()}).RequireJSON(JSONRules{})(nil).ServeHTTP(w, r)
		got, err := errcodes.Problem().Dialect().Decode(w.Body.Bytes())
		require.NoError(t, err)
		require.Equal(t, string(c.code), got.Code)
		require.NotContains(t, got.Message, c.err.Error())
	}
}

// A proxy's transport may read the request body when its handler has returned. It must never see the body of another request.
func TestBodyAfterTheRequestIsClosed(t *testing.T) {
	ew := &ErrorWriter{Logger: discard()}
	var kept io.Reader
	h := ew.RequireJSON(JSONRules{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kept = r.Body }))
	send := func(body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	send(`{"mine":1}`)
	first := kept
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				b, err := io.ReadAll(first)
				if len(b) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
					panic("read a body that was given back")
				}
			}
		})
	}
	for range 200 {
		send(`{"secret":"of another request"}`)
	}
	wg.Wait()
}

func TestMemoryFill(t *testing.T) {
	const limit = 1 << 20
	for _, n := range []int{0, 1, smallest - 1, smallest, smallest + 1, claimed - 1, claimed, claimed + 1, limit - 1, limit} {
		want := bytes.Repeat([]byte("x"), n)
		for _, size := range []int64{-1, int64(n)} {
			for _, rd := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.DataErrReader, iotest.HalfReader} {
				var m memory
				require.NoError(t, m.fill(rd(bytes.NewReader(want)), size, limit))
				require.True(t, bytes.Equal(want, m.data))
				m.free()
			}
		}
	}
	var m memory
	require.ErrorIs(t, m.fill(bytes.NewReader(make([]byte, limit+1)), -1, limit), errTooLarge)
	m.free()
	m.grow(blockSize(classes-1) + 1) // too long for any pool
	require.Equal(t, classes, m.class)
	m.free()
}

// What the check lets pass, encoding/json reads too, and finds the same model.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{`{"model":"m"}`, `{"model":"a","model":"b"}`, `{"\u006dodel":"\ud800"}`, `{"model":1}`, `[]`, `{"Model":"x"}`} {
		f.Add([]byte(s))
	}
	c := compile(JSONRules{})
	f.Fuzz(func(t *testing.T, data []byte) {
		model, err := c.judge(data)
		if err != nil {
			require.NotEmpty(t, errcodes.CodeOf(err))
			return
		}
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &fields))
		var want string
		if json.Unmarshal(fields["model"], &want) != nil {
			want = ""
		}
		require.Equal(t, want, model)
	})
}
