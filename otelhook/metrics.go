package otelhook

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Bucket boundaries: the semantic conventions' for HTTP durations, continued to where inference and waits end.
var (
	operationBounds = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120}
	attemptBounds   = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	retryBounds     = []float64{1, 2, 3, 4, 5, 10}
	delayBounds     = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
)

// instruments are the histograms of a [Client]. They are safe for concurrent use.
type instruments struct {
	operation metric.Float64Histogram // a call, all attempts and waits included
	retries   metric.Int64Histogram   // of a call that had any
	delay     metric.Float64Histogram // one wait
	attempt   metric.Float64Histogram // one attempt whose span is ours
}

func newInstruments(p metric.MeterProvider) instruments {
	m := p.Meter(scope, metric.WithInstrumentationVersion(version()), metric.WithSchemaURL(semconv.SchemaURL))
	seconds := func(name, description string, bounds []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		if err != nil || h == nil {
			report(err)
			return noop.Float64Histogram{}
		}
		return h
	}
	var i instruments
	i.operation = seconds("errwire.client.operation.duration", "Duration of calls, with all attempts and waits.", operationBounds)
	i.delay = seconds("errwire.client.retry.delay", "Waits before further attempts, as they were chosen.", delayBounds)
	i.attempt = seconds("http.client.request.duration", "Duration of HTTP client requests.", attemptBounds)
	retries, err := m.Int64Histogram("errwire.client.retries", metric.WithUnit("{retry}"),
		metric.WithDescription("Further attempts of the calls that had any."), metric.WithExplicitBucketBoundaries(retryBounds...))
	if err != nil || retries == nil {
		report(err)
		retries = noop.Int64Histogram{}
	}
	i.retries = retries
	return i
}

// report hands an error of the SDK to the program's handler: telemetry that does not work is no reason to fail a call.
func report(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// enabled reports whether anybody collects any of them.
func (i *instruments) enabled(ctx context.Context) bool {
	return i.operation.Enabled(ctx) || i.retries.Enabled(ctx) || i.delay.Enabled(ctx) || i.attempt.Enabled(ctx)
}

// called records a call that ended.
func (i *instruments) called(ctx context.Context, operation string, o outcome, attempts int, took time.Duration) {
	attrs := make([]attribute.KeyValue, 0, 3)
	if operation != "" {
		attrs = append(attrs, keyOperation.String(operation))
	}
	attrs = append(attrs, keyOutcome.String(o.kind))
	if attempts > 1 && i.retries.Enabled(ctx) {
		i.retries.Record(ctx, int64(attempts-1), metric.WithAttributes(attrs...))
	}
	if i.operation.Enabled(ctx) {
		if o.errorType != "" {
			attrs = append(attrs, semconv.ErrorTypeKey.String(o.errorType))
		}
		i.operation.Record(ctx, took.Seconds(), metric.WithAttributes(attrs...))
	}
}

// waits records a wait that begins.
func (i *instruments) waits(ctx context.Context, operation, source, category string, delay time.Duration) {
	if !i.delay.Enabled(ctx) {
		return
	}
	attrs := make([]attribute.KeyValue, 0, 3)
	if operation != "" {
		attrs = append(attrs, keyOperation.String(operation))
	}
	attrs = append(attrs, keyDelaySource.String(source), keyCategory.String(category))
	i.delay.Record(ctx, delay.Seconds(), metric.WithAttributes(attrs...))
}
