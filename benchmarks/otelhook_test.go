package benchmarks

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// okTransport answers 200 with a body of two bytes, as cheaply as that can be done.
type okTransport struct{}

func (okTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader("ok"))}, nil
}

// injecting hands the context of the caller on, and does nothing else.
type injecting struct {
	next       http.RoundTripper
	propagator propagation.TextMapPropagator
}

func (i *injecting) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.WithContext(r.Context())
	sent.Header = r.Header.Clone()
	i.propagator.Inject(r.Context(), propagation.HeaderCarrier(sent.Header))
	return i.next.RoundTrip(sent)
}

// BenchmarkOtelhook is what a call that succeeds at once costs with and without being shown: no server, no network.
//
//	plain             classify.Transport alone
//	none              with the hook, in a program without OpenTelemetry
//	none-logger       the same, with a Logger that has nothing to hear
//	noop              with the hook, and providers that do nothing
//	noop-logger       the same, with a Logger that has nothing to hear
//	inject            classify.Transport, and the context of a caller from another process injected by hand
//	noop-inject       the same with the hook, and providers that do nothing
//	otelhttp-noop     otelhttp in place of the hook, and providers that do nothing
//	otelhttp-inject   the same, with a caller from another process
//	sdk               with the hook, and the SDK: two spans, two measurements
//	otelhttp-sdk      otelhttp in place of the hook: one span, one measurement
func BenchmarkOtelhook(b *testing.B) {
	tracers := sdktrace.NewTracerProvider() // spans are made and dropped: no exporter's work is measured
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	propagator := propagation.TraceContext{}
	base := &classify.Transport{Base: okTransport{}}
	noop := &otelhook.Client{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Propagator: propagator, Operation: "chat"}
	logger := slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
	noopLogger := *noop
	noopLogger.Logger = logger
	otelhttpNoop := otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracenoop.NewTracerProvider()),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), otelhttp.WithPropagators(propagator))
	sdk := &otelhook.Client{TracerProvider: tracers, MeterProvider: meters, Propagator: propagator, Operation: "chat"}
	nobody := context.Background()
	remote := trace.ContextWithRemoteSpanContext(nobody, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	for _, c := range []struct {
		name string
		rt   http.RoundTripper
		ctx  context.Context //nolint:containedctx // a row of a table
	}{
		{"plain", base, nobody},
		{"none", (&otelhook.Client{Operation: "chat"}).Transport(base), nobody},
		{"none-logger", (&otelhook.Client{Operation: "chat", Logger: logger}).Transport(base), nobody},
		{"noop", noop.Transport(base), nobody},
		{"noop-logger", noopLogger.Transport(base), nobody},
		{"inject", &injecting{base, propagator}, remote},
		{"noop-inject", noop.Transport(base), remote},
		{"otelhttp-noop", otelhttpNoop, nobody},
		{"otelhttp-inject", otelhttpNoop, remote},
		{"sdk", sdk.Transport(base), nobody},
		{"otelhttp-sdk", otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracers), otelhttp.WithMeterProvider(meters), otelhttp.WithPropagators(propagator)), nobody},
	} {
		b.Run(c.name, func(b *testing.B) {
			req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, "http://api.test/v1/models", http.NoBody)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				if err := resp.Body.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
