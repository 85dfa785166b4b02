package benchmarks

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// okTransport answers 200 with a body of two bytes, as cheaply as that can be done.
type okTransport struct{}

func (okTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader("ok"))}, nil
}

// BenchmarkOtelhook is what a call that succeeds at once costs with and without being shown: no server, no network.
//
//	plain         classify.Transport alone
//	none          with the hook, in a program without OpenTelemetry
//	noop          with the hook, and providers that do nothing
//	otelhttp-noop otelhttp in place of the hook, and providers that do nothing
//	sdk           with the hook, and the SDK: two spans, two measurements
//	otelhttp-sdk  otelhttp in place of the hook: one span, one measurement
func BenchmarkOtelhook(b *testing.B) {
	tracers := sdktrace.NewTracerProvider() // spans are made and dropped: no exporter's work is measured
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	propagator := propagation.TraceContext{}
	base := &classify.Transport{Base: okTransport{}}
	noop := &otelhook.Client{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Propagator: propagator, Operation: "chat"}
	sdk := &otelhook.Client{TracerProvider: tracers, MeterProvider: meters, Propagator: propagator, Operation: "chat"}
	for _, c := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"plain", base},
		{"none", (&otelhook.Client{Operation: "chat"}).Transport(base)},
		{"noop", noop.Transport(base)},
		{"otelhttp-noop", otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracenoop.NewTracerProvider()),
			otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), otelhttp.WithPropagators(propagator))},
		{"sdk", sdk.Transport(base)},
		{"otelhttp-sdk", otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracers), otelhttp.WithMeterProvider(meters), otelhttp.WithPropagators(propagator))},
	} {
		b.Run(c.name, func(b *testing.B) {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://api.test/v1/models", http.NoBody)
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
