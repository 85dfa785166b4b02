package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// The two halves run in one process here, and are two services in the traces.
const (
	clientService = "nethttp-client"
	serverService = "nethttp-provider"
)

// tracing is OpenTelemetry for both halves. nil does nothing.
type tracing struct {
	spans          *keptSpans // nil: none are kept
	client, server *sdktrace.TracerProvider
	clientMeters   *sdkmetric.MeterProvider
	serverMeters   *sdkmetric.MeterProvider
}

// newTracing sets up the SDK. keep keeps the spans in memory for [tracing.print]. With any of the standard variables OTEL_EXPORTER_OTLP_* traces and
// metrics are exported over OTLP. The caller closes it.
func newTracing(ctx context.Context, keep bool) (*tracing, error) {
	t := &tracing{}
	if keep {
		t.spans = &keptSpans{}
	}
	var err error
	if t.client, t.clientMeters, err = t.providers(ctx, clientService); err != nil {
		return nil, err
	}
	if t.server, t.serverMeters, err = t.providers(ctx, serverService); err != nil {
		return nil, errors.Join(err, t.close(ctx))
	}
	return t, nil
}

func (t *tracing) providers(ctx context.Context, service string) (*sdktrace.TracerProvider, *sdkmetric.MeterProvider, error) {
	res := resource.NewSchemaless(semconv.ServiceName(service))
	spans := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	if t.spans != nil {
		spans = append(spans, sdktrace.WithSpanProcessor(t.spans))
	}
	metrics := []sdkmetric.Option{sdkmetric.WithResource(res)}
	if exports(os.Environ()) {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("set up the export of traces: %w", err)
		}
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("set up the export of metrics: %w", err), exporter.Shutdown(ctx))
		}
		spans = append(spans, sdktrace.WithBatcher(exporter))
		metrics = append(metrics, sdkmetric.WithReader(reader))
	}
	return sdktrace.NewTracerProvider(spans...), sdkmetric.NewMeterProvider(metrics...), nil
}

// exports reports whether the environment names an OTLP endpoint.
func exports(environ []string) bool {
	return slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "OTEL_EXPORTER_OTLP_") })
}

// close exports what is left and shuts down. An endpoint that does not answer costs five seconds.
func (t *tracing) close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var errs []error
	for _, p := range []*sdktrace.TracerProvider{t.client, t.server} {
		if p != nil {
			errs = append(errs, p.Shutdown(ctx))
		}
	}
	for _, p := range []*sdkmetric.MeterProvider{t.clientMeters, t.serverMeters} {
		if p != nil {
			errs = append(errs, p.Shutdown(ctx))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("export traces and metrics: %w", err)
	}
	return nil
}

// transport shows what tr does.
func (t *tracing) transport(tr *classify.Transport) http.RoundTripper {
	if t == nil {
		return tr
	}
	hook := &otelhook.Client{
		TracerProvider: t.client, MeterProvider: t.clientMeters, Propagator: propagation.TraceContext{}, OperationFor: operationOf,
	}
	return hook.Transport(tr)
}

// operationOf names the call that a request is for.
func operationOf(r *http.Request) string {
	switch {
	case strings.HasSuffix(r.URL.Path, "/chat/completions"):
		return "chat"
	case r.URL.Path == "/v1/messages":
		return "messages"
	case r.URL.Path == "/api/v1/runs":
		return "create_run"
	case strings.HasPrefix(r.URL.Path, "/api/v1/runs/"):
		return "get_run"
	}
	return ""
}

// observer tells the span and the metrics of a request how it was refused.
func observer() *otelhook.Server {
	return &otelhook.Server{Label: func(ctx context.Context, kv ...attribute.KeyValue) {
		if labeler, ok := otelhttp.LabelerFromContext(ctx); ok {
			labeler.Add(kv...)
		}
	}}
}

// handler makes a span for each request to h, named by its route. The ErrorWriter inside tells its Observer, an otelhook.Server, what it refused.
func (t *tracing) handler(h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	return otelhttp.NewHandler(observer().Handler(h), "provider",
		otelhttp.WithTracerProvider(t.server), otelhttp.WithMeterProvider(t.serverMeters), otelhttp.WithPropagators(propagation.TraceContext{}))
}

// keptSpans is a span processor that keeps the spans that have ended.
type keptSpans struct {
	mu    sync.Mutex
	ended []sdktrace.ReadOnlySpan
}

// OnStart does nothing.
func (*keptSpans) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd keeps the span.
func (k *keptSpans) OnEnd(s sdktrace.ReadOnlySpan) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = append(k.ended, s)
}

// ForceFlush has nothing to do.
func (*keptSpans) ForceFlush(context.Context) error { return nil }

// Shutdown has nothing to do.
func (*keptSpans) Shutdown(context.Context) error { return nil }

