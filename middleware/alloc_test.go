//nolint:testifylint // Handlers that check run on the goroutine of the test, through a recorder.
package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// sink is a writer that is used again and again, so that only what this package does is counted.
type sink struct {
	h http.Header
	n int
}

func (w *sink) Header() http.Header { return w.h }
func (w *sink) WriteHeader(int)     {}
func (w *sink) Flush()              {}
func (w *sink) reset()              { clear(w.h); w.n = 0 }
func (w *sink) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}

func registries() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

func TestWrapAllocatesTwice(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	w := &sink{h: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, reg := range append(registries(), nil) {
		h := (&ErrorWriter{Registry: reg, Logger: discard()}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if RequestIDFrom(r.Context()) == "" || w.Header()["X-Request-Id"][0] == "" {
				panic("no id")
			}
		}))
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
			w.reset()
			h.ServeHTTP(w, r)
		}), 2.0)
	}
}

// Beyond what Wrap costs, writing an error allocates nothing.
func TestWriteErrorAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	w := &sink{h: http.Header{}}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for _, reg := range registries() {
		ew := &ErrorWriter{Registry: reg, Logger: discard()}
		for _, err := range []error{
			&errcodes.Error{Code: errcodes.RateLimited}, &errcodes.Error{Code: errcodes.MissingModel, Param: "model", Message: "The model is missing."},
			&errcodes.Error{Code: errcodes.InvalidAPIKey}, &errcodes.Error{Code: errcodes.UsageExceeded},
		} {
			h := ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ew.WriteError(w, r, err) }))
			require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
				w.reset()
				h.ServeHTTP(w, r)
				if w.n == 0 {
					panic("nothing was written")
				}
			}), 2.0, "%s %v", reg.Name(), err)
		}
	}
}

func TestStreamSendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	ew := &ErrorWriter{Logger: discard()}
	chunk := []byte(`{"choices":[{"delta":{"content":"x"}}]}`)
	ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		s := ew.Stream(w, r, Chat)
		require.NoError(t, s.Send(chunk))
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if s.Send(chunk) != nil {
				panic("send")
			}
		}))
		return s.Done()
	}).ServeHTTP(&sink{h: http.Header{}}, httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestJudgeAllocatesTheModelOnly(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	c := compile(JSONRules{Fields: []JSONField{{Name: "model", Kind: JSONString}, {Name: "input", Kind: JSONObject}}})
	body := []byte(`{"model":"test/ok","input":{"prompt":"` + strings.Repeat("x", 4000) + `"}}`)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := c.judge(body); err != nil {
			panic(err)
		}
	}), 1.0)
}

