package benchmarks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	errwire "github.com/errwire/errwire/middleware"
)

// sink is a ResponseWriter that costs as little as it can: what one request sets the next one overwrites.
type sink struct {
	h      http.Header
	status int
	n      int
	last   []byte // what was written, for checks; nil keeps nothing
}

func newSink() *sink { return &sink{h: http.Header{}} }

func (w *sink) Header() http.Header    { return w.h }
func (w *sink) WriteHeader(status int) { w.status = status }
func (w *sink) Write(p []byte) (int, error) {
	w.n += len(p)
	if w.last != nil {
		w.last = append(w.last, p...)
	}
	return len(p), nil
}

// contender is one way to do what a row of a table is about.
type contender struct {
	name string
	run  func(w *sink, r *http.Request)
}

// race reports the median of run's time over that of the contenders[base], with all of them taking turns of about a tenth of a millisecond in
// another order each time, so that what else the machine does falls on all alike. An op is a round.
func race(b *testing.B, base int, contenders []contender, request func() *http.Request) {
	b.Helper()
	times := make([]time.Duration, len(contenders))
	calls := make([]int, len(contenders))
	w, r := newSink(), request()
	for n, c := range contenders {
		start := time.Now()
		for calls[n] = 0; calls[n] < 10 || time.Since(start) < 100*time.Microsecond; calls[n]++ {
			c.run(w, r)
		}
	}
	ratios := make([][]float64, len(contenders))
	bases := []float64{}
	for round := 0; b.Loop(); round++ {
		for k := range contenders {
			n := (k + round) % len(contenders)
			run := contenders[n].run
			start := time.Now()
			for range calls[n] {
				run(w, r)
			}
			times[n] = time.Since(start)
		}
		per := func(n int) float64 { return float64(times[n]) / float64(calls[n]) }
		bases = append(bases, per(base))
		for n := range contenders {
			ratios[n] = append(ratios[n], per(n)/per(base))
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bases), contenders[base].name+"-ns")
	for n, c := range contenders {
		if n != base {
			b.ReportMetric(median(ratios[n]), c.name+"-x")
		}
	}
}

func bare(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// wrappers give each request an id and survive a panic: chi's pair first, then ours, which also put the id into the header of the response,
// shape errors and know whether the answer has begun.
func wrappers() []contender {
	next := http.HandlerFunc(bare)
	chi := middleware.RequestID(middleware.Recoverer(next))
	ew := &errwire.ErrorWriter{Registry: errcodes.OpenAI()}
	ours := ew.Wrap(next)
	id := ew.RequestID(next)
	serve := func(h http.Handler) func(*sink, *http.Request) {
		return func(w *sink, r *http.Request) { h.ServeHTTP(w, r) }
	}
	return []contender{{"chi", serve(chi)}, {"errwire", serve(ours)}, {"errwire-id-alone", serve(id)}, {"bare", serve(next)}}
}

func getRequest() *http.Request { return httptest.NewRequest(http.MethodGet, "/v1/models", nil) }

func BenchmarkWrap(b *testing.B) {
	for _, c := range wrappers() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			w, r := newSink(), getRequest()
			for b.Loop() {
				c.run(w, r)
			}
		})
	}
}

func BenchmarkWrapRatio(b *testing.B) { race(b, 0, wrappers(), getRequest) }

type envelope struct {
	Error struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    string `json:"code"`
		Param   string `json:"param,omitempty"`
	} `json:"error"`
}

const (
	message = "The model field names no model that this key may use, or there is no such model."
	code    = "model_not_found"
	param   = "model"
)

// errorBodies write one error of some 160 bytes as JSON, with its status and Content-Type: json.Encoder with a struct first, then ours. "errwire"
// does what the peers do, "errwire-length" sets Content-Length as well, "errwire-whole" is WriteError: it also judges the error, tracks the answer, and sets seven headers.
func errorBodies(tb testing.TB) []contender {
	tb.Helper()
	var e envelope
	e.Error.Message, e.Error.Type, e.Error.Code, e.Error.Param = message, "invalid_request_error", code, param

	reg := errcodes.OpenAI()
	dialect := reg.Dialect()
	row, ok := reg.Lookup(errcodes.ModelNotFound)
	require.True(tb, ok)
	refusal := &errcodes.Error{Code: errcodes.ModelNotFound, Message: message, Param: param}
	body := row.Body(refusal, "")
	buffers := sync.Pool{New: func() any { return &[]byte{} }}
	lengths := make([][]string, 1024)
	for n := range lengths {
		lengths[n] = []string{strconv.Itoa(n)}
	}
	isJSON := []string{"application/json"} // ours is prepared once, the peers' is set as their users do

	ew := &errwire.ErrorWriter{Registry: reg, Logger: slog.New(slog.DiscardHandler)}
	whole := ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ew.WriteError(w, r, refusal) }))

	api := humago.New(http.NewServeMux(), huma.DefaultConfig("bench", "1"))
	op := &huma.Operation{}
	detail := &huma.ErrorDetail{Message: "there is no such model", Location: "body.model"}

	return []contender{
		{"json-encoder", func(w *sink, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(&e)
		}},
		{"errwire", func(w *sink, _ *http.Request) {
			buf := buffers.Get().(*[]byte)
			*buf = dialect.Append((*buf)[:0], body)
			w.h["Content-Type"] = isJSON
			w.WriteHeader(row.Status)
			_, _ = w.Write(*buf)
			buffers.Put(buf)
		}},
		{"errwire-length", func(w *sink, _ *http.Request) {
			buf := buffers.Get().(*[]byte)
			*buf = dialect.Append((*buf)[:0], body)
			w.h["Content-Type"] = isJSON
			w.h["Content-Length"] = lengths[len(*buf)]
			w.WriteHeader(row.Status)
			_, _ = w.Write(*buf)
			buffers.Put(buf)
		}},
		{"errwire-whole", func(w *sink, r *http.Request) {
			clear(w.h)
			whole.ServeHTTP(w, r)
		}},
		{"huma", func(w *sink, r *http.Request) {
			_ = huma.WriteErr(api, humago.NewContext(op, r, w), http.StatusNotFound, message, detail)
		}},
		{"json-marshal-map", func(w *sink, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
				"message": message, "type": "invalid_request_error", "code": code, "param": param,
			}})
		}},
	}
}

