package middleware

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// dialectFunc is a dialect of somebody else.
type dialectFunc struct {
	errcodes.OpenAIDialect

	append func(dst []byte, b errcodes.Body) []byte
}

func (d dialectFunc) Append(dst []byte, b errcodes.Body) []byte { return d.append(dst, b) }
func (d dialectFunc) ContentType() string                       { return "application/vnd.errors+json" }

func TestWritingCannotFail(t *testing.T) {
	for name, f := range map[string]func(dst []byte, b errcodes.Body) []byte{
		"panic":            func([]byte, errcodes.Body) []byte { panic("boom") },
		"half, then panic": func(dst []byte, _ errcodes.Body) []byte { _ = append(dst, "half"...); panic("boom") },
		"nothing":          func(dst []byte, _ errcodes.Body) []byte { return dst },
		"nil":              func([]byte, errcodes.Body) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			reg, err := errcodes.New("own", dialectFunc{append: f})
			require.NoError(t, err)
			w := httptest.NewRecorder()
			(&ErrorWriter{Registry: reg, Logger: discard()}).WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil),
				&errcodes.Error{Code: errcodes.RunNotFound})
			require.Equal(t, 404, w.Code)
			require.Equal(t, fallback, w.Body.String())
			require.Equal(t, "application/vnd.errors+json", w.Header().Get("Content-Type"))
			got, err := errcodes.OpenAI().Dialect().Decode(w.Body.Bytes())
			require.NoError(t, err)
			require.NotEmpty(t, got.Message)
		})
	}
}

func TestZeroValueWritesProblemDetails(t *testing.T) {
	for _, ew := range []*ErrorWriter{
		{Logger: discard()},
		{Logger: discard(), Registry: &errcodes.Registry{}},
		{Logger: discard(), RegistryFor: func(*http.Request) *errcodes.Registry { return nil }},
	} {
		w := httptest.NewRecorder()
		ew.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), nil)
		require.Equal(t, 500, w.Code)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.True(t, strings.HasPrefix(w.Body.String(), `{"title":"Internal Server Error","status":500,"detail":"`))
	}
}

// Outside of Wrap an error still has an id, and the caller who left still gets nothing.
func TestWriteErrorOutsideOfWrap(t *testing.T) {
	ew := &ErrorWriter{Registry: errcodes.Anthropic(), Logger: discard()}
	w := httptest.NewRecorder()
	ew.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), errors.New("x"))
	id := w.Header().Get("X-Request-Id")
	require.Len(t, id, requestIDLen)
	require.Equal(t, id, w.Header().Get("Request-Id"))
	require.Contains(t, w.Body.String(), id)

	ctx, leave := context.WithCancel(context.Background())
	leave()
	w = httptest.NewRecorder()
	ew.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx), ctx.Err())
	require.Empty(t, w.Header())
	require.Empty(t, w.Body.String())
}

