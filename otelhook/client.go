package otelhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	lognoop "go.opentelemetry.io/otel/log/noop"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
)

// Client makes the calls of a [classify.Transport] visible. The zero value and nil work: they use the global providers and
// the global propagator, as they are when a call is made. Its fields are read by [Client.Transport] alone.
type Client struct {
	// TracerProvider makes the spans; nil means the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the histograms; nil means the global one.
	MeterProvider metric.MeterProvider
	// LoggerProvider, if set, gets the events as log records with an event name, in place of the span. nil means span events, which
	// every tracing backend shows.
	LoggerProvider log.LoggerProvider
	// Propagator writes the context of each attempt's own span into its request; nil means the global one. It is not used where
	// another instrumentation makes the span.
	Propagator propagation.TextMapPropagator
	// Logger gets a record at level DEBUG before each further attempt and one at WARN when a call is given up, both with the
	// context of the call: see [LogHandler]. nil means none.
	Logger *slog.Logger
	// Operation names the calls, in the span's name and in metrics: "chat", "create_run". "" means no name; the span
	// is then "retry".
	Operation string
	// OperationFor names the call of a request, "" for Operation; nil means always Operation. It is called concurrently, and
	// may not change the request. Its answers have to come from a small set: those after the first 24 are "_OTHER".
	OperationFor func(*http.Request) string
	// Instrument wraps what sends one attempt with another instrumentation, whose CLIENT span then is the attempt's:
	//
	//	Instrument: func(base http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(base) }
	//
	// It has to stand here rather than in [classify.Transport.Base], or every attempt has two CLIENT spans. Requests for
	// which it starts no span get one of ours. nil means that all of them do.
	Instrument func(base http.RoundTripper) http.RoundTripper
	// RedactQuery names further query parameters whose values are secret. Those of the semantic conventions, and "key",
	// "api_key", "api-key", "apikey", "subscription-key", "access_token" and "token", always are. Names are compared exactly.
	RedactQuery []string
	// ResponseHeaders names further response headers to be put on the spans of attempts. X-Request-Id, Request-Id and
	// Retry-After always are.
	ResponseHeaders []string
}

// Transport returns a RoundTripper that does what t does, and shows it. nil means the zero [classify.Transport]. It takes
// over the fields of t: what is changed in t later has no effect, and t itself is not used. An Observer of t is
// still called, with a context that holds the span of the call.
//
// The result is safe for concurrent use and hands CloseIdleConnections on to t.Base. A span ends when the body of
// the response was read to its end or closed; that of a body that is dropped unclosed ends when it is collected, with the time
// of the last byte read.
func (c *Client) Transport(t *classify.Transport) http.RoundTripper {
	if c == nil {
		c = &Client{}
	}
	if t == nil {
		t = &classify.Transport{}
	}
	h := c.hook(t.MaxAttempts, t.Classifier, t.Observer)
	rt := &roundTripper{hook: h, base: t.Base}
	if rt.base == nil {
		rt.base = http.DefaultTransport //nolint:forbidigo // the default of every RoundTripper that wraps another
	}
	rt.transport.take(t, h.attempts(rt.base, c.Instrument, false), h)
	return rt
}

// attempts returns what sends the attempts of h's calls to base, and shows each. stray says that requests outside of a call go there too.
func (h *hook) attempts(base http.RoundTripper, instrument func(http.RoundTripper) http.RoundTripper, stray bool) http.RoundTripper {
	s := &sender{hook: h, next: base, stray: stray}
	if instrument != nil {
		return instrument(s)
	}
	if fmt.Sprintf("%T", base) == "*otelhttp.Transport" {
		report(errors.New("otelhook: otelhttp in Base makes a second CLIENT span for each attempt: put it into Client.Instrument"))
	}
	return s
}