// Each contender writes the error that is meant.
func TestErrorBodiesSayTheSame(t *testing.T) {
	for _, c := range errorBodies(t) {
		w := newSink()
		w.last = []byte{}
		c.run(w, getRequest())
		require.Equal(t, http.StatusNotFound, w.status, c.name)
		require.Contains(t, string(w.last), message, c.name)
		require.True(t, json.Valid(w.last), c.name)
		require.Contains(t, w.h.Get("Content-Type"), "json", c.name)
	}
}

func BenchmarkErrorBody(b *testing.B) {
	for _, c := range errorBodies(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			w, r := newSink(), getRequest()
			for b.Loop() {
				c.run(w, r)
			}
		})
	}
}

func BenchmarkErrorBodyRatio(b *testing.B) {
	b.Run("json-encoder", func(b *testing.B) { race(b, 0, errorBodies(b), getRequest) })
	b.Run("huma", func(b *testing.B) { race(b, 4, errorBodies(b), getRequest) })
}

// body4K is a chat request of 4 KB.
var body4K = []byte(`{"model":"test/ok","messages":[{"role":"user","content":"` + strings.Repeat("Plain text, as people write it. ", 125) + `"}]}`)

// again is a body that can be sent again and again without a new object.
type again struct{ bytes.Reader }

func (*again) Close() error { return nil }

// happyPaths answer a POST of 4 KB that is in order. "bare" reads the body and does nothing else, "errwire" gives it an id, recovers and checks it,
// "chi" does the same with its own middleware and encoding/json.
func happyPaths() []contender {
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := scratch.Get().(*[]byte)
		defer scratch.Put(buf)
		for {
			if _, err := r.Body.Read(*buf); err != nil {
				break
			}
		}
		w.WriteHeader(http.StatusOK)
	})
	ew := &errwire.ErrorWriter{Registry: errcodes.OpenAI()}
	ours := ew.Wrap(ew.RequireJSON(errwire.JSONRules{Fields: []errwire.JSONField{
		{Name: "model", Kind: errwire.JSONString}, {Name: "messages", Kind: errwire.JSONArray},
	}})(read))
	chi := middleware.RequestID(middleware.Recoverer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			err = unmarshalChat(data)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusOK)
	})))
	serve := func(h http.Handler) func(*sink, *http.Request) {
		return func(w *sink, r *http.Request) {
			r.Body.(*again).Reset(body4K)
			h.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				panic(w.status)
			}
		}
	}
	return []contender{{"bare", serve(read)}, {"errwire", serve(ours)}, {"chi", serve(chi)}}
}

var scratch = sync.Pool{New: func() any { return new(make([]byte, 8<<10)) }}

func unmarshalChat(data []byte) error {
	var v struct {
		Model    *string           `json:"model"`
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if v.Model == nil || v.Messages == nil {
		return errors.New("a field is missing")
	}
	return nil
}

func postRequest() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body4K))
	body := new(again)
	body.Reset(body4K)
	r.Body = body
	return r
}

func BenchmarkHappyPath(b *testing.B) {
	for _, c := range happyPaths() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			w, r := newSink(), postRequest()
			for b.Loop() {
				c.run(w, r)
			}
		})
	}
}

// BenchmarkHappyPathShare reports what ours, and chi with encoding/json, cost beyond a bare handler, in percent of a POST of 4 KB over
// loopback on a kept connection. All take turns; an op is a round.
func BenchmarkHappyPathShare(b *testing.B) {
	contenders := happyPaths()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
	}))
	defer srv.Close()
	exchange := func() {
		res, err := srv.Client().Post(srv.URL, "application/json", bytes.NewReader(body4K))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	w, r := newSink(), postRequest()
	const calls, exchanges = 100, 10
	times := make([]float64, len(contenders))
	shares := make([][]float64, len(contenders))
	loopback := []float64{}
	for b.Loop() {
		for n, c := range contenders {
			start := time.Now()
			for range calls {
				c.run(w, r)
			}
			times[n] = float64(time.Since(start)) / calls
		}
		start := time.Now()
		for range exchanges {
			exchange()
		}
		one := float64(time.Since(start)) / exchanges
		loopback = append(loopback, one)
		for n := range contenders {
			shares[n] = append(shares[n], 100*(times[n]-times[0])/one)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(loopback), "loopback-ns")
	for n, c := range contenders[1:] {
		b.ReportMetric(median(shares[n+1]), c.name+"-%")
	}
}
