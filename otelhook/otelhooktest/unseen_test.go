package otelhooktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/baggage"
	lognoop "go.opentelemetry.io/otel/log/noop"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// blind are the hooks of which no provider makes anything.
func blind() map[string]*otelhook.Client {
	return map[string]*otelhook.Client{
		"no provider": {Operation: "chat", Propagator: propagation.TraceContext{}},
		"providers that do nothing": {
			TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), LoggerProvider: lognoop.NewLoggerProvider(),
			Operation: "chat", Propagator: propagation.TraceContext{},
		},
	}
}

// lines returns what was logged, less what differs from run to run: the wait is told in whole seconds, without what chance adds.
func lines(t *testing.T, out *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for dec := json.NewDecoder(out); dec.More(); {
		var line map[string]any
		require.NoError(t, dec.Decode(&line))
		if waited, ok := line["waited"].(float64); ok {
			line["waited"] = math.Round(waited / float64(time.Second))
		}
		all = append(all, without(line, "time", "trace_id", "span_id", "delay"))
	}
	return all
}

// The Logger hears the same whether anybody makes spans or not, however the call ends.
func TestLoggerHearsTheSameWithoutProviders(t *testing.T) {
	for _, tt := range []struct {
		name     string
		script   []answer
		gate     *gate
		deadline time.Duration
		cancel   time.Duration
		named    string
		want     []map[string]any
	}{
		{name: "success", script: []answer{{status: 200, body: "fine"}}},
		{name: "upgrade", script: []answer{{status: 101}}},
		{
			name: "recovered", script: []answer{{status: 503, header: after("1")}, {status: 200}}, named: "embed",
			want: []map[string]any{
				{"level": "DEBUG", "msg": "request will be sent again", "operation": "embed", "attempt": 1.0, "category": "overloaded", "status": 503.0, "delay_source": "retry_after"},
			},
		},
		{
			name: "given up", script: []answer{{status: 503, header: map[string]string{"Retry-After": "1", "X-Request-Id": "req_1"}}, {status: 400}},
			want: []map[string]any{
				{
					"level": "DEBUG", "msg": "request will be sent again", "operation": "chat", "attempt": 1.0, "category": "overloaded", "status": 503.0,
					"delay_source": "retry_after", "request_id": "req_1",
				},
				{
					"level": "WARN", "msg": "request given up", "operation": "chat", "attempt": 2.0, "category": "invalid_request", "status": 400.0,
					"reason": "not_retryable", "waited": 1.0,
				},
			},
		},
		{
			name: "no answer", script: []answer{{err: errors.New("secret text")}}, named: "embed", deadline: time.Second / 2,
			want: []map[string]any{
				{
					"level": "WARN", "msg": "request given up", "operation": "embed", "attempt": 1.0, "category": "network", "reason": "deadline", "waited": 0.0,
					"cause": "*errors.errorString",
				},
			},
		},
		{
			name: "refused by the gate after a wait", script: []answer{{status: 503, header: after("1")}}, gate: &gate{refuse: 2},
			want: []map[string]any{
				{"level": "DEBUG", "msg": "request will be sent again", "operation": "chat", "attempt": 1.0, "category": "overloaded", "status": 503.0, "delay_source": "retry_after"},
				{
					"level": "WARN", "msg": "request given up", "operation": "chat", "attempt": 1.0, "category": "overloaded", "status": 503.0, "reason": "gate",
					"waited": 1.0,
				},
			},
		},
		{
			name: "broken off", script: []answer{{status: 503, header: after("1")}, {status: 200, body: "half", broken: io.ErrUnexpectedEOF}},
			want: []map[string]any{
				{"level": "DEBUG", "msg": "request will be sent again", "operation": "chat", "attempt": 1.0, "category": "overloaded", "status": 503.0, "delay_source": "retry_after"},
				{
					"level": "WARN", "msg": "request given up", "operation": "chat", "attempt": 2.0, "category": "network", "reason": "response_begun", "waited": 1.0,
					"cause": "unexpected EOF",
				},
			},
		},
		{
			name: "left while waiting", script: []answer{{status: 503, header: after("30")}}, cancel: time.Second,
			want: []map[string]any{
				{"level": "DEBUG", "msg": "request will be sent again", "operation": "chat", "attempt": 1.0, "category": "overloaded", "status": 503.0, "delay_source": "retry_after"},
			},
		},
		{name: "left in mid-air", script: []answer{{took: time.Minute}}, cancel: time.Second},
	} {
		hooks := blind()
		hooks["an SDK"] = newTelemetry().client()
		for name, hook := range hooks {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var out bytes.Buffer
					hook.Logger = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
					hook.OperationFor = func(*http.Request) string { return tt.named }
					s := &fakeServer{script: tt.script}
					tr := &classify.Transport{Base: s}
					if tt.gate != nil {
						tr.Gate = &gate{refuse: tt.gate.refuse}
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tt.deadline > 0 {
						ctx, cancel = context.WithTimeout(ctx, tt.deadline)
						defer cancel()
					}
					if tt.cancel > 0 {
						time.AfterFunc(tt.cancel, cancel)
					}
					resp, err := hook.Transport(tr).RoundTrip(request(t, ctx, http.MethodGet, target))
					if err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						require.NoError(t, resp.Body.Close())
						_, _ = resp.Body.Read(make([]byte, 1)) // the end has been told
					}
					require.Zero(t, s.open)
					require.Equal(t, tt.want, lines(t, &out))
				})
			})
		}
	}
}

