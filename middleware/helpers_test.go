package middleware_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

var requestIDForm = regexp.MustCompile(`^req_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$`)

func registries() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

// records is a slog.Handler that keeps what it gets.
type records struct {
	mu   sync.Mutex
	list []map[string]string
	wake chan struct{}
}

func newRecords() *records { return &records{wake: make(chan struct{}, 1)} }

func (rs *records) Enabled(context.Context, slog.Level) bool { return true }
func (rs *records) WithAttrs([]slog.Attr) slog.Handler       { return rs }
func (rs *records) WithGroup(string) slog.Handler            { return rs }

func (rs *records) Handle(_ context.Context, r slog.Record) error {
	m := map[string]string{"msg": r.Message, "level": r.Level.String()}
	r.Attrs(func(a slog.Attr) bool {
		m[a.Key] = a.Value.String()
		return true
	})
	rs.mu.Lock()
	rs.list = append(rs.list, m)
	rs.mu.Unlock()
	select {
	case rs.wake <- struct{}{}:
	default:
	}
	return nil
}

func (rs *records) all() []map[string]string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return append([]map[string]string(nil), rs.list...)
}

func (rs *records) clear() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.list = nil
}

// next waits until there is a record and returns all of them.
func (rs *records) next(t *testing.T) []map[string]string {
	t.Helper()
	for {
		if all := rs.all(); len(all) > 0 {
			return all
		}
		select {
		case <-rs.wake:
		case <-t.Context().Done():
			require.Fail(t, "no record")
		}
	}
}

func quiet(reg *errcodes.Registry) *middleware.ErrorWriter {
	return &middleware.ErrorWriter{Registry: reg, Logger: slog.New(slog.DiscardHandler)}
}

// serve starts h on a real listener, for HTTP/2 with TLS.
func serve(tb testing.TB, h http.Handler, http2 bool) *httptest.Server {
	tb.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if http2 {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	tb.Cleanup(srv.Close)
	return srv
}

// dial opens a connection of its own to an HTTP/1.1 server.
func dial(tb testing.TB, srv *httptest.Server) net.Conn {
	tb.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// do sends a request and reads the whole answer.
func do(tb testing.TB, srv *httptest.Server, method, path, body string, header ...string) (*http.Response, string) {
	tb.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(tb.Context(), method, srv.URL+path, rd)
	require.NoError(tb, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := srv.Client().Do(req)
	require.NoError(tb, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	return res, string(b)
}
