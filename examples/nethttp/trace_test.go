package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// twoCalls makes a call that recovers at the third attempt and one that is given up, through the transport of tr, to a server behind its handler.
func twoCalls(t *testing.T, tr *tracing) {
	t.Helper()
	rounds(t, tr, 1, func() {})
}

// rounds makes the two calls of twoCalls n times, and does what is to be done after each.
func rounds(t *testing.T, tr *tracing, n int, after func()) {
	t.Helper()
	errs := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Observer: observer(), Logger: slog.New(slog.DiscardHandler)}
	asked := 0 // since the last success
	api := errs.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodGet {
			asked++
		}
		w.Header().Set("Retry-After-Ms", "20")
		switch {
		case r.Method == http.MethodPost:
			return &errcodes.Error{Code: errcodes.Internal}
		case asked < 3:
			return &errcodes.Error{Code: errcodes.RateLimited}
		}
		asked = 0
		_, err := io.WriteString(w, "fine")
		return err
	})
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/runs", api)
	mux.Handle("GET /api/v1/runs/{id}", api)
	srv := httptest.NewServer(tr.handler(errs.Wrap(mux)))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: tr.transport(&classify.Transport{
		Base: base, Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}}, IdempotencyKeys: true, Budget: classify.Unlimited{},
	})}
	for range n {
		resp, err := client.Get(srv.URL + "/api/v1/runs/run_1")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		resp, err = client.Post(srv.URL+"/api/v1/runs", "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
		after()
	}
}

func TestTracesAreTrees(t *testing.T) {
	tr, err := newTracing(t.Context(), true)
	require.NoError(t, err)
	twoCalls(t, tr)
	require.NoError(t, tr.close(t.Context()))
	var out bytes.Buffer
	tr.print(&out)
	ids := regexp.MustCompile(`req_[0-9a-f]{32}`)
	require.Len(t, ids.FindAllString(out.String(), -1), 5)
	require.Equal(t, `create_run  give_up, 2 attempts, waited 0.0 s
├─ POST  500 server_error
│  └─ POST /api/v1/runs  500 internal req
├─ wait 0.0 s (retry_after)
├─ POST, resend 1  500 server_error
│  └─ POST /api/v1/runs  500 internal req
└─ give up: max_attempts_of_class

get_run  success, 3 attempts, waited 0.0 s
├─ GET  429 rate_limited
│  └─ GET /api/v1/runs/{id}  429 RATE_LIMITED req
├─ wait 0.0 s (retry_after)
├─ GET, resend 1  429 rate_limited
│  └─ GET /api/v1/runs/{id}  429 RATE_LIMITED req
├─ wait 0.0 s (retry_after)
└─ GET, resend 2  200
   └─ GET /api/v1/runs/{id}  200 req

`, ids.ReplaceAllString(out.String(), "req"))
	for _, s := range tr.spans.ended {
		if s.SpanKind() == trace.SpanKindInternal {
			require.False(t, s.Parent().IsValid(), "one trace for each call")
		}
	}
}

func TestExports(t *testing.T) {
	require.False(t, exports(nil))
	require.False(t, exports([]string{"HOME=x", "OTEL_SERVICE_NAME=x"}))
	require.True(t, exports([]string{"HOME=x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4318"}))
}

// The standard variables decide where traces and metrics go: any OTLP endpoint.
func TestTracesAreExported(t *testing.T) {
	var mu sync.Mutex
	bodies := map[string]int{}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		for _, name := range []string{clientService, serverService, "errwire.retry.wait", "errwire.client.retries", "http.server.request.duration"} {
			if bytes.Contains(body, []byte(name)) {
				bodies[r.URL.Path+" "+name]++
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	tr, err := newTracing(t.Context(), false)
	require.NoError(t, err)
	twoCalls(t, tr)
	require.NoError(t, tr.close(t.Context()))
	tr.print(nil)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{
		"/v1/traces " + clientService, "/v1/traces " + serverService, "/v1/traces errwire.retry.wait",
		"/v1/metrics " + clientService, "/v1/metrics errwire.client.retries", "/v1/metrics http.server.request.duration",
	} {
		require.NotZero(t, bodies[want], "%s: %v", want, bodies)
	}
}

func TestAnEndpointThatCannotBeUsed(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon")
	_, err := newTracing(t.Context(), false)
	require.ErrorContains(t, err, "set up the export of traces")
}

func TestNoTracing(t *testing.T) {
	var tr *tracing
	twoCalls(t, tr)
	tr.print(nil)
	require.NoError(t, tr.close(t.Context()))
}

func TestOperations(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/chat/completions": "chat", "/v1/pipe_9/chat/completions": "chat", "/v1/messages": "messages",
		"/api/v1/runs": "create_run", "/api/v1/runs/run_1": "get_run", "/v1/models": "",
	} {
		require.Equal(t, want, operationOf(httptest.NewRequest(http.MethodGet, path, http.NoBody)), path)
	}
}
