package middleware_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/reachable"
	"github.com/errwire/errwire/middleware"
)

// pipeListener accepts connections that exist in memory alone, so that their time can be virtual.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A caller that sends one byte a second holds a request for as long as the limits say, whatever it declares.
func TestOneByteASecond(t *testing.T) {
	for name, c := range map[string]struct {
		limits middleware.Timeout
		head   string
		after  time.Duration
		status string
		read   time.Duration // of the server itself
	}{
		"length":            {middleware.Timeout{FirstByte: 30 * time.Second}, "Content-Length: 1000000\r\n", 30 * time.Second, "408 Request Timeout", 0},
		"chunks":            {middleware.Timeout{FirstByte: 30 * time.Second}, "Transfer-Encoding: chunked\r\n", 30 * time.Second, "408 Request Timeout", 0},
		"total":             {middleware.Timeout{Total: 5 * time.Minute}, "Content-Length: 1000000\r\n", 5 * time.Minute, "408 Request Timeout", 0},
		"longer than liked": {middleware.Timeout{FirstByte: 30 * time.Second}, "Content-Length: 1000000000\r\n", time.Second, "413 Request Entity Too Large", 0},
		"the server's own":  {middleware.Timeout{}, "Content-Length: 1000000\r\n", 20 * time.Second, "408 Request Timeout", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ew := quiet(errcodes.Runbase())
				h := ew.Wrap(ew.Timeout(c.limits)(ew.RequireJSON(middleware.JSONRules{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					panic("the body is not whole")
				}))))
				l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
				srv := &http.Server{Handler: h, ReadTimeout: c.read, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
				var wg sync.WaitGroup
				wg.Go(func() { _ = srv.Serve(l) })
				client, server := net.Pipe()
				l.conns <- server
				start := time.Now()
				wg.Go(func() {
					_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+c.head+"\r\n")
					for b := "{"; err == nil; b = " " {
						if strings.HasPrefix(c.head, "T") {
							b = "1\r\n" + b + "\r\n"
						}
						_, err = io.WriteString(client, b)
						pause(time.Second)
					}
				})
				res, err := http.ReadResponse(bufio.NewReader(client), nil)
				require.NoError(t, err)
				require.Equal(t, c.status, res.Status)
				require.True(t, res.Close, "the rest of the body is not waited for")
				require.Equal(t, c.after, time.Since(start))
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				_, err = client.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				require.LessOrEqual(t, time.Since(start), c.after+time.Second, "the connection goes soon")
				require.NoError(t, client.Close())
				require.NoError(t, srv.Close())
				wg.Wait()
			})
		})
	}
}

// The server's own deadline ends a read of the body, and net/http says that the caller has left. The caller waits for an answer all the same.
func TestReadTimeoutOfTheServer(t *testing.T) {
	read := func(r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		return err
	}
	for name, h := range map[string]func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error{
		"as it is": func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error { return read(r) },
		"wrapped": func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
			return fmt.Errorf("read the request: %w", read(r))
		},
		"named": func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
			return &errcodes.Error{Code: errcodes.RequestTimeout, Err: read(r)}
		},
		"the context's": func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
			_ = read(r)
			return r.Context().Err()
		},
		"Decode": func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
			return second(middleware.Decode[map[string]any](r, nil))
		},
		"text": func(_ *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
			if read(r) != nil {
				http.Error(w, "too slow", http.StatusRequestTimeout)
			}
			return nil
		},
		"nothing": func(_ *middleware.ErrorWriter, _ http.ResponseWriter, r *http.Request) error {
			_ = read(r)
			return nil
		},
		"another body": func(_ *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
			r.Body = http.MaxBytesReader(w, r.Body, 1000)
			return read(r)
		},
	} {
		for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					logs := newRecords()
					ew := &middleware.ErrorWriter{Registry: errcodes.Problem(), Logger: slog.New(logs)}
					l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
					srv := &http.Server{
						ReadTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
						Handler: ew.Wrap(ew.Timeout(limits)(ew.Handler(func(w http.ResponseWriter, r *http.Request) error { return h(ew, w, r) }))),
					}
					var wg sync.WaitGroup
					wg.Go(func() { _ = srv.Serve(l) })
					client, server := net.Pipe()
					l.conns <- server
					wg.Go(func() {
						_, _ = io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
					})
					res, err := http.ReadResponse(bufio.NewReader(client), nil)
					require.NoError(t, err)
					require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
					_, err = io.Copy(io.Discard, res.Body)
					require.NoError(t, err)
					require.NoError(t, client.Close())
					require.NoError(t, srv.Close())
					wg.Wait()
					require.Len(t, logs.all(), 1)
					require.Equal(t, "request_timeout", logs.all()[0]["code"])
					require.Equal(t, "answered", logs.all()[0]["outcome"])
				})
			})
		}
	}
}

