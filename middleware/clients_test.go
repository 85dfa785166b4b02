package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// countingWriter is a ResponseWriter that sees each call.
type countingWriter struct {
	*httptest.ResponseRecorder

	headers, writes int
}

func (w *countingWriter) WriteHeader(status int) {
	w.headers++
	w.ResponseRecorder.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	return w.ResponseRecorder.Write(p)
}

// Four of eight clients lose everything to a body that is cut, so there is no place to cut it at; and the shell lines of one provider's page read one line
// and hand it to echo, which expands a lone asterisk or question mark and drops one of two blanks.
func TestEveryErrorIsOneWriteOfOneLine(t *testing.T) {
	expanded := regexp.MustCompile(`(^| )[^ ]*[*?][^ ]*( |$)|  `)
	for _, reg := range registries() {
		ew := quiet(reg)
		for row := range reg.All() {
			if row.Code == errcodes.ClientClosed {
				continue // is never written
			}
			for _, method := range []string{http.MethodPost, http.MethodHead} {
				for _, wait := range []time.Duration{0, 1500 * time.Millisecond, time.Hour} {
					w := &countingWriter{ResponseRecorder: httptest.NewRecorder()}
					ew.Handler(func(http.ResponseWriter, *http.Request) error {
						return &errcodes.Error{Code: row.Code, RetryAfter: wait}
					}).ServeHTTP(w, httptest.NewRequest(method, "/", nil))
					require.Equal(t, 1, w.headers)
					require.GreaterOrEqual(t, w.Code, 400)
					if method == http.MethodHead {
						require.Zero(t, w.writes, "HEAD has no body, whoever serves it")
						continue
					}
					require.Equal(t, 1, w.writes)
					require.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get("Content-Length"))
					require.NotContains(t, w.Body.String(), "\n")
					require.Equal(t, byte('{'), w.Body.Bytes()[0], "no byte order mark")
					body, err := reg.Dialect().Decode(w.Body.Bytes())
					require.NoError(t, err)
					require.NotRegexp(t, expanded, body.Message)
					require.Contains(t, []string{"", "false"}, w.Header().Get("X-Should-Retry"))
					if after := w.Header().Get("Retry-After"); after != "" {
						seconds, err := strconv.Atoi(after)
						require.NoError(t, err)
						require.GreaterOrEqual(t, seconds, 1)
						require.LessOrEqual(t, seconds, 60)
						require.Empty(t, w.Header().Get("X-Should-Retry"), "a popular client obeys the wait and not the veto")
					}
				}
			}
		}
	}
}

