// Package reachable drives every error that a request can meet through a real server and holds the answers against the registry. It is
// one table for any router, so that what is promised for [http.ServeMux] is promised for others by the same lines. It is for tests alone.
package reachable

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// Router builds a router of its kind that serves the routes and answers any other path or method as it does by itself.
type Router func(routes []Route) http.Handler

// Registries are those that every case is driven in.
func Registries() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

// Test runs the table on the router, in every dialect, over HTTP/1.1 and HTTP/2.
func Test(t *testing.T, router Router) {
	t.Helper()
	for _, reg := range Registries() {
		for _, http2 := range []bool{false, true} {
			proto := "HTTP/1.1"
			if http2 {
				proto = "HTTP/2"
			}
			t.Run(reg.Name()+" "+proto, func(t *testing.T) {
				s := start(t, reg, router, http2)
				for _, c := range cases(reg) {
					t.Run(c.name, func(t *testing.T) { s.drive(t, &c) })
				}
				t.Run("HEAD", s.head)
			})
		}
	}
}

// server is one server with one registry, and what it tells its observer.
type server struct {
	*httptest.Server

	reg      *errcodes.Registry
	http2    bool
	refusals chan *middleware.Refusal
	begun    chan struct{} // a handler that waits for its caller to leave does so now
	done     chan any      // what a request ended with: nil, or the value of its panic
}

// Refused implements [middleware.Observer].
func (s *server) Refused(r *middleware.Refusal) { s.refusals <- r }

func start(t *testing.T, reg *errcodes.Registry, router Router, http2 bool) *server {
	t.Helper()
	s := &server{
		reg: reg, http2: http2, refusals: make(chan *middleware.Refusal, 8), begun: make(chan struct{}, 1), done: make(chan any, 8),
	}
	ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(slog.DiscardHandler), Observer: s}
	h := Handler(ew, router, s.begun)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			value := recover()
			s.done <- value
			if value != nil {
				panic(value)
			}
		}()
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// told returns what the observer was told of the request that has just ended.
func (s *server) told(t *testing.T) (list []*middleware.Refusal, panicked any) {
	t.Helper()
	select {
	case panicked = <-s.done:
	case <-t.Context().Done():
		require.Fail(t, "the request does not end")
	}
	for {
		select {
		case r := <-s.refusals:
			list = append(list, r)
		default:
			return list, panicked
		}
	}
}

// drive sends the request of c and checks what comes of it.
func (s *server) drive(t *testing.T, c *reachable) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var body io.Reader
	if c.body != nil {
		body = c.body()
		if closer, ok := body.(io.Closer); ok {
			defer func() { _ = closer.Close() }() // the transport does not always do it in time
		}
	}
	req, err := http.NewRequestWithContext(ctx, c.method, s.URL+c.path, body)
	require.NoError(t, err)
	if c.length > 0 {
		req.ContentLength = c.length
	}
	for i := 0; i < len(c.header); i += 2 {
		req.Header.Set(c.header[i], c.header[i+1])
	}
	if c.ends == gone {
		go func() {
			<-s.begun
			leave()
		}()
	}
	res, err := s.Client().Do(req)
	switch c.ends {
	case aborted:
		s.requireAborted(t, c, res, err)
		return
	case gone:
		require.ErrorIs(t, err, context.Canceled)
		list, _ := s.told(t)
		require.Len(t, list, 1)
		require.Equal(t, errcodes.ClientClosed, list[0].Entry.Code)
		require.Equal(t, middleware.Unsent, list[0].Outcome)
		return
	case answered, passed:
	}
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, s.http2, res.ProtoMajor == 2)
	list, panicked := s.told(t)
	require.Nil(t, panicked)
	if c.ends == passed {
		require.Equal(t, c.status, res.StatusCode, "%s", got)
		require.Equal(t, c.answer, string(got))
		require.Regexp(t, requestIDForm, res.Header.Get("X-Request-Id"))
		require.Empty(t, list)
		return
	}
	s.requireShaped(t, c, res, got)
	require.Len(t, list, 1, "each refusal is told once")
	require.Equal(t, c.code, list[0].Entry.Code)
	require.Equal(t, middleware.Answered, list[0].Outcome)
	require.Equal(t, res.StatusCode, list[0].Sent)
	require.Equal(t, res.Header.Get("X-Request-Id"), list[0].RequestID)
}

var requestIDForm = regexp.MustCompile(`^req_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$`)

// requireShaped holds an answer against everything that an error has to be.
func (s *server) requireShaped(t *testing.T, c *reachable, res *http.Response, body []byte) {
	t.Helper()
	reg := s.reg
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
	require.Equal(t, strconv.Itoa(len(body)), h.Get("Content-Length"), "nothing follows the error")
	require.Equal(t, reg.Dialect().ContentType(), h.Get("Content-Type"))
	require.Equal(t, "no-store", h.Get("Cache-Control"))
	require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
	require.Equal(t, row.Status == http.StatusUnauthorized, h.Get("Www-Authenticate") == "Bearer")
	want := c.wait
	if want == "" {
		want = retryAfter(c.code)
	}
	require.Equal(t, want, h.Get("Retry-After"))
	want = ""
	if vetoed(reg.Name(), c.method, c.code) {
		want = "false"
	}
	require.Equal(t, want, h.Get("X-Should-Retry"))
	if c.check != nil {
		c.check(t, res)
	}
}

// requireAborted checks that an answer that had begun, or must not begin, ends so that nobody takes it for whole.
func (s *server) requireAborted(t *testing.T, c *reachable, res *http.Response, err error) {
	t.Helper()
	if c.answer == "" {
		require.Error(t, err, "nothing was begun")
	} else {
		require.NoError(t, err)
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		require.Error(t, err)
		require.Equal(t, c.answer, string(got))
	}
	list, panicked := s.told(t)
	require.Equal(t, http.ErrAbortHandler, panicked)
	if c.code == "" {
		require.Empty(t, list, "http.ErrAbortHandler is nobody's error")
		return
	}
	require.Len(t, list, 1)
	require.Equal(t, c.code, list[0].Entry.Code)
	require.Equal(t, middleware.Aborted, list[0].Outcome)
}

// head checks that the answer to HEAD has the headers of GET and no body.
func (s *server) head(t *testing.T) {
	for _, path := range []string{"/none", "/panic", "/text", "/bare", "/foreign", "/fail/rate_limited", "/fail/usage_exceeded"} {
		var headers [2]http.Header
		for i, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
			require.NoError(t, err)
			res, err := s.Client().Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			require.NoError(t, err)
			require.Equal(t, method == http.MethodHead, len(body) == 0)
			list, _ := s.told(t)
			require.Len(t, list, 1)
			require.Equal(t, res.StatusCode, list[0].Sent)
			headers[i] = res.Header.Clone()
			for _, k := range []string{"X-Request-Id", "Request-Id"} {
				require.Equal(t, k == "X-Request-Id" || s.reg.Name() == "anthropic", requestIDForm.MatchString(res.Header.Get(k)))
				headers[i].Del(k)
			}
			headers[i].Del("Date")
		}
		require.Equal(t, headers[0], headers[1])
	}
}

// half is a body of which the first bytes come and the rest does not, until the transport gives up on it.
type half struct {
	*strings.Reader

	once   sync.Once
	closed chan struct{}
}

var errGivenUp = errors.New("reachable: the body does not go on")

func (h *half) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); err == nil {
		return n, nil
	}
	<-h.closed
	return 0, errGivenUp
}

func (h *half) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}
