package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

// The standard variables decide where traces and metrics go. A span is named by its route and knows the request id and the code.
func TestTracesAreExported(t *testing.T) {
	var mu sync.Mutex
	exported := map[string][]byte{}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		exported[r.URL.Path] = append(exported[r.URL.Path], body...)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_SERVICE_NAME", "my-chi")
	tr, err := newTracing(t.Context())
	require.NoError(t, err)
	srv := httptest.NewServer(router(&provider.Provider{Errors: &middleware.ErrorWriter{
		Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler), Observer: observer(),
	}}, &middleware.LocalLimiter{Quota: quota}, tr))
	var ids []string
	for _, name := range []string{"chat", "known run", "rate limited", "unknown path", "wrong method", "panic"} {
		resp, _ := send(t, srv, name)
		ids = append(ids, resp.Header.Get("X-Request-Id"))
	}
	srv.Close()
	require.NoError(t, tr.close(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	for path, wants := range map[string][]string{
		"/v1/traces": append(ids, "my-chi", "POST /v1/chat/completions", "GET /api/v1/runs/{id}", "RATE_LIMITED", "errwire.error.condition", "not_found",
			"method_not_allowed", "server_error"),
		"/v1/metrics": {"my-chi", "http.server.request.duration", "/v1/chat/completions", "rate_limited"},
	} {
		for _, want := range wants {
			require.True(t, bytes.Contains(exported[path], []byte(want)), "%s: %s", path, want)
		}
	}
	require.False(t, bytes.Contains(exported["/v1/metrics"], []byte("run_1")))
}

func TestTracingThatCannotBe(t *testing.T) {
	tr, err := newTracing(t.Context())
	require.NoError(t, err)
	require.Nil(t, tr, "no variable, no tracing")
	require.NoError(t, tr.close(t.Context()))
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon")
	_, err = newTracing(t.Context())
	require.ErrorContains(t, err, "set up the export of traces")
	require.ErrorContains(t, run(t.Context(), nil, io.Discard, io.Discard), "set up the export of traces")
}