// hook sets everything up for calls of so many attempts.
func (c *Client) hook(maxAttempts int, cl *classify.Classifier, next classify.Observer) *hook {
	if maxAttempts <= 0 {
		maxAttempts = 4 // as package classify documents it
	}
	h := &hook{
		propagator: c.Propagator, classifier: cl, next: next,
		redactor: redactor{more: c.RedactQuery}, headers: newHeaders(c.ResponseHeaders), log: c.Logger,
		operations: newOperations(c.Operation, c.OperationFor, maxAttempts), instrumented: c.Instrument != nil,
	}
	tracers := c.TracerProvider
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	h.sleep.watch(tracers, c.TracerProvider == nil)
	h.tracer = tracers.Tracer(scope, trace.WithInstrumentationVersion(version()), trace.WithSchemaURL(semconv.SchemaURL))
	if h.propagator == nil {
		h.propagator = otel.GetTextMapPropagator()
	}
	meters := c.MeterProvider
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	h.instruments = newInstruments(meters)
	if c.LoggerProvider != nil {
		_, off := c.LoggerProvider.(lognoop.LoggerProvider)
		h.heard = !off
		h.events = c.LoggerProvider.Logger(scope, log.WithInstrumentationVersion(version()), log.WithSchemaURL(semconv.SchemaURL))
	}
	return h
}

// hook is a Client at work: what all calls share. Only sleep changes.
type hook struct {
	instruments

	tracer       trace.Tracer
	propagator   propagation.TextMapPropagator
	events       log.Logger // nil: span events
	heard        bool       // events is somebody
	log          *slog.Logger
	classifier   *classify.Classifier
	redactor     redactor
	headers      []responseHeader
	operations   *operations
	instrumented bool
	next         classify.Observer

	sleep sleep
}

// roundTripper is the outermost part: one call is one RoundTrip.
type roundTripper struct {
	hook      *hook
	transport transport
	base      http.RoundTripper
}

// transport is a Transport of our own, made like somebody else's.
type transport struct{ classify.Transport }

// take makes t like like, but for where it sends attempts and whom it tells. What like has learned since it was made, such as its own budget, stays with it.
func (t *transport) take(like *classify.Transport, base http.RoundTripper, observer classify.Observer) {
	t.Base, t.Observer = base, observer
	t.Classifier, t.NewBackOff, t.MutateRequest = like.Classifier, like.NewBackOff, like.MutateRequest
	t.MaxAttempts, t.MaxWait, t.AttemptTimeout = like.MaxAttempts, like.MaxWait, like.AttemptTimeout
	t.BufferBody, t.IdempotencyKeys, t.ReplayAmbiguous, t.StreamErrors = like.BufferBody, like.IdempotencyKeys, like.ReplayAmbiguous, like.StreamErrors
	t.Budget, t.Gate = like.Budget, like.Gate
}

