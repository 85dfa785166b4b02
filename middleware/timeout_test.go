package middleware_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

func TestTimeout(t *testing.T) {
	limits := middleware.Timeout{FirstByte: 10 * time.Second, Idle: 5 * time.Second, Total: time.Minute}
	for _, c := range []struct {
		name   string
		limits middleware.Timeout
		h      func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error
		after  time.Duration // when the request ended
		status int
		body   string // what the body has to hold
		abort  bool
		cause  string
	}{
		{
			name: "in time", limits: limits,
			h: func(_ *middleware.ErrorWriter, w http.ResponseWriter, _ *http.Request) error {
				pause(9 * time.Second)
				_, err := io.WriteString(w, "done")
				return err
			},
			after: 9 * time.Second, status: 200, body: "done",
		},
		{
			name: "first byte, the context is obeyed", limits: limits,
			h: func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
				<-r.Context().Done()
				return r.Context().Err()
			},
			after: 10 * time.Second, status: 504, body: `"code":"timeout"`, cause: "FirstByte",
		},
		{
			name: "first byte, the context is ignored", limits: limits,
			h: func(_ *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				pause(30 * time.Second)
				w.Header().Set("X-Too-Late", "1")
				w.WriteHeader(http.StatusOK)
				_, err := io.WriteString(w, "too late")
				if !errors.Is(err, http.ErrHandlerTimeout) {
					panic(err)
				}
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrHandlerTimeout) {
					panic(err)
				}
				return context.Cause(r.Context())
			},
			after: 10 * time.Second, status: 504, body: `"code":"timeout"`, cause: "FirstByte",
		},
		{
			name: "http.Error does not count as the first byte", limits: limits,
			h: func(_ *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				http.Error(w, "text", http.StatusBadRequest)
				<-r.Context().Done()
				return nil
			},
			after: 10 * time.Second, status: 504, body: `"code":"timeout"`, cause: "FirstByte",
		},
		{
			name: "idle stream, the context is obeyed", limits: limits,
			h: func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				for range 4 {
					pause(4 * time.Second)
					if err := s.Send([]byte("{}")); err != nil {
						return err
					}
				}
				<-r.Context().Done()
				err := s.Send([]byte("{}"))
				if errcodes.CodeOf(err) != errcodes.Timeout {
					panic(err)
				}
				return err
			},
			after: 21 * time.Second, status: 200, body: `data: {"error":{"message":`, cause: "Idle",
		},
		{
			name: "idle stream, the context is ignored", limits: limits,
			h: func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Messages)
				if err := s.SendEvent("x", []byte("{}")); err != nil {
					return err
				}
				pause(20 * time.Second)
				if err := s.Done(); err == nil {
					panic("done")
				}
				return nil
			},
			after: 5 * time.Second, status: 200, body: "event: x\ndata: {}\n\nevent: error\ndata: {\"type\":\"error\"", cause: "Idle",
		},
		{
			name: "keep-alives do not count", limits: limits,
			h: func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				s.KeepAlive(700 * time.Millisecond)
				if err := s.Send([]byte("{}")); err != nil {
					return err
				}
				<-r.Context().Done()
				return r.Context().Err()
			},
			after: 5 * time.Second, status: 200, body: `data: {"error":{`, cause: "Idle",
		},
		{
			name: "held header", limits: limits,
			h: func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				s.HoldFor(8 * time.Second)
				<-r.Context().Done()
				return r.Context().Err()
			},
			after: 13 * time.Second, status: 200, body: `data: {"error":{`, cause: "Idle",
		},
		{
			name: "total, stream", limits: limits,
			h: func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				for {
					pause(4 * time.Second)
					if err := s.Send([]byte("{}")); err != nil {
						return err
					}
				}
			},
			after: 60 * time.Second, status: 200, body: `data: {"error":{`, cause: "Total",
		},
		{
			name: "total only", limits: middleware.Timeout{Total: time.Second},
			h: func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
				deadline, ok := r.Context().Deadline()
				if !ok || time.Until(deadline) != time.Second {
					panic("the handler is not told")
				}
				<-r.Context().Done()
				return r.Context().Err()
			},
			after: time.Second, status: 504, body: `"code":"timeout"`, cause: "Total",
		},
		{
			name: "idle only counts from the first byte", limits: middleware.Timeout{Idle: time.Second},
			h: func(_ *middleware.ErrorWriter, w http.ResponseWriter, _ *http.Request) error {
				pause(3 * time.Hour)
				_, err := io.WriteString(w, "done")
				return err
			},
			after: 3 * time.Hour, status: 200, body: "done",
		},
		{
			name: "idle body that takes no event", limits: limits,
			h: func(_ *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"half":`)
				pause(20 * time.Second)
				_, err := io.WriteString(w, `1}`)
				return err
			},
			after: 5 * time.Second, status: 200, body: `{"half":`, abort: true, cause: "Idle",
		},
		{
			name: "panic in time", limits: limits,
			h:     func(*middleware.ErrorWriter, http.ResponseWriter, *http.Request) error { panic("boom") },
			after: 0, status: 500, body: `"type":"server_error"`, cause: "-",
		},
		{
			name: "panic after the answer", limits: limits,
			h: func(*middleware.ErrorWriter, http.ResponseWriter, *http.Request) error {
				pause(20 * time.Second)
				panic("boom")
			},
			after: 10 * time.Second, status: 504, body: `"code":"timeout"`, cause: "FirstByte",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logs := newRecords()
				ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(logs)}
				w := newSafeRecorder()
				start := time.Now()
				ended := make(chan struct{})
				h := ew.Wrap(ew.Timeout(c.limits)(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
					defer close(ended)
					return c.h(ew, w, r)
				})))
				serveHTTP := func() { h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil)) }
				if c.abort {
					require.PanicsWithError(t, http.ErrAbortHandler.Error(), serveHTTP)
				} else {
					serveHTTP()
				}
				require.Equal(t, c.after, time.Since(start))
				<-ended
				synctest.Wait()
				require.Equal(t, c.status, w.Code)
				require.Contains(t, w.Body.String(), c.body)
				require.NotContains(t, w.Body.String(), "too late")
				require.Empty(t, w.Result().Header.Get("X-Too-Late"))
				require.Regexp(t, requestIDForm, w.Result().Header.Get("X-Request-Id"))
				all := logs.all()
				if c.cause == "" {
					require.Empty(t, all)
					return
				}
				if c.name == "panic in time" {
					require.Len(t, all, 1)
					require.Equal(t, "boom", all[0]["cause"])
					require.Contains(t, all[0]["stack"], "timeout_test.go", "the stack of the handler")
					return
				}
				require.Contains(t, all[0]["cause"], "Timeout."+c.cause)
				require.Equal(t, "504", all[0]["status"])
				if strings.HasPrefix(c.name, "panic") {
					require.Len(t, all, 2)
					require.Equal(t, "handler panicked", all[1]["msg"])
				} else {
					require.Len(t, all, 1)
				}
			})
		})
	}
}

// A panic that comes too late for the answer is logged with the route of the mux inside.
func TestTimeoutOfHandlerThatPanicsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := newRecords()
		ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(logs)}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /runs/{id}", func(http.ResponseWriter, *http.Request) {
			pause(time.Minute)
			panic("late")
		})
		ew.Timeout(middleware.Timeout{FirstByte: time.Second})(mux).ServeHTTP(newSafeRecorder(), httptest.NewRequest(http.MethodGet, "/runs/7", nil))
		pause(time.Hour)
		require.Len(t, logs.all(), 2)
		require.Equal(t, "GET /runs/{id}", logs.all()[1]["route"])
	})
}

// A handler that ends its goroutine has not finished its answer.
func TestTimeoutOfHandlerThatExits(t *testing.T) {
	for _, begin := range []string{"", "half"} {
		for _, http2 := range []bool{false, true} {
			ew := quiet(errcodes.OpenAI())
			srv := serve(t, ew.Timeout(middleware.Timeout{Total: time.Hour})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, begin)
				runtime.Goexit()
			})), http2)
			res, err := srv.Client().Get(srv.URL)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			require.Error(t, err, "%q http2=%v", begin, http2)
		}
	}
}

// A reverse proxy breaks the connection as soon as its copy is cancelled. By then the answer is that of the clock, whatever log and observer still do.
func TestTimeoutOfHandlerThatAborts(t *testing.T) {
	for _, c := range []struct {
		name   string
		begin  string // what the handler writes before it waits
		value  any
		status int
		body   string
		abort  bool
	}{
		{"nothing begun", "", http.ErrAbortHandler, 504, `"code":"timeout"`, false},
		{"nothing begun, another panic", "", "boom", 504, `"code":"timeout"`, false},
		{"between events", "data: {}\n\n", http.ErrAbortHandler, 200, "data: {}\n\ndata: {\"error\":{", false},
		{"in an event", "data: {}\n\ndata: {", http.ErrAbortHandler, 200, "data: {}\n\ndata: {", true},
	} {
		for _, slow := range []time.Duration{0, 5 * time.Millisecond} {
			t.Run(c.name+" "+slow.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ew := quiet(errcodes.OpenAI())
					ew.Observer = observerFunc(func(*middleware.Refusal) { pause(slow) })
					w := newSafeRecorder()
					h := ew.Timeout(middleware.Timeout{FirstByte: time.Second, Idle: time.Second})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if c.begin != "" {
							w.Header().Set("Content-Type", "text/event-stream")
							_, _ = io.WriteString(w, c.begin)
						}
						<-r.Context().Done()
						panic(c.value)
					}))
					serveHTTP := func() { h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil)) }
					if c.abort {
						require.PanicsWithError(t, http.ErrAbortHandler.Error(), serveHTTP)
					} else {
						require.NotPanics(t, serveHTTP)
					}
					require.Equal(t, c.status, w.Code)
					require.Contains(t, w.Body.String(), c.body)
				})
			})
		}
	}
}

// The answer is on the wire when the bound strikes, not when the handler returns.
func TestTimeoutAnswersBeforeTheHandlerReturns(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		ew := quiet(errcodes.RunInfra())
		release := make(chan struct{})
		srv := serve(t, ew.Timeout(middleware.Timeout{FirstByte: time.Millisecond})(http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				for k := range w.Header() { // the headers are the handler's alone
					w.Header().Del(k)
				}
				<-release
			})), http2)
		for _, body := range []string{"", "a body that nobody reads"} {
			res, got := do(t, srv, http.MethodPost, "/", body)
			require.Equal(t, 504, res.StatusCode)
			require.Equal(t, "false", res.Header.Get("X-Should-Retry"))
			require.Contains(t, got, "timeout_error")
		}
		close(release)
	}
}

func TestTimeoutWithoutLimitsIsNothing(t *testing.T) {
	h := http.NotFoundHandler()
	require.NotNil(t, quiet(nil).Timeout(middleware.Timeout{})(h))
	w := httptest.NewRecorder()
	quiet(nil).Timeout(middleware.Timeout{Total: time.Second})(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 404, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
}

func TestTimeoutInsideOfTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ew := quiet(errcodes.OpenAI())
		w := newSafeRecorder()
		start := time.Now()
		ew.Timeout(middleware.Timeout{FirstByte: 2 * time.Second})(ew.Timeout(middleware.Timeout{FirstByte: time.Second})(
			ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
				<-r.Context().Done()
				return r.Context().Err()
			}))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, 504, w.Code)
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

// What the handler sets reaches the answer although a timer might have answered.
func TestTimeoutKeepsHeaders(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	h := ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Outer", "1")
		w.Header().Set("X-Gone", "1")
		ew.Timeout(middleware.Timeout{Total: time.Hour})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Inner", w.Header().Get("X-Outer"))
			w.Header().Del("X-Gone")
			if r.URL.Path == "/write" {
				_, _ = io.WriteString(w, "x")
			}
		})).ServeHTTP(w, r)
	}))
	for _, path := range []string{"/write", "/nothing"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, "1", w.Header().Get("X-Inner"), path)
		require.Empty(t, w.Header().Get("X-Gone"), path)
	}
}
