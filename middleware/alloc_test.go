//nolint:testifylint // Handlers that check run on the goroutine of the test, through a recorder.
package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
