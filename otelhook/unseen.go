package otelhook

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
)

// unseen makes a call of which the providers make nothing, and which therefore costs next to nothing as long as it succeeds. What the Logger may have to be
// told is put together when there is something to tell. op is nil if nobody has asked for it yet.
func (rt *roundTripper) unseen(req *http.Request, op *operation) (*http.Response, error) {
	h, ctx := rt.hook, req.Context()
	if h.log == nil {
		return rt.transport.RoundTrip(req)
	}
	if op == nil {
		op = h.operations.find(req)
	}
	var c *call
	if rt.transport.Gate != nil || op != h.operations.fixed && h.log.Enabled(ctx, slog.LevelDebug) {
		// How long a Gate let it wait is in no result, and the record before a wait finds the operation nowhere else.
		c = h.unseenCall(ctx, op)
		req = req.WithContext(c)
	}
	resp, err := rt.transport.RoundTrip(req)
	switch {
	case err != nil || resp.StatusCode >= http.StatusBadRequest:
		if c == nil {
			c = h.unseenCall(ctx, op)
		}
		c.cancel = req.Cancel //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
		c.settle(resp, err)
	case hasBody(resp):
		b := &unseenBody{ReadCloser: resp.Body, hook: h, op: op, req: req, resp: resp}
		resp.Body = b
		if w, ok := b.ReadCloser.(io.Writer); ok {
			resp.Body = struct {
				*unseenBody
				io.Writer
			}{b, w}
		}
	}
	return resp, err
}

// unseenCall returns a call for the Logger alone.
func (h *hook) unseenCall(ctx context.Context, op *operation) *call {
	return &call{Context: ctx, hook: h, op: op, unseen: true}
}

// unseenBody is the body of a response of which only the Logger hears, and only if it breaks off.
type unseenBody struct {
	io.ReadCloser

	hook *hook
	op   *operation
	req  *http.Request
	resp *http.Response
	over atomic.Bool // Read and Close may meet
}

func (b *unseenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !b.over.Swap(true) && !isEOF(err) {
		b.broken(err)
	}
	return n, err
}

func (b *unseenBody) Close() error {
	b.over.Store(true)
	return b.ReadCloser.Close()
}

func (b *unseenBody) broken(err error) {
	c := b.hook.unseenCall(b.req.Context(), b.op)
	c.cancel = b.req.Cancel //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
	c.sent.Store(1)         // one that had more says so in its history
	c.settle(b.resp, nil)
	c.read(nil, err)
}

// carries reports whether ctx has something that a propagator hands on.
func carries(ctx context.Context) bool {
	return trace.SpanContextFromContext(ctx).IsValid() || baggage.FromContext(ctx).Len() > 0
}

// hand sends an attempt that nobody sees. What came from the caller is handed on, as the specification asks of an API without an SDK.
func (s *sender) hand(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if s.hook.instrumented || !carries(ctx) {
		return s.next.RoundTrip(req)
	}
	o := &handed{from: req}
	s.hook.propagator.Inject(ctx, o)
	if o.sent.Header == nil {
		return s.next.RoundTrip(req)
	}
	return s.next.RoundTrip(&o.sent)
}

// handed is a request as its own carrier of a context. A RoundTripper may not change the request that it is given, so what is sent is a
// copy, made when there is something to put into it.
type handed struct {
	from *http.Request
	sent http.Request
}

var _ propagation.TextMapCarrier = (*handed)(nil)

// Get implements [propagation.TextMapCarrier].
func (o *handed) Get(key string) string { return propagation.HeaderCarrier(o.header()).Get(key) }

// Set implements [propagation.TextMapCarrier].
func (o *handed) Set(key, value string) {
	if o.sent.Header == nil {
		o.sent = *o.from
		if o.sent.Header = o.from.Header.Clone(); o.sent.Header == nil {
			o.sent.Header = make(http.Header, 2)
		}
	}
	o.sent.Header.Set(key, value)
}

// Keys implements [propagation.TextMapCarrier].
func (o *handed) Keys() []string { return propagation.HeaderCarrier(o.header()).Keys() }

func (o *handed) header() http.Header {
	if o.sent.Header != nil {
		return o.sent.Header
	}
	return o.from.Header
}

// unseenWait tells the Logger of a wait in a call that nobody else hears of.
func (h *hook) unseenWait(ctx context.Context, e *classify.AttemptEvent) {
	if h.log != nil && h.log.Enabled(ctx, slog.LevelDebug) {
		h.unseenCall(ctx, h.operations.fixed).wait(e)
	}
}
