package otelhooktest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ourScope = "github.com/errwire/errwire/otelhook"

// telemetry is an SDK that keeps everything in memory.
type telemetry struct {
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	tracer *sdktrace.TracerProvider
	meter  *sdkmetric.MeterProvider
}

func newTelemetry(opts ...sdktrace.TracerProviderOption) *telemetry {
	t := &telemetry{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	t.tracer = sdktrace.NewTracerProvider(append(opts, sdktrace.WithSpanProcessor(t.spans))...)
	t.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(t.reader))
	return t
}

// client returns a hook that reports to t.
func (t *telemetry) client() *otelhook.Client {
	return &otelhook.Client{
		TracerProvider: t.tracer, MeterProvider: t.meter, Propagator: propagation.TraceContext{}, Operation: "chat",
	}
}

// withOtelhttp lets otelhttp make the spans of the attempts.
func (t *telemetry) withOtelhttp(c *otelhook.Client) *otelhook.Client {
	c.Instrument = func(base http.RoundTripper) http.RoundTripper {
		return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(t.tracer), otelhttp.WithMeterProvider(t.meter),
			otelhttp.WithPropagators(propagation.TraceContext{}))
	}
	return c
}

// instrumentations are the two ways to have the attempts shown, each with an SDK of its own.
func instrumentations() map[string]func() (*telemetry, *otelhook.Client) {
	return map[string]func() (*telemetry, *otelhook.Client){
		"own attempts": func() (*telemetry, *otelhook.Client) {
			tel := newTelemetry()
			return tel, tel.client()
		},
		"otelhttp attempts": func() (*telemetry, *otelhook.Client) {
			tel := newTelemetry()
			return tel, tel.withOtelhttp(tel.client())
		},
	}
}

// balanced fails unless every span that was started has ended, once.
func (t *telemetry) balanced(tb testing.TB) {
	tb.Helper()
	ids := map[trace.SpanID]int{}
	for _, s := range t.spans.Started() {
		ids[s.SpanContext().SpanID()]++
	}
	for _, s := range t.spans.Ended() {
		ids[s.SpanContext().SpanID()]--
	}
	for id, n := range ids {
		require.Zero(tb, n, "span %s", id)
	}
}

// outer returns the ended spans of calls, in the order in which they ended.
func (t *telemetry) outer() []span { return t.of(trace.SpanKindInternal) }

// attempts returns the ended CLIENT spans in the order in which they were started.
func (t *telemetry) attempts() []span {
	var all []span
	for _, s := range t.spans.Started() {
		if s.SpanKind() != trace.SpanKindClient {
			continue
		}
		for _, e := range t.of(trace.SpanKindClient) {
			if e.SpanContext().SpanID() == s.SpanContext().SpanID() {
				all = append(all, e)
			}
		}
	}
	return all
}

func (t *telemetry) servers() []span { return t.of(trace.SpanKindServer) }

func (t *telemetry) of(kind trace.SpanKind) []span {
	var all []span
	for _, s := range t.spans.Ended() {
		if s.SpanKind() == kind {
			all = append(all, span{s})
		}
	}
	return all
}

// span is an ended span whose attributes are easy to ask for.
type span struct{ sdktrace.ReadOnlySpan }

func (s span) attrs() map[string]any { return asMap(s.Attributes()) }

func asMap(kvs []attribute.KeyValue) map[string]any {
	m := map[string]any{}
	for _, kv := range kvs {
		m[string(kv.Key)] = kv.Value.AsInterface()
	}
	return m
}

// event returns the attributes of the n-th event of a name.
func (s span) event(tb testing.TB, name string, n int) map[string]any {
	tb.Helper()
	for _, e := range s.Events() {
		if e.Name != name {
			continue
		}
		if n == 0 {
			return asMap(e.Attributes)
		}
		n--
	}
	require.Fail(tb, "no such event", name)
	return nil
}

func (s span) eventNames() []string {
	var names []string
	for _, e := range s.Events() {
		names = append(names, e.Name)
	}
	return names
}

// metric returns a metric of our scope, nil if there are no points.
func (t *telemetry) metric(tb testing.TB, name string) *metricdata.Metrics {
	tb.Helper()
	return t.metricOf(tb, ourScope, name)
}

func (t *telemetry) metricOf(tb testing.TB, scope, name string) *metricdata.Metrics {
	tb.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(tb, t.reader.Collect(context.Background(), &rm))
	for _, sm := range rm.ScopeMetrics {
		for i := range sm.Metrics {
			if sm.Scope.Name == scope && sm.Metrics[i].Name == name {
				return &sm.Metrics[i]
			}
		}
	}
	return nil
}

// answer is one scripted answer.
type answer struct {
	status int
	header map[string]string
	body   string
	err    error
	took   time.Duration
	broken error // ends the body
	panics any
}

// fakeServer is a RoundTripper that gives scripted answers, the last one for ever, and keeps what it was sent.
type fakeServer struct {
	handler http.Handler // sees each request before the script does; may be nil
	script  []answer

	mu       sync.Mutex
	headers  []http.Header
	contexts []context.Context
	open     int
}

type body struct {
	io.Reader
	once  sync.Once
	close func()
}

func (b *body) Close() error {
	b.once.Do(b.close)
	return nil
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	s.mu.Lock()
	a := s.script[min(len(s.headers), len(s.script)-1)]
	s.headers = append(s.headers, r.Header.Clone())
	s.contexts = append(s.contexts, r.Context())
	s.mu.Unlock()
	if s.handler != nil {
		in := r.Clone(context.Background()) // another process: nothing but the headers gets there
		s.handler.ServeHTTP(discard{http.Header{}}, in)
	}
	if a.panics != nil {
		panic(a.panics)
	}
	if a.took > 0 {
		timer := time.NewTimer(a.took)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, context.Cause(r.Context()) // as net/http does
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	h := make(http.Header)
	for k, v := range a.header {
		h.Set(k, v)
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	var rd io.Reader = strings.NewReader(a.body)
	if a.broken != nil {
		rd = io.MultiReader(rd, brokenReader{a.broken})
	}
	resp := &http.Response{
		StatusCode: a.status, Status: strconv.Itoa(a.status), Header: h, ContentLength: -1, Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}
	resp.Body = &body{Reader: rd, close: func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}}
	return resp, nil
}

func after(seconds string) map[string]string { return map[string]string{"Retry-After": seconds} }

const target = "http://api.test/v1/models"

func request(tb testing.TB, ctx context.Context, method, url string) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	require.NoError(tb, err)
	return req
}

// call makes one GET and reads the answer to its end.
func call(tb testing.TB, ctx context.Context, rt http.RoundTripper) (*http.Response, error) {
	tb.Helper()
	resp, err := rt.RoundTrip(request(tb, ctx, http.MethodGet, target))
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(tb, resp.Body.Close())
	}
	return resp, err
}

// without returns m without some keys.
func without(m map[string]any, keys ...string) map[string]any {
	m = maps.Clone(m)
	for _, k := range keys {
		delete(m, k)
	}
	return m
}

var errUserLeft = errors.New("the user left")

var _ classify.Observer = (*observed)(nil)

// observed is an Observer of the caller's own.
type observed struct {
	mu       sync.Mutex
	attempts []trace.SpanContext
	done     []trace.SpanContext
}

func (o *observed) Attempt(ctx context.Context, _ *classify.AttemptEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempts = append(o.attempts, trace.SpanContextFromContext(ctx))
}

func (o *observed) Done(ctx context.Context, _ *classify.DoneEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = append(o.done, trace.SpanContextFromContext(ctx))
}