// Whose key is known is told where it stands, whatever becomes of the request further inside.
func TestRateHeadersOnEveryAnswer(t *testing.T) {
	for _, reg := range registries() {
		for _, http2 := range []bool{false, true} {
			ew := quiet(reg)
			mux := http.NewServeMux()
			mux.Handle("GET /ok", okHandler)
			mux.Handle("POST /runs", ew.RequireJSON(middleware.JSONRules{Limit: 20})(okHandler))
			mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("x") })
			mux.Handle("/shed", ew.LimitConcurrency(0)(okHandler))
			mux.Handle("/ip", ew.AllowIP(middleware.IPRules{Allow: prefixes("192.0.2.0/24")})(okHandler))
			mux.Handle("/error", ew.Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("x") }))
			mux.Handle("/late", ew.Timeout(middleware.Timeout{FirstByte: time.Millisecond})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })))
			mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusTeapot) })
			mux.Handle("/stream", ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				if err := ew.Stream(w, r, middleware.Chat).Send([]byte("{}")); err != nil {
					return err
				}
				return errors.New("x")
			}))
			limiter := &middleware.LocalLimiter{Quota: middleware.Quota{Requests: 12, Per: time.Hour}}
			auth := ew.Authenticate(func(r *http.Request, _ string) (context.Context, error) { return r.Context(), nil })
			srv := serve(t, ew.Wrap(auth(ew.LimitRate(middleware.RateRules{Limiter: limiter})(mux))), http2)
			json := []string{"Authorization", "Bearer sk-a", "Content-Type", "application/json"}
			for i, c := range []struct {
				method, path, body string
				status             int
			}{
				{"GET", "/ok", "", 200}, {"HEAD", "/none", "", 404}, {"GET", "/none", "", 404}, {"DELETE", "/ok", "", 405}, {"POST", "/runs", "{", 400},
				{"POST", "/runs", strings.Repeat(" ", 100), 413}, {"GET", "/panic", "", 500}, {"GET", "/shed", "", 503}, {"GET", "/ip", "", 403}, {"GET", "/error", "", 500},
				{"GET", "/late", "", 504}, {"GET", "/stream", "", 200}, {"GET", "/ok", "", 429}, {"GET", "/none", "", 429},
			} {
				res, body := do(t, srv, c.method, c.path, c.body, json...)
				require.Equal(t, c.status, res.StatusCode, "%s %s: %s", c.method, c.path, body)
				require.Equal(t, []string{"12"}, res.Header["X-Ratelimit-Limit"], c.path)
				require.Equal(t, []string{strconv.Itoa(max(0, 11-i))}, res.Header["X-Ratelimit-Remaining"], c.path)
				require.Regexp(t, `^\d{10}$`, res.Header.Get("X-RateLimit-Reset"))
				if c.status == 429 {
					require.Equal(t, "false", res.Header.Get("X-Should-Retry"), "an hour is no Retry-After")
				}
			}
			res, _ := do(t, srv, http.MethodGet, "/text", "", "Authorization", "Bearer sk-b")
			require.Equal(t, 418, res.StatusCode)
			require.Equal(t, "11", res.Header.Get("X-RateLimit-Remaining"))
			res, _ = do(t, srv, http.MethodGet, "/ok", "")
			require.Equal(t, 401, res.StatusCode)
			require.Empty(t, res.Header.Get("X-RateLimit-Limit"), "strangers have no limit")
		}
	}
}

// A provider with other fields, other codes and other parameters needs other rules and nothing else.
func TestFieldRulesAreData(t *testing.T) {
	rules := middleware.JSONRules{Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString},
		{Name: "messages", Kind: middleware.JSONArray},
		{Name: "max_tokens", Kind: middleware.JSONNumber, Code: errcodes.InvalidInput, Message: "Say how many tokens."},
		{Name: "größe", Kind: middleware.JSONBool, Code: errcodes.InvalidRequest},
		{Name: "anything"},
	}}
	for _, c := range []struct {
		body, param, message string
		code                 errcodes.Code
	}{
		{`{}`, "model", "The model field is missing or not a string.", errcodes.MissingModel},
		{`{"model":"m","messages":{}}`, "messages", "The messages field is missing or not an array.", errcodes.MissingInput},
		{`{"model":"m","messages":[],"max_tokens":"7"}`, "max_tokens", "Say how many tokens.", errcodes.InvalidInput},
		{`{"model":"m","messages":[],"max_tokens":7,"größe":1}`, "größe", "The größe field is missing or not a boolean.", errcodes.InvalidRequest},
		{`{"model":"m","messages":[],"max_tokens":7,"gr\u00f6\u00dfe":true,"anything":null}`, "anything", "The anything field is missing.", errcodes.MissingInput},
		{`{"model":"m","messages":[],"max_tokens":7,"größe":false,"anything":[]}`, "", "", ""},
	} {
		for _, reg := range registries() {
			w := httptest.NewRecorder()
			quiet(reg).RequireJSON(rules)(okHandler).ServeHTTP(w, jsonRequest(c.body))
			if c.code == "" {
				require.Equal(t, 200, w.Code)
				continue
			}
			row, ok := reg.Lookup(c.code)
			require.True(t, ok)
			require.Equal(t, row.Status, w.Code)
			got, err := reg.Dialect().Decode(w.Body.Bytes())
			require.NoError(t, err)
			require.Equal(t, row.WireCode(), got.Code)
			require.Equal(t, c.message, got.Message)
			if reg.Dialect().Slots()&errcodes.SlotParam != 0 {
				require.Equal(t, c.param, got.Param)
			}
		}
	}
}