// CloseIdleConnections closes the idle connections of the base, which an instrumentation in between would hide.
func (rt *roundTripper) CloseIdleConnections() {
	if c, ok := rt.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (rt *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	c, op := rt.hook.begin(req.Context(), req)
	if c == nil {
		return rt.unseen(req, op)
	}
	c.cancel = req.Cancel //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
	defer c.leave()
	resp, err := rt.transport.RoundTrip(req.WithContext(c))
	c.settle(resp, err)
	if err != nil || !hasBody(resp) {
		c.closed()
		return resp, err
	}
	resp.Body = track(resp.Body, c, false)
	return resp, nil
}

// begin starts the span of a call, for req if it has one. It returns no call if the providers make nothing of it, and the operation as far as it has
// been looked up.
func (h *hook) begin(parent context.Context, req *http.Request) (*call, *operation) {
	if h.asleep(parent) {
		return nil, nil
	}
	op := h.operations.find(req)
	ctx, span := h.tracer.Start(parent, op.spanName, op.start...)
	sc := span.SpanContext()
	// Without an SDK the span is the caller's, or none.
	traced := sc.IsValid() && sc.SpanID() != trace.SpanContextFromContext(parent).SpanID()
	if !traced && !h.heard && !h.enabled(parent) {
		h.fallAsleep()
		return nil, op
	}
	h.wake()
	return &call{Context: ctx, hook: h, op: op, span: span, start: time.Now(), traced: traced}, op
}

// callKey finds the call in the context of its attempts.
type callKey struct{}

// call is one logical call. It is its own context, so that it costs one object.
type call struct {
	context.Context //nolint:containedctx // it is the context

	hook   *hook
	op     *operation
	span   trace.Span
	traced bool // span is ours alone
	unseen bool // by all providers: there are no spans and no measurements, and what is left is for the Logger
	start  time.Time
	counts bool // Do counts the attempts: its operations may send as many requests as they like
	sent   atomic.Int32
	cancel <-chan struct{} // that of the request, which is another way to leave; nil in Do

	// Of the goroutine that makes the call, until it has returned.
	settled   bool
	pending   int       // the attempt after which the last wait began
	waitSince time.Time // when that was
	told      bool      // the following three were told by the observed Transport
	attempts  int
	waited    time.Duration
	queued    time.Duration

	mu          sync.Mutex // Read and Close of the body may meet
	over        bool
	last        time.Time // when the last byte came
	outcome     outcome
	category    string
	description string
}

// Value answers for this package's own key and asks the parent for any other.
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// callFrom returns the call of h that ctx belongs to, nil for none.
func (h *hook) callFrom(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok && c.hook == h {
		return c
	}
	return nil
}

// left returns why the caller waits no longer, nil if they do.
func (c *call) left() error {
	if err := ended(c); err != nil {
		return err
	}
	select {
	case <-c.cancel:
		return context.Canceled
	default:
		return nil
	}
}

// settle decides how the call ended, when it returns.
func (c *call) settle(resp *http.Response, err error) {
	c.settled = true
	c.last = time.Now()
	e := errorOf(c.hook.classifier, err, resp)
	if !c.told {
		c.recall(e, resp)
	}
	waiting := c.pending > 0 && c.pending == c.attempts // in the middle of a wait
	if waiting {
		c.waited += c.last.Sub(c.waitSince)
	}
	c.outcome = outcomeOf(e, c.left())
	switch {
	case e == nil:
	case c.outcome.kind == outcomeGiveUp:
		c.giveUp(e)
	case waiting || resp != nil:
		// A failure went before. A request that was left in mid-air has none.
		c.category = e.Decision.Class.String()
	}
}

// recall reads from the result what no Observer was told: that of a call which succeeded at once, or was made by a Transport further down.
func (c *call) recall(e *classify.Error, resp *http.Response) {
	var attempts []classify.Attempt
	if e != nil {
		attempts = e.Attempts
	} else {
		attempts = classify.AttemptsOf(resp)
	}
	for i := range attempts {
		c.waited += attempts[i].Waited
		c.queued += attempts[i].Queued
	}
	if c.attempts = len(attempts); c.attempts == 0 {
		c.attempts = int(c.sent.Load())
	}
}

// read implements watcher.
func (c *call) read(_ []byte, err error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = now
	switch {
	case err == nil:
		return
	case !isEOF(err) && !c.over && c.outcome.kind == outcomeSuccess:
		e := broken(c, c.hook.classifier, err)
		if c.outcome = outcomeOf(e, c.left()); c.outcome.kind == outcomeGiveUp {
			c.giveUp(e)
		}
	}
	c.finish(now)
}

// closed implements watcher.
func (c *call) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(time.Now())
}

// abandoned implements watcher.
func (c *call) abandoned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(c.last)
}

// leave is deferred around the call. It ends one that does not return; the panic goes on.
func (c *call) leave() {
	if c.settled {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts = int(c.sent.Load())
	c.outcome = outcome{outcomeGiveUp, errorTypePanic, errorTypePanic}
	c.finish(time.Now())
}

// finish ends the call, once. The caller holds mu.
func (c *call) finish(end time.Time) {
	if c.over {
		return
	}
	c.over = true
	if c.unseen {
		return
	}
	o := c.outcome
	c.hook.called(c, c.op.name, o, c.attempts, end.Sub(c.start))
	if !c.traced {
		return
	}
	if c.span.IsRecording() {
		attrs := make([]attribute.KeyValue, 0, 7)
		attrs = append(attrs, keyAttempts.Int(c.attempts), keyOutcome.String(o.kind))
		if c.waited > 0 {
			attrs = append(attrs, keyWaitTotal.Float64(c.waited.Seconds()))
		}
		if c.queued > 0 {
			attrs = append(attrs, keyQueueTotal.Float64(c.queued.Seconds()))
		}
		if o.reason != "" {
			attrs = append(attrs, keyReason.String(o.reason))
		}
		if c.category != "" {
			attrs = append(attrs, keyCategory.String(c.category))
		}
		if o.errorType != "" {
			attrs = append(attrs, semconv.ErrorTypeKey.String(o.errorType))
			c.span.SetStatus(codes.Error, c.description)
		}
		c.span.SetAttributes(attrs...)
	}
	c.span.End(trace.WithTimestamp(end))
}