func TestRegistryForHoldsForEverything(t *testing.T) {
	ew := &ErrorWriter{
		Registry: errcodes.OpenAI(), Logger: discard(),
		RegistryFor: func(r *http.Request) *errcodes.Registry {
			switch {
			case strings.HasPrefix(r.URL.Path, "/anthropic/"):
				return errcodes.Anthropic()
			case strings.HasPrefix(r.URL.Path, "/boom/"):
				panic("in RegistryFor")
			}
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/anthropic/panic", func(http.ResponseWriter, *http.Request) { panic("x") })
	mux.HandleFunc("POST /anthropic/post", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/anthropic/ok", func(http.ResponseWriter, *http.Request) {})
	h := ew.Wrap(mux)
	for path, status := range map[string]int{
		"/anthropic/none": 404, "/anthropic/panic": 500, "/anthropic/post": 405, "/anthropic/ok": 200, "/none": 404, "/boom/x": 500,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, status, w.Code, path)
		isAnthropic := strings.HasPrefix(path, "/anthropic/")
		require.Equal(t, isAnthropic, w.Header().Get("Request-Id") != "", path)
		require.Equal(t, isAnthropic && status != 200, strings.HasPrefix(w.Body.String(), `{"type":"error"`), path)
	}
}

// A part of a server may speak for itself, under the same id.
func TestWrapInsideOfWrap(t *testing.T) {
	outer := &ErrorWriter{Registry: errcodes.OpenAI(), Logger: discard()}
	inner := &ErrorWriter{Registry: errcodes.Anthropic(), Logger: discard()}
	part := http.NewServeMux()
	part.HandleFunc("/part/panic", func(http.ResponseWriter, *http.Request) { panic("x") })
	part.HandleFunc("/part/ok", func(http.ResponseWriter, *http.Request) {})
	part.Handle("/part/limits", inner.LimitConcurrency(0)(part))
	mux := http.NewServeMux()
	mux.Handle("/part/", outer.Wrap(inner.Wrap(part)))
	h := outer.Wrap(mux)
	for path, want := range map[string]string{
		"/part/panic": `{"type":"error"`, "/part/none": `{"type":"error"`, "/part/limits": `{"type":"error"`, "/none": `{"error":{`, "/part/ok": "",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.True(t, strings.HasPrefix(w.Body.String(), want), "%s: %s", path, w.Body)
		require.Len(t, w.Header().Values("X-Request-Id"), 1)
		require.Equal(t, want == `{"error":{`, w.Header().Get("Request-Id") == "", path)
	}
}

// A Timeout may strike just as a Wrap inside of it begins to answer for its handler, and takes the handler's headers away. It is the race detector that sees who looks
// for them without the lock.
func TestSettleAsATimeoutStrikes(t *testing.T) {
	ew := &ErrorWriter{Logger: discard()}
	for range 2000 {
		ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := responseFrom(r.Context())
			x.private = http.Header{}
			w.WriteHeader(http.StatusServiceUnavailable) // in no words: settle has to find them
			var struck sync.WaitGroup
			struck.Go(func() {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.closed, x.timedOut, x.private = true, true, nil
			})
			x.settle()
			struck.Wait()
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
}

type observed []*Refusal

func (o *observed) Refused(r *Refusal) { *o = append(*o, r) }

func TestObserverAndLogSayTheSame(t *testing.T) {
	var seen observed
	var log bytes.Buffer
	ew := &ErrorWriter{
		Registry: errcodes.Runbase(), Observer: &seen, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
		RequestIDs: RequestIDs{Inbound: "X-Client-Request-Id"},
	}
	mux := http.NewServeMux()
	cause := errors.New("the cause")
	for path, err := range map[string]error{
		"/rate":    &errcodes.Error{Code: errcodes.RateLimited, RetryAfter: 2500 * time.Millisecond, Err: cause},
		"/quota":   &errcodes.Error{Code: errcodes.UsageExceeded},
		"/key":     &errcodes.Error{Code: errcodes.InvalidAPIKey},
		"/input":   &errcodes.Error{Code: errcodes.InvalidInput, Param: "input.prompt"},
		"/unknown": &errcodes.Error{Code: "nope", Err: cause},
		"/foreign": cause,
	} {
		mux.Handle("GET "+path, ew.Handler(func(http.ResponseWriter, *http.Request) error { return err }))
	}
	h := ew.Wrap(mux)
	for _, c := range []struct {
		path, level, code string
		want              Refusal
	}{
		{"/rate", "INFO", "rate_limited", Refusal{Sent: 429, RetryAfter: 3 * time.Second}},
		{"/quota", "WARN", "usage_exceeded", Refusal{Sent: 429, Vetoed: true}},
		{"/key", "WARN", "invalid_api_key", Refusal{Sent: 401}},
		{"/input", "INFO", "invalid_input", Refusal{Sent: 400, Param: "input.prompt"}},
		{"/unknown", "ERROR", "internal", Refusal{Sent: 500, Undeclared: "nope"}},
		{"/foreign", "ERROR", "internal", Refusal{Sent: 500}},
	} {
		t.Run(c.path, func(t *testing.T) {
			seen = nil
			log.Reset()
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			r.Header.Set("X-Client-Request-Id", "mine:1")
			h.ServeHTTP(w, r)
			require.Len(t, seen, 1)
			got := seen[0]
			require.Equal(t, w.Header().Get("X-Request-Id"), got.RequestID)
			require.Equal(t, "mine:1", got.ClientRequestID)
			require.Equal(t, "runbase", got.Registry)
			require.Equal(t, c.code, string(got.Entry.Code))
			require.Equal(t, "GET "+c.path, got.Route)
			require.Positive(t, got.Duration)
			require.Equal(t, got.RequestID, RequestIDFrom(got.Context))
			require.Equal(t, Answered, got.Outcome)
			require.Equal(t, c.want.Sent, got.Sent)
			require.Equal(t, c.want.RetryAfter, got.RetryAfter)
			require.Equal(t, c.want.Vetoed, got.Vetoed)
			require.Equal(t, c.want.Param, got.Param)
			require.Equal(t, c.want.Undeclared, got.Undeclared)
			require.Error(t, got.Err)

			line := log.String()
			require.Equal(t, 1, strings.Count(line, "\n"))
			for _, part := range []string{
				`"level":"` + c.level + `"`, `"msg":"request refused"`, `"request_id":"` + got.RequestID + `"`, `"client_request_id":"mine:1"`,
				`"code":"` + c.code + `"`, `"outcome":"answered"`, `"route":"GET ` + c.path + `"`, `"duration":`,
			} {
				require.Contains(t, line, part)
			}
			require.Equal(t, errors.Is(got.Err, cause), strings.Contains(line, `the cause"`))
			require.Equal(t, c.path == "/unknown", strings.Contains(line, `"undeclared_code":"nope"`))
		})
	}
}

func TestOutcomeAndFormNames(t *testing.T) {
	require.Equal(t, "answered event aborted unsent answered",
		strings.Join([]string{Answered.String(), Event.String(), Aborted.String(), Unsent.String(), Outcome(99).String()}, " "))
	require.Equal(t, "chat messages chat", strings.Join([]string{Chat.String(), Messages.String(), Form(9).String()}, " "))
	require.Equal(t, "any string object array number boolean any", strings.Join([]string{
		JSONAny.String(), JSONString.String(), JSONObject.String(), JSONArray.String(), JSONNumber.String(), JSONBool.String(), JSONKind(99).String(),
	}, " "))
}

// The values of shared headers are never changed by what somebody adds to them.
func TestSharedHeaderValuesDoNotGrow(t *testing.T) {
	ew := &ErrorWriter{Logger: discard()}
	for range 2 {
		w := httptest.NewRecorder()
		ew.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), &errcodes.Error{Code: errcodes.RateLimited})
		for k := range w.Header() {
			require.Len(t, w.Header()[k], 1, k)
			w.Header().Add(k, "more")
		}
	}
}
