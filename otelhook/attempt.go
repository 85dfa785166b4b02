package otelhook

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// maxJudged is how much of an error body is kept to be judged, as much as a classify.Classifier reads by default.
const maxJudged = 64 << 10

// sender is the innermost part: one RoundTrip is one attempt, on its way to the network.
type sender struct {
	hook  *hook
	next  http.RoundTripper
	stray bool // requests outside of a call get here too, and are nobody's business
}

// CloseIdleConnections closes those of the base.
func (s *sender) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c := s.hook.callFrom(ctx)
	switch {
	case c == nil && s.stray:
		return s.next.RoundTrip(req)
	case c == nil || c.unseen:
		return s.hand(req)
	}
	if !c.counts {
		c.sent.Add(1)
	}
	if s.hook.instrumented {
		if !c.traced {
			// Without a span of ours there is nothing to tell theirs by; it is taken on trust.
			return s.next.RoundTrip(req)
		}
		if current := trace.SpanFromContext(ctx); current.SpanContext().SpanID() != c.span.SpanContext().SpanID() {
			return s.annotate(req, current)
		}
	}
	return s.send(req)
}

// annotate sends an attempt whose span is somebody else's. What that has no way to know is added to it.
func (s *sender) annotate(req *http.Request, span trace.Span) (*http.Response, error) {
	if !span.IsRecording() {
		return s.next.RoundTrip(req)
	}
	a := &attempt{hook: s.hook, ctx: req.Context(), span: span, recording: true}
	if n := classify.ResendCount(a.ctx); n > 0 {
		span.SetAttributes(semconv.HTTPRequestResendCount(n))
	}
	if u := req.URL; !plain(u) {
		// Others put the whole query there, and the fragment.
		span.SetAttributes(semconv.URLFull(s.hook.redactor.url(u)))
	}
	resp, err := s.next.RoundTrip(req)
	return a.returned(resp, err)
}

// send sends an attempt under a span of its own.
func (s *sender) send(req *http.Request) (*http.Response, error) {
	h := s.hook
	a := &attempt{hook: h, own: true, start: time.Now()}
	name, attrs := a.describe(req)
	a.ctx, a.span = h.tracer.Start(req.Context(), name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...)) //nolint:spancheck // finish ends it
	a.recording = a.span.IsRecording()
	a.measured = h.attempt.Enabled(a.ctx)
	returned := false
	defer func() {
		if !returned {
			a.panicked()
		}
	}()
	sent := req.WithContext(a.ctx)
	if sent.Header = req.Header.Clone(); sent.Header == nil {
		sent.Header = make(http.Header, 2)
	}
	h.propagator.Inject(a.ctx, propagation.HeaderCarrier(sent.Header))
	resp, err := s.next.RoundTrip(sent)
	returned = true
	return a.returned(resp, err)
}

// attempt is one request on the wire.
type attempt struct {
	hook      *hook
	ctx       context.Context //nolint:containedctx // it is that of the attempt
	span      trace.Span
	own       bool // span is ours to end
	recording bool
	measured  bool
	start     time.Time

	method  attribute.KeyValue
	address string
	port    int

	mu        sync.Mutex // Read and Close of the body may meet
	over      bool
	last      time.Time // when the last byte came
	status    int
	protocol  string
	header    http.Header // of a failure, until it is judged
	body      []byte      // its beginning
	errorType string
}

// describe returns the name of the span and the attributes that samplers look at.
func (a *attempt) describe(req *http.Request) (string, []attribute.KeyValue) {
	attrs := make([]attribute.KeyValue, 0, 6)
	name := req.Method
	if name == "" {
		name = http.MethodGet
	}
	var known bool
	if a.method, known = methodOf(name); !known {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(bounded(name)))
		name = "HTTP"
	}
	attrs = append(attrs, a.method)
	if u := req.URL; u != nil {
		a.address, a.port = u.Hostname(), portOf(u)
		attrs = append(attrs, semconv.ServerAddress(a.address), semconv.URLFull(a.hook.redactor.url(u)))
		if a.port > 0 {
			attrs = append(attrs, semconv.ServerPort(a.port))
		}
	}
	if n := classify.ResendCount(req.Context()); n > 0 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(n))
	}
	return name, attrs
}

// methodOf returns the attribute of a method, and whether the conventions know it.
func methodOf(method string) (attribute.KeyValue, bool) {
	switch method {
	case http.MethodConnect, http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch,
		http.MethodPost, http.MethodPut, http.MethodTrace, "QUERY":
		return semconv.HTTPRequestMethodKey.String(method), true
	}
	return semconv.HTTPRequestMethodOther, false
}

// portOf returns the port that a URL leads to, 0 where it does not say.
func portOf(u *url.URL) int {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return int(n)
	}
	switch u.Scheme {
	case "https":
		return 443
	case "http":
		return 80
	}
	return 0
}

// protocolOf returns the version of the protocol as the conventions spell it.
func protocolOf(resp *http.Response) string {
	switch {
	case resp.ProtoMajor == 0:
		return ""
	case resp.ProtoMajor > 1:
		return strconv.Itoa(resp.ProtoMajor)
	}
	return strconv.Itoa(resp.ProtoMajor) + "." + strconv.Itoa(resp.ProtoMinor)
}

