package interop

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// traced returns otelhttp around base, and what it records.
func traced(t *testing.T, base http.RoundTripper) (http.RoundTripper, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.WithoutCancel(t.Context()))) })
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{})), spans
}

// answers is a server that gives these statuses in turn, and 200 then; it keeps what it was sent.
type answers struct {
	*httptest.Server

	mu      sync.Mutex
	bodies  []string
	parents []string
	keys    []string
}

func startAnswers(t *testing.T, statuses ...int) *answers {
	t.Helper()
	a := &answers{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		n := len(a.bodies)
		a.bodies, a.parents = append(a.bodies, string(body)), append(a.parents, r.Header.Get("Traceparent"))
		a.keys = append(a.keys, r.Header.Get("Idempotency-Key"))
		if n >= len(statuses) {
			io.WriteString(w, `{"done":true}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if statuses[n] != http.StatusInternalServerError { // which a stated wait would make worth more than one retry
			w.Header().Set("Retry-After-Ms", "1")
		}
		w.WriteHeader(statuses[n])
		io.WriteString(w, `{"error":{"message":"`+strings.Repeat("oops ", 10_000)+`"}}`)
	}))
	t.Cleanup(a.Close)
	return a
}

// Over otelhttp each attempt is a span of its own with its own traceparent; bodies are sent again whole, error bodies are drained, so that
// all attempts share a connection, and every span ends.
func TestTransportOverOtelhttp(t *testing.T) {
	t.Parallel()
	srv := startAnswers(t, 503, 429)
	network := &http.Transport{}
	t.Cleanup(network.CloseIdleConnections)
	base, spans := traced(t, network)
	client := &http.Client{Transport: &classify.Transport{Base: base, NewBackOff: atOnce, IdempotencyKeys: true}}

	var conns sync.Map
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { conns.Store(i.Conn.LocalAddr().String(), true) }})
	payload := strings.Repeat("x", 100_000)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader(payload))
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Len(t, classify.AttemptsOf(resp), 3)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"done":true}`, string(body))
	require.NoError(t, resp.Body.Close())

	require.Equal(t, []string{payload, payload, payload}, srv.bodies)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(srv.parents))), 3, "each attempt has its own parent: %q", srv.parents)
	require.NotContains(t, srv.parents, "")
	require.Len(t, slices.Compact(slices.Clone(srv.keys)), 1, "one key for the call")
	require.NotContains(t, srv.keys, "")
	require.Equal(t, 1, length(&conns), "one connection for all attempts")

	var statuses []int64
	for _, s := range spans.Ended() {
		for _, a := range s.Attributes() {
			if a.Key == attribute.Key("http.response.status_code") {
				statuses = append(statuses, a.Value.AsInt64())
			}
		}
	}
	require.Equal(t, []int64{503, 429, 200}, statuses)
	require.Len(t, spans.Started(), len(spans.Ended()), "every span has ended")
}

// A call that is given up over otelhttp keeps the last answer whole, and the judgement on it.
func TestTransportOverOtelhttpGivesUp(t *testing.T) {
	t.Parallel()
	srv := startAnswers(t, 500, 500, 500)
	network := &http.Transport{}
	t.Cleanup(network.CloseIdleConnections)
	base, spans := traced(t, network)
	resp, err := (&http.Client{Transport: &classify.Transport{Base: base, NewBackOff: atOnce}}).Get(srv.URL)
	require.NoError(t, err)
	e := classify.ErrorOf(resp)
	require.NotNil(t, e)
	require.Equal(t, errcodes.ClassServerError, e.Decision.Class)
	require.Len(t, e.Attempts, 2)
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(body), `"}}`))
	require.NoError(t, resp.Body.Close())
	require.Len(t, spans.Ended(), 2)
	require.Len(t, spans.Started(), 2)
}

// Under otelhttp a call is one span, whatever it took.
func TestTransportUnderOtelhttp(t *testing.T) {
	t.Parallel()
	srv := startAnswers(t, 503, 503)
	network := &http.Transport{}
	t.Cleanup(network.CloseIdleConnections)
	rt, spans := traced(t, &classify.Transport{Base: network, NewBackOff: atOnce})
	resp, err := (&http.Client{Transport: rt}).Get(srv.URL)
	require.NoError(t, err)
	require.Len(t, classify.AttemptsOf(resp), 3, "the history reaches through")
	io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
	require.Len(t, spans.Ended(), 1)
	require.Len(t, srv.bodies, 3)
}

// net/http sends a request with an Idempotency-Key a second time by itself when a connection dies; over otelhttp too it is
// kept from that, and every request that leaves is an attempt that is told of.
func TestTransportOverOtelhttpCountsEachRequest(t *testing.T) {
	t.Parallel()
	var requests, cuts atomic.Int32
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					requests.Add(1)
					if cuts.Add(-1) >= 0 {
						return // executed, and no answer
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				}
			})
		}
	})
	network := &http.Transport{}
	t.Cleanup(func() {
		network.CloseIdleConnections()
		l.Close()
		wg.Wait()
	})
	base, _ := traced(t, network)
	client := &http.Client{Transport: &classify.Transport{Base: base, NewBackOff: atOnce, MaxAttempts: 2}}
	send := func(key string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String(), strings.NewReader(`{"a":1}`))
		require.NoError(t, err)
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := client.Do(req)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return resp, err
	}
	_, err = send("") // now the connection has been used
	require.NoError(t, err)
	requests.Store(0)
	cuts.Store(1)
	resp, err := send("k")
	require.NoError(t, err)
	require.Len(t, classify.AttemptsOf(resp), 2)
	require.Equal(t, int32(2), requests.Load())

	requests.Store(0)
	cuts.Store(1)
	_, err = send("")
	e, ok := errors.AsType[*classify.Error](err)
	require.True(t, ok, "without a key there is no second request")
	require.Equal(t, classify.StopUnsafe, e.Stop)
	require.Equal(t, int32(1), requests.Load())
}

func length(m *sync.Map) int {
	n := 0
	m.Range(func(any, any) bool {
		n++
		return true
	})
	return n
}
