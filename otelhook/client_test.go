package otelhook_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lognoop "go.opentelemetry.io/otel/log/noop"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func allocations(t *testing.T, ctx context.Context, rt http.RoundTripper) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.test/v1/models", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer sk")
	return testing.AllocsPerRun(1000, func() {
		resp, err := rt.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Error(resp, err)
		}
	})
}

// A program without OpenTelemetry pays next to nothing for calls that succeed.
func TestNoopCost(t *testing.T) {
	resp, body := &http.Response{StatusCode: http.StatusOK}, io.NopCloser(strings.NewReader("x"))
	tr := &classify.Transport{Base: roundTripFunc(func(*http.Request) (*http.Response, error) {
		resp.Body = body
		return resp, nil
	})}
	propagator := propagation.TraceContext{}
	noop := func() *otelhook.Client {
		return &otelhook.Client{
			TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Propagator: propagator, Operation: "chat",
		}
	}
	logging, silent, naming := noop(), noop(), noop()
	logging.Logger = slog.New(slog.DiscardHandler)
	silent.Propagator, silent.LoggerProvider = propagation.NewCompositeTextMapPropagator(), lognoop.NewLoggerProvider()
	naming.OperationFor, naming.Logger = func(*http.Request) string { return "embed" }, slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
	global := &otelhook.Client{}
	globalLogging := &otelhook.Client{Logger: logging.Logger}
	// What it costs to inject a context into a request that may not be changed.
	injecting := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		sent := r.WithContext(r.Context())
		sent.Header = r.Header.Clone()
		propagator.Inject(r.Context(), propagation.HeaderCarrier(sent.Header))
		return tr.RoundTrip(sent)
	})

	nobody, parent := t.Context(), remoteParent(t.Context())
	require.Zero(t, allocations(t, nobody, tr))
	injection := allocations(t, parent, injecting)
	require.Positive(t, injection)
	for _, tt := range []struct {
		name         string
		hook         *otelhook.Client
		nobody, with float64 // how many allocations at most, without and with a remote parent
	}{
		{"providers that do nothing", noop(), 0, injection},
		{"with a Logger", logging, 1, injection + 1},
		{"with a Logger and names", naming, 1, injection + 1},
		{"nothing to propagate with", silent, 0, 1},
		// The placeholder that stands for a provider that may still come makes a span of its own, now and then.
		{"no provider", global, 1, 1},
		{"no provider, with a Logger", globalLogging, 1, 2},
	} {
		rt := tt.hook.Transport(tr)
		require.LessOrEqual(t, allocations(t, nobody, rt), tt.nobody, tt.name)
		require.LessOrEqual(t, allocations(t, parent, rt), tt.with, "%s, with a remote parent", tt.name)
	}
}

func remoteParent(ctx context.Context) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}