func BenchmarkWrap(b *testing.B) {
	w := &sink{h: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	h := (&ErrorWriter{Registry: errcodes.OpenAI(), Logger: discard()}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func BenchmarkRequestID(b *testing.B) {
	w := &sink{h: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	h := (&ErrorWriter{Registry: errcodes.OpenAI(), Logger: discard()}).RequestID(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// BenchmarkWriteError is the writing alone, as a handler inside of Wrap pays for it.
func BenchmarkWriteError(b *testing.B) {
	for _, reg := range registries() {
		b.Run(reg.Name(), func(b *testing.B) {
			ew := &ErrorWriter{Registry: reg, Logger: discard()}
			err := &errcodes.Error{Code: errcodes.MissingModel, Param: "model", Err: errors.New("cause")}
			w := &sink{h: http.Header{}}
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				x := responseFrom(r.Context())
				base := x.base.Header()
				b.ReportAllocs()
				for b.Loop() {
					x.status, x.closed, x.refused = 0, false, false
					clear(base)
					ew.WriteError(w, r, err)
				}
			})).ServeHTTP(w, r)
		})
	}
}

func BenchmarkJSONEncoder(b *testing.B) {
	type inner struct {
		Message string `json:"message"`
		Type    string `json:"type,omitempty"`
		Param   string `json:"param,omitempty"`
		Code    string `json:"code,omitempty"`
	}
	type outer struct {
		Error inner `json:"error"`
	}
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		w.h.Set("Content-Type", "application/json")
		w.WriteHeader(400)
		_ = json.NewEncoder(w).Encode(outer{inner{"The model parameter is missing or not a string.", "invalid_request_error", "model", "missing_required_parameter"}})
	}
}

func BenchmarkRequireJSON(b *testing.B) {
	ew := &ErrorWriter{Registry: errcodes.OpenAI(), Logger: discard()}
	body := `{"model":"test/ok","messages":[{"role":"user","content":"` + strings.Repeat("x", 4000) + `"}]}`
	h := ew.Wrap(ew.RequireJSON(JSONRules{Fields: []JSONField{{Name: "model", Kind: JSONString}, {Name: "messages", Kind: JSONArray}}})(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	w := &sink{h: http.Header{}}
	r := httptest.NewRequest(http.MethodPost, "/", nil).WithContext(context.Background())
	r.Header.Set("Content-Type", "application/json")
	rd := strings.NewReader(body)
	r.Body, r.ContentLength = io.NopCloser(rd), int64(len(body))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		rd.Reset(body)
		h.ServeHTTP(w, r)
	}
}

// However many fields are wrong, what the error costs beyond validator's own report is bounded.
func TestDecodeOfManyMistakesIsCheap(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	type item struct {
		A int    `json:"a" validate:"min=1"`
		B string `json:"b" validate:"required"`
	}
	type body struct {
		Model string `json:"model"`
		List  []int  `json:"list"  validate:"dive,min=1"`
		Items []item `json:"items" validate:"dive"`
	}
	type loose struct {
		body

		By map[string]item `json:"by" validate:"dive"`
	}
	own := validator.New(validator.WithRequiredStructEnabled())
	const n = 20_000
	entries := func(format, end string) string {
		var s strings.Builder
		for i := range n - 1 {
			fmt.Fprintf(&s, format+",", i)
		}
		return s.String() + end
	}
	list, items := `{"list":[`+strings.Repeat("0,", n-1)+`0]}`, `{"items":[`+strings.Repeat("{},", n-1)+`{}]}`
	requireCheap(t, own, list, 40_000, new(body))
	requireCheap(t, own, items, 40_000, new(body))
	// Maps have no order, so each mistake has to be placed before it is known which are the first.
	requireCheap(t, own, list, 8*n, new(loose))
	requireCheap(t, own, items, 2*8*n, new(loose))
	requireCheap(t, own, `{"by":{`+entries(`"%d":{}`, `"a":{}`)+`}}`, 2*12*n, new(loose))
	// Whoever makes Decode look twice gets no more out of it than the second look.
	given := `{"Model":1,"list":[` + strings.Repeat("1,", n-1) + `1]}`
	plain := testing.AllocsPerRun(1, func() { _ = own.Struct(body{List: slices.Repeat([]int{1}, n)}) })
	whole := testing.AllocsPerRun(1, func() {
		_, err := Decode[body](jsonBody(given), nil)
		require.NoError(t, err)
	})
	require.Less(t, whole, plain+2*n)
}

// requireCheap checks that Decode reports the mistakes of given with few allocations beyond those of encoding/json and validator.
func requireCheap[T any](t *testing.T, own *validator.Validate, given string, beyond float64, v *T) {
	t.Helper()
	read := testing.AllocsPerRun(1, func() { _ = json.Unmarshal([]byte(given), v) })
	report := testing.AllocsPerRun(1, func() { _ = own.Struct(v) })
	whole := testing.AllocsPerRun(1, func() {
		_, err := Decode[T](jsonBody(given), nil)
		var e *errcodes.Error
		if !errors.As(err, &e) || len(e.Fields) != 1000 {
			panic(err)
		}
	})
	t.Logf("encoding/json %.0f, validator %.0f, Decode %.0f allocations", read, report, whole)
	require.Less(t, whole, read+report+beyond)
}

func jsonBody(s string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(s))
	r.Header.Set("Content-Type", "application/json")
	return r
}