// A megabyte where an id should be changes nothing and is kept nowhere.
func TestAMegabyteOfRequestID(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{
		Registry: errcodes.Anthropic(), Logger: slog.New(logs),
		RequestIDs: middleware.RequestIDs{Inbound: "X-Client-Request-Id", TrustTraceparent: true},
	}
	var seen string
	srv := httptest.NewUnstartedServer(ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		seen = middleware.ClientRequestIDFrom(r.Context())
		return errors.New("x")
	}))
	srv.Config.MaxHeaderBytes = 8 << 20
	srv.Start()
	defer srv.Close()
	huge := strings.Repeat("a", 1<<20)
	for _, k := range []string{"X-Client-Request-Id", "X-Request-Id", "Traceparent", "X-Stainless-Retry-Count", "Idempotency-Key", "Authorization"} {
		logs.clear()
		res, body := do(t, srv, http.MethodPost, "/", "", k, huge)
		require.Equal(t, 500, res.StatusCode)
		require.Regexp(t, requestIDForm, res.Header.Get("X-Request-Id"))
		require.Empty(t, seen)
		require.Less(t, len(body), 1000)
		for _, v := range logs.all()[0] {
			require.Less(t, len(v), 1000)
		}
	}
}

// Ten thousand bad requests at the same moment leave nothing behind.
func TestTenThousandBadRequestsAtOnce(t *testing.T) {
	const requests = 10_000
	bodies := []string{`{"model":`, `[]`, `{"model":7}`, strings.Repeat("[", 20_000), reachable.Body(4096), "\xff", `{"model":"test/ok","input":{}} x`}
	measure := func() (goroutines int, heap uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	ew := quiet(errcodes.RunInfra())
	limiter := &middleware.LocalLimiter{Quota: middleware.Quota{Requests: 1 << 30}, MaxKeys: 100}
	h := ew.Wrap(ew.LimitRate(middleware.RateRules{Limiter: limiter})(ew.Timeout(middleware.Timeout{FirstByte: time.Hour, Total: time.Hour})(
		reachable.Handler(ew, reachable.ServeMux, nil))))
	flood := func() {
		var ready, done sync.WaitGroup
		ready.Add(requests)
		for i := range requests {
			done.Go(func() {
				body := &gated{Reader: strings.NewReader(bodies[i%len(bodies)]), ready: &ready}
				r := httptest.NewRequest(http.MethodPost, "/runs", body)
				r.Header.Set("Authorization", "Bearer sk-good")
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != 400 && w.Code != 413 {
					t.Errorf("%d %s", w.Code, bytes.TrimSpace(w.Body.Bytes()))
				}
			})
		}
		done.Wait()
	}
	flood() // fills what is kept for the next request
	goroutines, before := measure()
	flood()
	after, heap := measure()
	require.LessOrEqual(t, after, goroutines)
	require.Less(t, heap, before+(4<<20), "heap before %d, after %d", before, heap)
}

// gated is a body that begins when all bodies are asked for.
type gated struct {
	*strings.Reader

	ready *sync.WaitGroup
	once  sync.Once
}

func (g *gated) Read(p []byte) (int, error) {
	g.once.Do(func() {
		g.ready.Done()
		g.ready.Wait()
	})
	return g.Reader.Read(p)
}