// returned takes down what the base returned. The end of the attempt is that of the body.
func (a *attempt) returned(resp *http.Response, err error) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = time.Now()
	if err != nil || resp == nil {
		a.failed(err)
		a.finish(a.last)
		return resp, err
	}
	a.status, a.protocol = resp.StatusCode, protocolOf(resp)
	if a.recording {
		a.answered(resp)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		a.errorType = strconv.Itoa(resp.StatusCode)
		if a.own {
			a.span.SetStatus(codes.Error, "")
		}
		if a.recording {
			a.header = resp.Header
		}
	}
	switch {
	case !hasBody(resp):
		a.judge()
		a.finish(a.last)
	case a.own && (a.recording || a.measured), a.header != nil:
		if !a.own {
			a.provisional()
		}
		resp.Body = track(resp.Body, a, true)
	default:
		a.finish(a.last)
	}
	return resp, nil
}

// answered puts the status and the listed headers on the span.
func (a *attempt) answered(resp *http.Response) {
	attrs := make([]attribute.KeyValue, 0, 2+len(a.hook.headers))
	if a.own {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.status))
		if a.protocol != "" {
			attrs = append(attrs, semconv.NetworkProtocolVersion(a.protocol))
		}
	}
	a.span.SetAttributes(a.hook.headerAttributes(attrs, resp.Header)...)
}

// failed takes down an attempt that got no answer, or whose answer broke off. The caller holds mu.
func (a *attempt) failed(err error) {
	if err == nil {
		err = errNoResponse
	}
	d := judge(a.ctx, a.hook.classifier, err)
	if d.Class == errcodes.ClassCanceled && ended(a.ctx) != nil {
		return // the caller left: no error
	}
	a.errorType = d.Class.String()
	if !a.recording {
		return
	}
	a.span.SetAttributes(judgement(&d)...)
	if a.own {
		a.span.SetStatus(codes.Error, errorText(a.hook.redactor, err))
	}
}

// provisional puts on somebody else's span what the status and the headers say, in case it ends before the body does.
func (a *attempt) provisional() {
	d := a.hook.classifier.Body(a.status, a.header, nil)
	a.span.SetAttributes(judgement(&d)...)
}

// judge puts what the failure means on the span, once. The caller holds mu. The classify.Transport above comes to the same
// conclusion from the same bytes, but only after it has read the body, which ends the spans of others.
func (a *attempt) judge() {
	if a.header == nil {
		return
	}
	d := a.hook.classifier.Body(a.status, a.header, a.body)
	a.header, a.body = nil, nil
	a.span.SetAttributes(judgement(&d)...)
}

// read implements watcher.
func (a *attempt) read(p []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = time.Now()
	if a.header != nil {
		a.body = append(a.body, p[:min(len(p), maxJudged-len(a.body))]...)
		if err != nil || len(a.body) == maxJudged {
			a.judge()
		}
	}
	switch {
	case err == nil || a.over:
		return
	case !isEOF(err) && a.errorType == "":
		a.failed(err)
	}
	a.finish(a.last)
}

// closed implements watcher.
func (a *attempt) closed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.judge()
	a.finish(time.Now())
}

// abandoned implements watcher.
func (a *attempt) abandoned() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.judge()
	a.finish(a.last)
}

// panicked ends an attempt whose RoundTrip does not return. The panic goes on.
func (a *attempt) panicked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errorType = errorTypePanic
	a.span.SetStatus(codes.Error, "")
	a.finish(time.Now())
}

// finish ends the attempt, once. The caller holds mu.
func (a *attempt) finish(end time.Time) {
	if a.over {
		return
	}
	a.over = true
	if !a.own {
		return
	}
	if a.recording && a.errorType != "" {
		a.span.SetAttributes(semconv.ErrorTypeKey.String(a.errorType))
	}
	if a.measured {
		a.record(end)
	}
	a.span.End(trace.WithTimestamp(end))
}

// record records http.client.request.duration as the conventions have it.
func (a *attempt) record(end time.Time) {
	attrs := make([]attribute.KeyValue, 0, 6)
	attrs = append(attrs, a.method)
	if a.address != "" {
		attrs = append(attrs, semconv.ServerAddress(a.address))
	}
	if a.port > 0 {
		attrs = append(attrs, semconv.ServerPort(a.port))
	}
	if a.status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.status))
	}
	if a.protocol != "" {
		attrs = append(attrs, semconv.NetworkProtocolVersion(a.protocol))
	}
	if a.errorType != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(a.errorType))
	}
	a.hook.attempt.Record(a.ctx, end.Sub(a.start).Seconds(), metric.WithAttributes(attrs...))
}

// responseHeader is a response header that goes onto spans.
type responseHeader struct {
	name string // as net/http spells it
	key  string // as the conventions do
}

// newHeaders returns the headers that always go, and more.
func newHeaders(more []string) []responseHeader {
	var all []responseHeader
	for _, name := range append([]string{"X-Request-Id", "Request-Id", "Retry-After"}, more...) {
		h := responseHeader{http.CanonicalHeaderKey(name), strings.ToLower(name)}
		if !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

// maxHeaderValues bounds how often a header counts that is repeated.
const maxHeaderValues = 8

// headerAttributes appends the listed headers of h to attrs.
func (h *hook) headerAttributes(attrs []attribute.KeyValue, header http.Header) []attribute.KeyValue {
	for _, want := range h.headers {
		values := header[want.name]
		if len(values) == 0 {
			continue
		}
		cut := make([]string, 0, len(values))
		for _, v := range values[:min(len(values), maxHeaderValues)] {
			cut = append(cut, bounded(v))
		}
		attrs = append(attrs, semconv.HTTPResponseHeader(want.key, cut...))
	}
	return attrs
}
