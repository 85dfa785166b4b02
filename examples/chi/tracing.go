package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/errwire/errwire/otelhook"
)

// service is the name in traces and metrics, unless OTEL_SERVICE_NAME gives another.
const service = "chi-provider"

// tracing is OpenTelemetry. nil does nothing.
type tracing struct {
	tracers *sdktrace.TracerProvider
	meters  *sdkmetric.MeterProvider
}

// newTracing sets up the SDK if any of the standard variables OTEL_EXPORTER_OTLP_* names an endpoint for traces and metrics, and returns nil if none does.
// The caller closes it.
func newTracing(ctx context.Context) (*tracing, error) {
	if !slices.ContainsFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OTEL_EXPORTER_OTLP_") }) {
		return nil, nil //nolint:nilnil // nil is a tracing that does nothing
	}
	res, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName(service)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	spans, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the export of traces: %w", err)
	}
	metrics, err := autoexport.NewMetricReader(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up the export of metrics: %w", err), spans.Shutdown(ctx))
	}
	return &tracing{
		tracers: sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(spans)),
		meters:  sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(metrics)),
	}, nil
}

// close exports what is left and shuts down. An endpoint that does not answer costs five seconds.
func (t *tracing) close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := errors.Join(t.tracers.Shutdown(ctx), t.meters.Shutdown(ctx)); err != nil {
		return fmt.Errorf("export traces and metrics: %w", err)
	}
	return nil
}

// observer tells the span and the metrics of a request how it was refused.
func observer() *otelhook.Server {
	return &otelhook.Server{Label: func(ctx context.Context, kv ...attribute.KeyValue) {
		if labeler, ok := otelhttp.LabelerFromContext(ctx); ok {
			labeler.Add(kv...)
		}
	}}
}

// handler makes a span for each request, named by method and route.
func (t *tracing) handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewMiddleware("", otelhttp.WithTracerProvider(t.tracers), otelhttp.WithMeterProvider(t.meters),
		otelhttp.WithPropagators(propagation.TraceContext{}))(observer().Handler(next))
}