// A body that is closed before its end was not broken off, and the connection of an upgrade stays writable.
func TestBodiesWithoutProviders(t *testing.T) {
	for name, hook := range blind() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			hook.Logger = slog.New(slog.NewJSONHandler(&out, nil))
			rt := hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200, body: "half", broken: io.ErrUnexpectedEOF}}}})
			resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, target))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			_, err = io.Copy(io.Discard, resp.Body)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Empty(t, out.String())

			var sent bytes.Buffer
			rt = hook.Transport(&classify.Transport{Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 101, Header: http.Header{}, Request: r, Body: upgraded{strings.NewReader("hi"), &sent, io.NopCloser(nil)}}, nil
			})})
			resp, err = rt.RoundTrip(request(t, t.Context(), http.MethodGet, target))
			require.NoError(t, err)
			_, err = io.WriteString(resp.Body.(io.Writer), "hello")
			require.NoError(t, err)
			require.Equal(t, "hello", sent.String())
			require.NoError(t, resp.Body.Close())
		})
	}
}

// Without an SDK what the caller brought is handed on with every attempt, and nothing else happens to the request.
func TestContextIsHandedOnWithoutProviders(t *testing.T) {
	const traceparent = "00-01000000000000000000000000000000-0200000000000000-01"
	nobody := func(ctx context.Context) context.Context { return ctx }
	parent := func(ctx context.Context) context.Context {
		return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
		}))
	}
	member, err := baggage.NewMember("tenant", "a")
	require.NoError(t, err)
	bag, err := baggage.New(member)
	require.NoError(t, err)
	withBaggage := func(ctx context.Context) context.Context { return baggage.ContextWithBaggage(ctx, bag) }
	both := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	for _, tt := range []struct {
		name       string
		from       func(context.Context) context.Context
		propagator propagation.TextMapPropagator
		instrument bool
		want       http.Header
	}{
		{"nothing", nobody, both, false, http.Header{"X-Own": {"1"}}},
		{"a parent", parent, both, false, http.Header{"X-Own": {"1"}, "Traceparent": {traceparent}}},
		{"a parent, by the instrumentation", parent, both, true, http.Header{"X-Own": {"1"}, "Traceparent": {traceparent}}},
		{"a parent, and nothing to write it with", parent, propagation.Baggage{}, false, http.Header{"X-Own": {"1"}}},
		{"baggage", withBaggage, both, false, http.Header{"X-Own": {"1"}, "Baggage": {"tenant=a"}}},
		{"a propagator that asks what is there", parent, curious{}, false, http.Header{"X-Own": {"1"}, "Seen": {"all"}, "Traceparent": {"00"}}},
	} {
		for name, hook := range blind() {
			for _, do := range []bool{false, true} {
				t.Run(tt.name+", "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						hook := &otelhook.Client{TracerProvider: hook.TracerProvider, MeterProvider: hook.MeterProvider, Propagator: tt.propagator}
						if tt.instrument {
							hook.Instrument = func(b http.RoundTripper) http.RoundTripper {
								return otelhttp.NewTransport(b, otelhttp.WithPropagators(tt.propagator))
							}
						}
						s := &fakeServer{script: []answer{{status: 503}, {status: 200}}}
						ctx := tt.from(t.Context())
						req := request(t, ctx, http.MethodGet, target)
						req.Header.Set("X-Own", "1")
						var resp *http.Response
						var err error
						if do {
							p := hook.Policy(&classify.Policy{Signal: signal})
							rt := p.Transport(s)
							resp, err = otelhook.Do(ctx, p, func(ctx context.Context) (*http.Response, error) {
								resp, err := rt.RoundTrip(req.WithContext(ctx))
								if err == nil && resp.StatusCode >= 400 {
									resp.Body.Close()
									return nil, &sdkError{resp.StatusCode}
								}
								return resp, err
							})
						} else {
							resp, err = hook.Transport(&classify.Transport{Base: s}).RoundTrip(req)
						}
						require.NoError(t, err)
						require.NoError(t, resp.Body.Close())
						require.Equal(t, http.Header{"X-Own": {"1"}}, req.Header, "the request was changed")
						require.Len(t, s.headers, 2)
						for _, h := range s.headers {
							require.Equal(t, tt.want, h)
						}
					})
				})
			}
		}
	}
}

// curious is a propagator that writes what it finds in the carrier.
type curious struct{ propagation.TraceContext }

func (curious) Inject(_ context.Context, c propagation.TextMapCarrier) {
	own := c.Get("X-Own") + strings.Repeat("?", len(c.Keys())-1)
	c.Set("Traceparent", "00")
	names := map[string]bool{}
	for _, k := range c.Keys() {
		names[k] = true
	}
	want := map[string]bool{"X-Own": true, "Traceparent": true}
	if own == "1" && c.Get("Traceparent") == "00" && maps.Equal(names, want) {
		c.Set("Seen", "all")
	}
}

// Requests outside of a call pass as they are, with providers and without.
func TestStrayRequestsPassWithoutProviders(t *testing.T) {
	parent := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	for name, hook := range blind() {
		t.Run(name, func(t *testing.T) {
			s := &fakeServer{script: []answer{{status: 200}}}
			_, err := call(t, parent, hook.Policy(nil).Transport(s))
			require.NoError(t, err)
			require.Empty(t, s.headers[0])
		})
	}
}