// print writes the traces of the calls that took more than one attempt as trees.
func (t *tracing) print(w io.Writer) {
	if t == nil || t.spans == nil {
		return
	}
	t.spans.mu.Lock()
	spans := slices.Clone(t.spans.ended)
	t.spans.mu.Unlock()
	var trees []callTree
	for _, s := range spans {
		if s.SpanKind() == trace.SpanKindInternal && attributesOf(s.Attributes()).number("errwire.retry.attempts") > 1 {
			trees = append(trees, treeOf(s, spans))
		}
	}
	// The calls run at the same time, so the order is that of what happened in them.
	slices.SortFunc(trees, func(a, b callTree) int { return strings.Compare(a.gist, b.gist) })
	for _, tree := range trees {
		fmt.Fprintln(w, tree.text)
	}
}

// callTree is one call as text. gist is what does not differ from run to run.
type callTree struct{ gist, text string }

// line is one child of a tree: an attempt or an event.
type line struct {
	at       time.Time
	text     string
	children []string
}

// treeOf draws one call: its attempts, what the server says about each, and between them the waits.
func treeOf(call sdktrace.ReadOnlySpan, spans []sdktrace.ReadOnlySpan) callTree {
	gist := []string{call.Name()}
	events, attempts := call.Events(), childrenOf(call, spans)
	lines := make([]line, 0, len(events)+len(attempts))
	for _, e := range events {
		lines = append(lines, line{at: e.Time, text: eventText(e)})
	}
	for _, s := range attempts {
		l := line{at: s.StartTime(), text: attemptText(s)}
		for _, server := range childrenOf(s, spans) {
			l.children = append(l.children, serverText(server))
			gist = append(gist, l.text, attributesOf(server.Attributes()).text("errwire.error.code"))
		}
		lines = append(lines, l)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })

	a := attributesOf(call.Attributes())
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s, %d attempts, waited %.1f s\n", call.Name(), a.text("errwire.retry.outcome"),
		a.number("errwire.retry.attempts"), a.seconds("errwire.retry.wait_total"))
	for i, l := range lines {
		branch, stem := "├─ ", "│  "
		if i == len(lines)-1 {
			branch, stem = "└─ ", "   "
		}
		fmt.Fprintf(&b, "%s%s\n", branch, l.text)
		for j, child := range l.children {
			branch = "├─ "
			if j == len(l.children)-1 {
				branch = "└─ "
			}
			fmt.Fprintf(&b, "%s%s%s\n", stem, branch, child)
		}
	}
	return callTree{strings.Join(gist, "\n"), b.String()}
}

func childrenOf(parent sdktrace.ReadOnlySpan, spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	var children []sdktrace.ReadOnlySpan
	for _, s := range spans {
		if s.Parent().SpanID() == parent.SpanContext().SpanID() && s.SpanContext().TraceID() == parent.SpanContext().TraceID() {
			children = append(children, s)
		}
	}
	slices.SortFunc(children, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	return children
}

func eventText(e sdktrace.Event) string {
	a := attributesOf(e.Attributes)
	switch e.Name {
	case "errwire.retry.wait":
		if a.seconds("errwire.retry.delay.duration") == 0 {
			return "no wait"
		}
		return fmt.Sprintf("wait %.1f s (%s)", a.seconds("errwire.retry.delay.duration"), a.text("errwire.retry.delay.source"))
	case "errwire.retry.give_up":
		return "give up: " + a.text("errwire.retry.give_up.reason")
	}
	return e.Name
}

func attemptText(s sdktrace.ReadOnlySpan) string {
	a := attributesOf(s.Attributes())
	text := s.Name() + "  "
	if n := a.number("http.request.resend_count"); n > 0 {
		text = fmt.Sprintf("%s, resend %d  ", s.Name(), n)
	}
	if status := a.number("http.response.status_code"); status > 0 {
		text += strconv.FormatInt(status, 10)
	} else {
		text += a.text("error.type")
	}
	if s.Status().Code == codes.Error {
		text += " " + a.text("errwire.category")
	}
	return text
}

func serverText(s sdktrace.ReadOnlySpan) string {
	a := attributesOf(s.Attributes())
	text := fmt.Sprintf("%s  %d", s.Name(), a.number("http.response.status_code"))
	if code := a.text("errwire.error.code"); code != "" {
		text += " " + code
	}
	return text + " " + a.text("http.response.header.x-request-id")
}

// attributesOf makes attributes easy to ask for.
type attributesOf []attribute.KeyValue

func (a attributesOf) value(key string) attribute.Value {
	for _, kv := range a {
		if string(kv.Key) == key {
			return kv.Value
		}
	}
	return attribute.Value{}
}

func (a attributesOf) number(key string) int64    { return a.value(key).AsInt64() }
func (a attributesOf) seconds(key string) float64 { return a.value(key).AsFloat64() }

// text returns a string, or the first of several.
func (a attributesOf) text(key string) string {
	v := a.value(key)
	if list := v.AsStringSlice(); len(list) > 0 {
		return list[0]
	}
	return v.AsString()
}
