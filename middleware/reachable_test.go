package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

const bodyLimit = 2048

// jsonBody returns a valid body of exactly n bytes.
func jsonBody(n int, fields string) string {
	const end = `"}`
	begin := `{` + fields + `,"pad":"`
	return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
}

const goodFields = `"model":"test/ok","input":{}`

// reachableServer is a server whose routes reach every error that a handler can meet.
func reachableServer(ew *middleware.ErrorWriter) http.Handler {
	fail := func(code errcodes.Code) http.Handler {
		return ew.Handler(func(http.ResponseWriter, *http.Request) error {
			return &errcodes.Error{Code: code, Err: errors.New("canary in the cause")}
		})
	}
	auth := ew.Authenticate(func(_ *http.Request, key string) (context.Context, error) {
		if key != "sk-good" {
			return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
		}
		return nil, nil //nolint:nilnil // nil keeps the context.
	})
	body := ew.RequireJSON(middleware.JSONRules{Limit: bodyLimit, Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString}, {Name: "input", Kind: middleware.JSONObject},
	}})
	mux := http.NewServeMux()
	mux.Handle("POST /runs", auth(body(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		switch model := middleware.ModelFrom(r.Context()); model {
		case "test/ok":
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil || n != r.ContentLength {
				return errors.New("the body was not handed on")
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, err = io.WriteString(w, `{}`)
			return err
		case "test/invalid":
			return &errcodes.Error{Code: errcodes.InvalidInput, Param: "input.prompt", Message: "The prompt is missing."}
		default:
			return &errcodes.Error{Code: errcodes.ModelNotFound, Param: "model"}
		}
	}))))
	for _, code := range []errcodes.Code{
		errcodes.InsufficientBalance, errcodes.APIKeySpendLimitExceeded, errcodes.IPNotAllowed, errcodes.PermissionDenied,
		errcodes.RunNotFound, errcodes.Conflict, errcodes.RateLimited, errcodes.UsageExceeded, errcodes.Internal,
		errcodes.BadGateway, errcodes.Unavailable, errcodes.Overloaded, "no_such_code",
	} {
		mux.Handle("/fail/"+string(code), fail(code))
	}
	mux.Handle("/shed", ew.LimitConcurrency(0)(fail(errcodes.Internal)))
	mux.Handle("/ip", ew.AllowIP(middleware.IPRules{AllowFor: nil, Allow: prefixes("192.0.2.0/24")})(fail(errcodes.Internal)))
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("canary in the panic") })
	mux.HandleFunc("/panic-late", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"half":`)
		_ = http.NewResponseController(w).Flush()
		panic("late")
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "canary in the text", http.StatusForbidden)
	})
	mux.HandleFunc("/bare", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/foreign", ew.Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("canary in the error") }))
	mux.Handle("/max-bytes", ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 10))
		return err
	}))
	mux.Handle("/late", ew.Timeout(middleware.Timeout{FirstByte: 5 * time.Millisecond})(
		ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return r.Context().Err()
		})))
	mux.Handle("POST /slow-body", ew.Timeout(middleware.Timeout{FirstByte: 20 * time.Millisecond})(body(fail(errcodes.Internal))))
	mux.Handle("/deadline", ew.Handler(func(http.ResponseWriter, *http.Request) error { return context.DeadlineExceeded }))
	mux.Handle("/timeout-handler", http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}), time.Millisecond, ""))
	mux.Handle("/stale", ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		for _, k := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Retry-After", "X-Should-Retry"} {
			w.Header().Set(k, "7")
		}
		w.Header().Set("X-Kept", "yes")
		err := &errcodes.Error{Code: errcodes.RunNotFound}
		ew.WriteError(w, r, err)
		_, werr := io.WriteString(w, "trailing garbage")
		if werr == nil {
			panic("a write after the error succeeded")
		}
		return err
	}))
	return ew.Wrap(mux)
}

// reachable is one error on the wire.
type reachable struct {
	name         string
	method, path string
	body         func() io.Reader
	header       []string
	code         errcodes.Code // what the answer has to mean
	param        string
	retryAfter   string
	check        func(t *testing.T, res *http.Response)
}

func text(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }

// unsized hides the length of a body, so that it is sent in chunks.
func unsized(s string) func() io.Reader {
	return func() io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
}

func reachables() []reachable {
	const post, get = http.MethodPost, http.MethodGet
	good := []string{"Authorization", "Bearer sk-good", "Content-Type", "application/json"}
	run := func(name, body string, code errcodes.Code, param string) reachable {
		return reachable{name: name, method: post, path: "/runs", body: text(body), header: good, code: code, param: param}
	}
	list := []reachable{
		run("bad JSON", `{"model":`, errcodes.InvalidJSON, ""),
		run("not an object", `[]`, errcodes.InvalidJSON, ""),
		run("no model", `{"input":{}}`, errcodes.MissingModel, "model"),
		run("model of another kind", `{"model":7,"input":{}}`, errcodes.MissingModel, "model"),
		run("no input", `{"model":"test/ok"}`, errcodes.MissingInput, "input"),
		run("input of another kind", `{"model":"test/ok","input":[]}`, errcodes.MissingInput, "input"),
		run("invalid input", `{"model":"test/invalid","input":{}}`, errcodes.InvalidInput, "input.prompt"),
		run("no such model", `{"model":"x","input":{}}`, errcodes.ModelNotFound, "model"),
		run("one byte beyond the limit", jsonBody(bodyLimit+1, goodFields), errcodes.BodyTooLarge, ""),
		run("8 MiB", jsonBody(8<<20, goodFields), errcodes.BodyTooLarge, ""),
		{name: "one byte beyond the limit, in chunks", method: post, path: "/runs", header: good,
			body: unsized(jsonBody(bodyLimit+1, goodFields)), code: errcodes.BodyTooLarge},
		{name: "8 MiB in chunks", method: post, path: "/runs", header: good,
			body: unsized(jsonBody(8<<20, goodFields)), code: errcodes.BodyTooLarge},
		{name: "no key and bad JSON", method: post, path: "/runs", body: text(`{`), code: errcodes.MissingAPIKey},
		{name: "bare scheme", method: post, path: "/runs", header: []string{"Authorization", "Bearer"}, code: errcodes.MissingAPIKey},
		{name: "wrong key", method: post, path: "/runs", header: []string{"Authorization", "bearer sk-bad"}, code: errcodes.InvalidAPIKey},
		{name: "wrong content type", method: post, path: "/runs", body: text(`{}`),
			header: []string{"Authorization", "Bearer sk-good", "Content-Type", "text/plain"}, code: errcodes.UnsupportedMediaType},
		{name: "no content type", method: post, path: "/runs", body: text(`{}`),
			header: []string{"Authorization", "Bearer sk-good"}, code: errcodes.UnsupportedMediaType},
		{name: "no route", method: get, path: "/none", code: errcodes.NotFound},
		{name: "no method", method: get, path: "/runs", code: errcodes.MethodNotAllowed,
			check: func(t *testing.T, res *http.Response) {
				t.Helper()
				require.Equal(t, "POST", res.Header.Get("Allow"))
			}},
		{name: "shed", method: post, path: "/shed", code: errcodes.Unavailable, retryAfter: "1"},
		{name: "address", method: get, path: "/ip", code: errcodes.IPNotAllowed},
		{name: "panic", method: get, path: "/panic", code: errcodes.Internal},
		{name: "panic on POST", method: post, path: "/panic", code: errcodes.Internal},
		{name: "http.Error", method: get, path: "/text", code: errcodes.PermissionDenied},
		{name: "bare status", method: get, path: "/bare", code: errcodes.Conflict},
		{name: "unknown code", method: get, path: "/fail/no_such_code", code: errcodes.Internal},
		{name: "foreign error", method: post, path: "/foreign", code: errcodes.Internal},
		{name: "MaxBytesReader", method: post, path: "/max-bytes", body: text("more than ten bytes"), code: errcodes.BodyTooLarge},
		{name: "no first byte", method: post, path: "/late", code: errcodes.Timeout},
		{name: "deadline", method: get, path: "/deadline", code: errcodes.Timeout},
		{name: "http.TimeoutHandler", method: get, path: "/timeout-handler", code: errcodes.Unavailable, retryAfter: "1"},
		{name: "stale headers", method: get, path: "/stale", code: errcodes.RunNotFound,
			check: func(t *testing.T, res *http.Response) {
				t.Helper()
				require.Equal(t, "yes", res.Header.Get("X-Kept"))
				for _, k := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
					require.Empty(t, res.Header.Get(k), k)
				}
			}},
	}
	for _, code := range []errcodes.Code{
		errcodes.InsufficientBalance, errcodes.APIKeySpendLimitExceeded, errcodes.IPNotAllowed, errcodes.PermissionDenied,
		errcodes.RunNotFound, errcodes.Conflict, errcodes.UsageExceeded, errcodes.Internal, errcodes.BadGateway,
	} {
		list = append(list, reachable{name: string(code), method: post, path: "/fail/" + string(code), code: code})
	}
	for _, code := range []errcodes.Code{errcodes.RateLimited, errcodes.Unavailable, errcodes.Overloaded} {
		list = append(list, reachable{name: string(code), method: post, path: "/fail/" + string(code), code: code, retryAfter: "1"})
	}
	return list
}

// vetoed says which answers must carry X-Should-Retry: false. It is written down from the providers' tables, not derived from the code under test.
func vetoed(registry, method string, code errcodes.Code) bool {
	switch code {
	case errcodes.UsageExceeded, errcodes.Conflict:
		return true
	case errcodes.Timeout:
		return registry == "runinfra" || registry == "runbase" && method == http.MethodPost
	case errcodes.Internal, errcodes.BadGateway:
		return registry == "runbase" && method == http.MethodPost
	default:
		return false
	}
}

func TestEveryReachableErrorIsShaped(t *testing.T) {
	for _, reg := range registries() {
		for _, http2 := range []bool{false, true} {
			proto := "HTTP/1.1"
			if http2 {
				proto = "HTTP/2"
			}
			t.Run(reg.Name()+" "+proto, func(t *testing.T) {
				logs := newRecords()
				srv := serve(t, reachableServer(&middleware.ErrorWriter{Registry: reg, Logger: slog.New(logs)}), http2)
				for _, c := range reachables() {
					t.Run(c.name, func(t *testing.T) {
						logs.clear()
						var body io.Reader
						if c.body != nil {
							body = c.body()
						}
						req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, body)
						require.NoError(t, err)
						for i := 0; i < len(c.header); i += 2 {
							req.Header.Set(c.header[i], c.header[i+1])
						}
						res, err := srv.Client().Do(req)
						require.NoError(t, err)
						defer res.Body.Close()
						got, err := io.ReadAll(res.Body)
						require.NoError(t, err)
						require.Equal(t, http2, res.ProtoMajor == 2)
						requireShaped(t, reg, c, res, got)

						record := logs.next(t)
						require.Len(t, record, 1, "one record for each request")
						require.Equal(t, res.Header.Get("X-Request-Id"), record[0]["request_id"])
						require.Equal(t, string(c.code), record[0]["code"])
						require.Equal(t, strconv.Itoa(res.StatusCode), record[0]["status"])
						require.Equal(t, "answered", record[0]["outcome"])
					})
				}
			})
		}
	}
}

// requireShaped holds an answer against everything that an error has to be.
func requireShaped(t *testing.T, reg *errcodes.Registry, c reachable, res *http.Response, body []byte) {
	t.Helper()
	row, ok := reg.Lookup(c.code)
	require.True(t, ok)
	require.Equal(t, row.Status, res.StatusCode, "status; body %s", body)

	decoded, err := reg.Dialect().Decode(body)
	require.NoError(t, err, "%s", body)
	require.NotEmpty(t, decoded.Message)
	require.NotContains(t, string(body), "canary")
	require.NotContains(t, string(body), "null")
	require.NotContains(t, string(body), "\n")
	require.Equal(t, row.WireCode(), decoded.Code)
	require.Equal(t, row.Type, decoded.Type)
	meant := reg.Match(res.StatusCode, decoded.Code, decoded.Type)
	require.Equal(t, row.Class, meant.Class)
	require.Equal(t, row.Retry, meant.Retry)
	slots := reg.Dialect().Slots()
	if c.param != "" && slots&errcodes.SlotParam != 0 {
		require.Equal(t, c.param, decoded.Param)
	}
	if slots&errcodes.SlotStatus != 0 {
		require.Equal(t, row.Status, decoded.Status)
	}

	h := res.Header
	require.Regexp(t, requestIDForm, h.Get("X-Request-Id"))
	require.Len(t, h.Values("X-Request-Id"), 1)
	if slots&errcodes.SlotRequestID != 0 {
		require.Equal(t, h.Get("X-Request-Id"), decoded.RequestID)
	}
	if reg.Name() == "anthropic" {
		require.Equal(t, h.Get("X-Request-Id"), h.Get("Request-Id"))
	}
	require.Equal(t, int64(len(body)), res.ContentLength)
	require.Equal(t, reg.Dialect().ContentType(), h.Get("Content-Type"))
	require.Equal(t, "no-store", h.Get("Cache-Control"))
	require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
	require.Equal(t, row.Status == http.StatusUnauthorized, h.Get("Www-Authenticate") == "Bearer")
	require.Equal(t, c.retryAfter, h.Get("Retry-After"))
	want := ""
	if vetoed(reg.Name(), c.method, c.code) {
		want = "false"
	}
	require.Equal(t, want, h.Get("X-Should-Retry"))
	if c.check != nil {
		c.check(t, res)
	}
}

func TestReachableSuccessesPass(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		srv := serve(t, reachableServer(quiet(errcodes.Runbase())), http2)
		good := []string{"Authorization", "Bearer sk-good", "Content-Type", "application/json; charset=UTF-8"}
		for _, n := range []int{bodyLimit - 1, bodyLimit} {
			for _, body := range []io.Reader{
				strings.NewReader(jsonBody(n, goodFields)), unsized(jsonBody(n, goodFields))(),
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/runs", body)
				require.NoError(t, err)
				req.Header.Set(good[0], good[1])
				req.Header.Set(good[2], good[3])
				res, err := srv.Client().Do(req)
				require.NoError(t, err)
				require.Equal(t, http.StatusCreated, res.StatusCode)
				require.Regexp(t, requestIDForm, res.Header.Get("X-Request-Id"))
				_ = res.Body.Close()
			}
		}
		res, body := do(t, srv, http.MethodGet, "/nothing", "")
		require.Equal(t, http.StatusOK, res.StatusCode, "a handler that writes nothing has answered 200, as in net/http")
		require.Empty(t, body)
		require.Regexp(t, requestIDForm, res.Header.Get("X-Request-Id"))
	}
}

func TestHeadHasTheHeadersAndNoBody(t *testing.T) {
	for _, reg := range registries() {
		for _, http2 := range []bool{false, true} {
			srv := serve(t, reachableServer(quiet(reg)), http2)
			for _, path := range []string{"/none", "/panic", "/text", "/fail/rate_limited"} {
				get, body := do(t, srv, http.MethodGet, path, "")
				head, none := do(t, srv, http.MethodHead, path, "")
				require.Empty(t, none)
				require.Equal(t, get.StatusCode, head.StatusCode)
				require.Equal(t, int64(len(body)), head.ContentLength)
				require.Equal(t, get.Header.Get("Retry-After"), head.Header.Get("Retry-After"))
				require.Regexp(t, requestIDForm, head.Header.Get("X-Request-Id"))
			}
		}
	}
}

func TestAbortedAnswersNeverEndCleanly(t *testing.T) {
	for _, reg := range registries() {
		for _, http2 := range []bool{false, true} {
			logs := newRecords()
			srv := serve(t, reachableServer(&middleware.ErrorWriter{Registry: reg, Logger: slog.New(logs)}), http2)
			for _, path := range []string{"/panic-late", "/abort"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, bytes.NewReader([]byte("x")))
				require.NoError(t, err)
				res, err := srv.Client().Do(req)
				if path == "/abort" {
					require.Error(t, err, "ErrAbortHandler leaves nothing behind")
					continue
				}
				require.NoError(t, err)
				got, err := io.ReadAll(res.Body)
				require.Error(t, err)
				require.Equal(t, `{"half":`, string(got))
				_ = res.Body.Close()
			}
			all := logs.all()
			require.Len(t, all, 1, "ErrAbortHandler is not logged")
			require.Equal(t, "handler panicked", all[0]["msg"])
			require.Equal(t, "aborted", all[0]["outcome"])
			require.Equal(t, "late", all[0]["cause"])
			require.Contains(t, all[0]["stack"], "reachable_test.go")
		}
	}
}

// A caller that closes its half of the connection looks gone to net/http, but still reads. It must not read a success.
func TestCallerGoneGetsNothing(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(logs)}
	ended := make(chan error, 1)
	for name, h := range map[string]http.Handler{
		"error": ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return r.Context().Err()
		}),
		"another error": ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return &errcodes.Error{Code: errcodes.BadGateway}
		}),
		"nothing": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"begun": ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.WriteString(w, "half")
			<-r.Context().Done()
			return r.Context().Err()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			logs.clear()
			srv := serve(t, ew.Wrap(h), false)
			conn := dial(t, srv)
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
			got, _ := io.ReadAll(conn)
			require.NotContains(t, string(got), "\r\n0\r\n", "no clean end")
			require.NotContains(t, string(got), "Content-Length")
			if name != "begun" {
				require.Empty(t, string(got))
			}
			record := logs.next(t)
			require.Len(t, record, 1)
			require.Equal(t, "499", record[0]["status"])
			require.Equal(t, "client_closed", record[0]["code"])
			require.Equal(t, "unsent", record[0]["outcome"])
			require.Equal(t, "INFO", record[0]["level"])
		})
	}
	close(ended)
}

// A sender that reads nothing before it has sent everything must get the 413 too.
func TestBlockingSenderGetsThe413(t *testing.T) {
	srv := serve(t, reachableServer(quiet(errcodes.OpenAI())), false)
	for name, head := range map[string]string{
		"length": "Content-Length: 8388608\r\n", "chunks": "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, srv)
			_, err := io.WriteString(conn, "POST /runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-good\r\nContent-Type: application/json\r\n"+head+"\r\n")
			require.NoError(t, err)
			body := jsonBody(8<<20, goodFields)
			if name == "chunks" {
				body = "800000\r\n" + body + "\r\n0\r\n\r\n"
			}
			_, err = io.WriteString(conn, body)
			require.NoError(t, err, "the server reads all of it")
			buf := make([]byte, 12)
			_, err = io.ReadFull(conn, buf)
			require.NoError(t, err)
			require.Equal(t, "HTTP/1.1 413", string(buf))
		})
	}
}

// Who asks first is told before it sends.
func TestExpectContinueIsNotAskedForTooMuch(t *testing.T) {
	srv := serve(t, reachableServer(quiet(errcodes.OpenAI())), false)
	conn := dial(t, srv)
	_, err := io.WriteString(conn, "POST /runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-good\r\nContent-Type: application/json\r\n"+
		"Content-Length: 8388608\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(got), "HTTP/1.1 413"), "%s", got)
}

func TestSlowBodyIs408(t *testing.T) {
	for _, reg := range registries() {
		srv := serve(t, reachableServer(quiet(reg)), false)
		conn := dial(t, srv)
		_, err := io.WriteString(conn, "POST /slow-body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(got), "HTTP/1.1 408"), "%s", got)
		require.Contains(t, string(got), "Connection: close")
	}
}