func TestTooDeepABodyIsInvalidWhereItIs(t *testing.T) {
	const limit = 10_000
	ew := quiet(errcodes.Runbase())
	h := ew.RequireJSON(middleware.JSONRules{})(okHandler)
	for levels, status := range map[int]int{limit: 200, limit + 1: 400, 500_000: 400} {
		begin := `{"a":`
		w := httptest.NewRecorder()
		h.ServeHTTP(w, jsonRequest(begin+strings.Repeat("[", levels-1)+strings.Repeat("]", levels-1)+"}"))
		require.Equal(t, status, w.Code)
		if status == 400 {
			offset := len(begin) + limit - 1
			require.Contains(t, w.Body.String(), "invalid_json")
			require.Contains(t, w.Body.String(), "line 1, column "+strconv.Itoa(offset+1)+" (byte "+strconv.Itoa(offset)+"): expected at most 10000 levels of nesting.")
		}
	}
}

// A handler under a Timeout has the writer that it would have without.
func TestTimeoutKeepsTheWriter(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	limit := ew.Timeout(middleware.Timeout{Total: time.Minute})
	for _, http2 := range []bool{false, true} {
		mux := http.NewServeMux()
		mux.Handle("/flush", limit(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.Copy(io.Discard, r.Body)
			if err := r.Body.Close(); err != nil {
				return err
			}
			_, _ = io.WriteString(w, "one ")
			w.(http.Flusher).Flush()
			rc := http.NewResponseController(w)
			if err := errors.Join(rc.Flush(), rc.SetWriteDeadline(time.Now().Add(time.Minute))); err != nil {
				return err
			}
			_, err := io.WriteString(w, "two")
			return err
		})))
		mux.Handle("/hijack", limit(ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
			h, ok := w.(http.Hijacker)
			if !ok {
				return &errcodes.Error{Code: errcodes.InvalidRequest}
			}
			conn, rw, err := h.Hijack()
			if err != nil {
				return err
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw")
			return rw.Flush()
		})))
		srv := serve(t, ew.Wrap(mux), http2)
		res, body := do(t, srv, http.MethodPost, "/flush", "body")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "one two", body)
		res, body = do(t, srv, http.MethodGet, "/hijack", "")
		if http2 {
			require.Equal(t, 400, res.StatusCode, "HTTP/2 has no connection to take over")
		} else {
			require.Equal(t, "raw", body)
		}
	}
}

// What a handler that was left behind does reaches nobody.
func TestTimeoutLeavesAHandlerNothing(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	ended, result := make(chan struct{}), make(chan error, 1)
	h := ew.Timeout(middleware.Timeout{FirstByte: time.Millisecond})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-ended
		rc := http.NewResponseController(w)
		_, werr := w.Write([]byte("late"))
		_, _, herr := rc.Hijack()
		_, rerr := r.Body.Read(make([]byte, 1))
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "1")
		w.(http.Flusher).Flush()
		switch {
		case !errors.Is(werr, http.ErrHandlerTimeout), !errors.Is(herr, http.ErrHandlerTimeout), rerr == nil:
			result <- errors.Join(errors.New("something worked"), werr, herr, rerr)
		case !errors.Is(rc.SetReadDeadline(time.Now()), errors.ErrUnsupported), !errors.Is(rc.SetWriteDeadline(time.Now()), errors.ErrUnsupported):
			result <- errors.New("a deadline was set on a connection that serves others")
		default:
			result <- r.Body.Close()
		}
	}))
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(ended)
	}), false)
	res, _ := do(t, srv, http.MethodPost, "/", "body")
	require.Equal(t, 504, res.StatusCode)
	require.NoError(t, <-result)
}

// Somebody else's recovery between Wrap and Timeout sees what the handler said, and where.
func TestTimeoutRelaysAPanic(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	h := ew.Timeout(middleware.Timeout{Total: time.Minute})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the value") }))
	var seen any
	ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { seen = recover() }()
		h.ServeHTTP(w, r)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	said, ok := seen.(interface{ String() string })
	require.True(t, ok)
	require.True(t, strings.HasPrefix(said.String(), "the value\n\ngoroutine "), said)
	require.Contains(t, said.String(), "TestTimeoutRelaysAPanic")
}
