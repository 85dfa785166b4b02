package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// ErrorWriter knows how to say no: it turns an error into the answer that the provider's registry declares. The zero
// value writes problem details (RFC 9457). Every middleware of this package that can refuse a request is a method on it. Do not
// modify or copy it after its first use; then it is safe for concurrent use.
type ErrorWriter struct {
	// Registry is the vocabulary and the dialect. nil means [errcodes.Problem].
	Registry *errcodes.Registry
	// RegistryFor picks the registry of a request, so that one server speaks several dialects; nil, or a nil result, means Registry.
	// It is called once for each request, before any route has matched, so it can go by path, host and headers, and what it picks
	// holds for 404 and panics too. It is called concurrently.
	RegistryFor func(*http.Request) *errcodes.Registry
	// Observer is told of every refused request; nil for none.
	Observer Observer
	// Logger gets one record for each refused request; its attributes are listed at the top of this package. nil means [slog.Default]; the cause
	// of an error is nowhere but in these records, so silence has to be asked for, with slog.New([slog.DiscardHandler]).
	Logger *slog.Logger
	// RequestIDs says how requests are numbered.
	RequestIDs RequestIDs
	// XAPIKey lets [ErrorWriter.Authenticate] take the key from X-Api-Key as well, which some Anthropic clients
	// send in place of Authorization. Requests whose registry speaks [errcodes.AnthropicDialect] may do so anyway.
	XAPIKey bool
}

// Handler returns a handler that writes the error that h returns, as [ErrorWriter.WriteError] does. When h returns nil, its answer
// stands as h wrote it; an h that wrote nothing has answered 200 with an empty body, as in net/http. Outside of
// [ErrorWriter.Wrap] the handler wraps itself, so that request id, recovery and tracking are always there.
func (ew *ErrorWriter) Handler(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			ew.WriteError(w, r, err)
		}
	})
	return ew.wrapped(inner)
}

// wrapped returns next inside of Wrap, for requests that are not inside of one already.
func (ew *ErrorWriter) wrapped(next http.Handler) http.Handler {
	outer := ew.Wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if responseFrom(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		outer.ServeHTTP(w, r)
	})
}

var errNil = errors.New("middleware: WriteError was called with a nil error")

// WriteError answers r with err. The caller is told what the registry's row and the first *[errcodes.Error] in err's
// tree say, and nothing else of err.
//
//   - An *errcodes.Error is written as its row; a Code that the registry lacks is written as Internal and logged as such.
//   - [http.MaxBytesError] is BodyTooLarge; [context.DeadlineExceeded] and [http.ErrHandlerTimeout] are Timeout.
//   - A request whose context was cancelled for a reason ([context.WithCancelCause]) is that reason, if it is an
//     *errcodes.Error, else Unavailable.
//   - An error of a call to another server (any that has Upstream() ([errcodes.Class], time.Duration), as those of package classify do) is Timeout,
//     or Unavailable with the wait that the other server asked for, or BadGateway, by its class. Nothing that the other server wrote is told, be there an
//     *errcodes.Error in its tree or not; to tell something, wrap it in an *errcodes.Error of your own.
//   - Any other error, nil included, is Internal.
//   - A read of the body that a deadline ended, [http.Server.ReadTimeout] for one, is RequestTimeout.
//   - If the caller has left, or ClientClosed says so, nothing is written and the log says 499; inside of [ErrorWriter.Wrap] the connection is broken.
//
// An answer that has begun is never continued with an error body. If it is an event stream that stands between two events, and its form is known, the error
// becomes its last event; otherwise the connection is broken when the handler returns ([http.ErrAbortHandler]). A [Stream] knows its form. That of a stream
// which the handler writes itself, or a proxy hands on, is told by what has passed: a line of event: makes it [Messages], nothing but lines of data: [Chat];
// before the first event, and after comments and other lines without an event:, it is not known. Whether the answer has
// begun is known only inside of [ErrorWriter.Wrap]; elsewhere WriteError takes it that nothing was written yet.
//
// Nothing that is written to w afterwards reaches the caller; of a writer that somebody has put around that of Wrap this holds as long as it hands on what it gets
// as it is. One that encodes the answer decides itself what becomes of what follows, so do not write after an error.
func (ew *ErrorWriter) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		err = errNil
	}
	ctx := r.Context()
	c := requestFrom(ctx)
	if c != nil && c.response != nil {
		x := c.response
		v := verdict{reg: x.registryOf(ew, r), err: err, slow: x.deaf.Load()}
		v.decide(ctx, x.gone())
		x.refuse(ew, w, factsOf(r), &v)
		return
	}
	if c == nil {
		c = &requestContext{Context: ctx}
		c.assign(&ew.RequestIDs, r, time.Now())
	}
	f := factsOf(r)
	v := verdict{reg: ew.registryFor(r), err: err}
	left := callerGone(ctx)
	if left && endedByDeadline(err) { // nobody has seen which read failed
		v.slow, left = true, false
	}
	v.decide(ctx, left)
	rep := report{c: c, facts: f, outcome: Unsent}
	if !v.gone {
		rep.outcome, rep.sent = Answered, v.row.Status
		rep.hint = ew.write(w, w.Header(), c, &f, &v)
	}
	ew.tell(&rep, &v)
}

// registryFor returns the registry of a request outside of Wrap; never nil, and always one that has a dialect.
func (ew *ErrorWriter) registryFor(r *http.Request) *errcodes.Registry {
	var reg *errcodes.Registry
	if ew.RegistryFor != nil {
		reg = ew.RegistryFor(r)
	}
	return ew.usable(reg)
}

func (ew *ErrorWriter) usable(reg *errcodes.Registry) *errcodes.Registry {
	if reg == nil {
		reg = ew.Registry
	}
	if reg.Dialect() == nil {
		reg = errcodes.Problem()
	}
	return reg
}

func (ew *ErrorWriter) speaksAnthropic(r *http.Request) bool {
	var reg *errcodes.Registry
	if x := responseFrom(r.Context()); x != nil {
		reg = x.registryOf(ew, r)
	} else {
		reg = ew.registryFor(r)
	}
	return isAnthropic(reg)
}

func isAnthropic(reg *errcodes.Registry) bool {
	_, ok := reg.Dialect().(errcodes.AnthropicDialect)
	return ok
}

// responseFrom returns the response of the Wrap that ctx is inside of, nil for none.
func responseFrom(ctx context.Context) *response {
	if c := requestFrom(ctx); c != nil {
		return c.response
	}
	return nil
}

// registryOf returns the registry that ew uses for this request.
func (x *response) registryOf(ew *ErrorWriter, r *http.Request) *errcodes.Registry {
	if owner, registry := x.voice(); ew == owner && registry != nil {
		return registry
	}
	return ew.registryFor(r)
}

// voice returns who speaks for the request, and in which vocabulary.
func (x *response) voice() (*ErrorWriter, *errcodes.Registry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.owner, x.registry
}

// facts is what an answer needs to know of a request. A timer takes it beforehand: the request itself belongs to the
// goroutine of the handler.
type facts struct {
	ctx     context.Context
	route   string
	head    bool
	request *http.Request // nil for a timer, which has asked in its place
	asked   asked
}

func factsOf(r *http.Request) facts {
	return facts{ctx: r.Context(), route: r.Pattern, head: r.Method == http.MethodHead, request: r}
}

// ask returns what the request says about being sent again.
func (f *facts) ask() asked {
	if f.request != nil {
		return askedBy(f.request)
	}
	return f.asked
}

// refuse answers with v, if the state of the response allows, and tells log and observer.
func (x *response) refuse(ew *ErrorWriter, w http.ResponseWriter, f facts, v *verdict) {
	rep := report{c: &x.ctx, facts: f, start: x.start}
	if rep.route == "" {
		rep.route = x.request.Pattern
	}
	if x.answer(ew, w, &rep, v) {
		ew.tell(&rep, v)
	}
}

// answer does what the state of the response allows and reports whether there is something to tell.
func (x *response) answer(ew *ErrorWriter, w http.ResponseWriter, rep *report, v *verdict) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	first := !x.refused
	x.refused = true
	rep.outcome, rep.sent = Unsent, int(x.status)
	switch {
	case x.hijacked || x.closed:
		// A second refusal of one request is the consequence of the first; only a panic is news.
		return first || v.panicked != nil
	case v.gone || x.gone():
		// Without the break net/http would finish the answer cleanly, for whoever still reads.
		x.closed, x.abort = true, true
	case x.status != 0:
		rep.outcome = x.interrupt(v)
	case x.owns(w):
		h := x.headerForError()
		if v.row.Code == errcodes.Timeout && x.clock != nil {
			x.clock.part(h) // the handler was quicker than the clock
		}
		rep.hint = ew.write((*unguarded)(x), h, &x.ctx, &rep.facts, v)
		rep.outcome, rep.sent, x.closed = Answered, v.row.Status, true
	default:
		// Somebody wrapped the writer and wants to see what passes. Whatever stands between decides when it writes, so
		// the response stays open, as far as the Content-Length if that arrives.
		x.relaying, x.relayed = true, v.reg.Dialect().ContentType()
		passed := -x.passed
		rep.outcome, rep.sent = Answered, v.row.Status
		func() {
			x.mu.Unlock()
			defer x.mu.Lock()
			rep.hint = ew.write(w, w.Header(), &x.ctx, &rep.facts, v)
		}()
		if passed += x.passed; passed > 0 && passed == rep.size {
			x.closed = true // it hands on at once what it gets, and has taken the Content-Length off
		}
	}
	if x.stream != nil {
		x.stream.stop()
	}
	return true
}

// headerForError returns the headers that an error goes out with: those of the handler.
func (x *response) headerForError() http.Header {
	x.publish()
	return x.base.Header()
}

// interrupt ends an answer that has begun: with an event where one can follow, else by breaking the connection.
func (x *response) interrupt(v *verdict) Outcome {
	x.closed = true
	form, known := x.lines.form()
	if x.stream != nil && x.stream.begun {
		form, known = x.stream.form, true
	}
	if !x.sse || !known || !x.betweenEvents() {
		x.abort = true
		return Aborted
	}
	buf := buffers.Get().(*buffer) //nolint:forcetypeassert // Nothing else is put there.
	defer buf.free()
	buf.b = appendErrorEvent(buf.b[:0], form, v, x.ctx.id[0])
	_, err := x.base.Write(buf.b)
	if err == nil {
		err = x.flush()
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		x.abort = true
		return Aborted
	}
	return Event
}

// Headers that a handler may have set for the answer that it did not give.
var staleHeaders = [...]string{
	"Accept-Ranges", "Content-Digest", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Md5", "Content-Range", "Digest",
	"Etag", "Expires", "Last-Modified", "Location", "Repr-Digest", "Retry-After", "Trailer", "Transfer-Encoding", "X-Should-Retry",
}

var (
	valueNoStore = []string{"no-store"}
	valueNoSniff = []string{"nosniff"}
	valueBearer  = []string{"Bearer"}
	valueFalse   = []string{"false"}
	valueJSON    = []string{"application/json"}
	valueProblem = []string{"application/problem+json"}
	valueClose   = []string{"close"}
)

// write writes the whole answer. It does not fail: what cannot be encoded is replaced by a fixed body.
func (ew *ErrorWriter) write(w http.ResponseWriter, h http.Header, c *requestContext, f *facts, v *verdict) hint {
	wait := v.wait
	if v.public != nil {
		wait = v.public.RetryAfter
	}
	var a asked
	if v.row.MaybeExecuted || v.row.Retry == errcodes.RetryOnce {
		a = f.ask()
	}
	advice := advise(&v.row, wait, a)
	if v.veto {
		advice = hint{veto: true, long: v.row.Retry == errcodes.RetryBackoff}
	}
	body := v.row.Body(v.public, c.id[0])
	body.RetryAfter = advice.wait
	if advice.long {
		body.Message = waitSentence(&v.row, v.public, advice.wait)
	}
	dialect := v.reg.Dialect()
	buf := buffers.Get().(*buffer) //nolint:forcetypeassert // Nothing else is put there.
	defer buf.free()
	buf.encode(dialect, &body)

	extent := h["Content-Range"]
	removeStale(h)
	if v.row.Status == http.StatusRequestedRangeNotSatisfiable && len(extent) == 1 && strings.HasPrefix(extent[0], "bytes */") {
		h["Content-Range"] = extent // how long what was asked for is (RFC 9110 section 15.5.17)
	}
	c.announce(h, ew.RequestIDs.Short || isAnthropic(v.reg))
	h["Content-Type"] = contentType(dialect)
	h["Content-Length"] = number(len(buf.b))
	h["Cache-Control"] = valueNoStore
	h["X-Content-Type-Options"] = valueNoSniff
	if advice.seconds > 0 {
		h["Retry-After"] = number(advice.seconds)
	}
	if advice.veto {
		h["X-Should-Retry"] = valueFalse
	}
	if v.row.Status == http.StatusUnauthorized && len(h["Www-Authenticate"]) == 0 {
		h["Www-Authenticate"] = valueBearer
	}
	advice.size = len(buf.b)
	w.WriteHeader(v.row.Status)
	if !f.head {
		_, _ = w.Write(buf.b) // the caller may have left meanwhile; there is nobody to tell
	}
	return advice
}

// removeStale removes staleHeaders. Few headers are set by then, so it looks at those rather than for all; mostly it is the id alone.
func removeStale(h http.Header) {
	if len(h) == 1 && len(h[headerRequestID]) > 0 {
		return
	}
	for k := range h {
		for _, stale := range staleHeaders {
			if k == stale {
				delete(h, k)
				break
			}
		}
	}
}

func contentType(d errcodes.Dialect) []string {
	switch ct := d.ContentType(); ct {
	case valueJSON[0]:
		return valueJSON
	case valueProblem[0]:
		return valueProblem
	default:
		return []string{ct}
	}
}

// numbers are the header values of small numbers, so that an answer need not make them.
var numbers = sync.OnceValue(func() []string {
	values := make([]string, 1024)
	for n := range values {
		values[n] = strconv.Itoa(n)
	}
	return values
})

func number(n int) []string {
	if values := numbers(); n < len(values) {
		return values[n : n+1 : n+1]
	}
	return []string{strconv.Itoa(n)}
}

// buffer holds one encoded answer.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 1024)} }}

func (buf *buffer) free() {
	const keep = 64 << 10
	if cap(buf.b) <= keep {
		buffers.Put(buf)
	}
}

// fallback is written when a dialect cannot encode. It suits every client that expects {"error":{...}}.
const fallback = `{"error":{"message":"The request was refused, and the reason could not be written.","type":"server_error"}}`

// encode fills buf. Dialects are an interface that anybody implements, so one that panics is survived.
func (buf *buffer) encode(d errcodes.Dialect, body *errcodes.Body) {
	defer func() {
		if recover() != nil || len(buf.b) == 0 {
			buf.b = append(buf.b[:0], fallback...)
		}
	}()
	b := buf.b
	buf.b = buf.b[:0]
	buf.b = d.Append(b[:0], *body)
}

// causeText returns what err says, for the log: bounded, and whatever err does.
func causeText(err error) string { return bounded(textOf(err)) }

func textOf(err error) (s string) {
	defer func() {
		if recover() != nil {
			s = "the error panicked when asked for its text"
		}
	}()
	if err == nil {
		return ""
	}
	return err.Error()
}

// maxCause bounds a cause in a log record, in bytes.
const maxCause = 4 << 10

func bounded(s string) string {
	if len(s) > maxCause {
		return strings.ToValidUTF8(s[:maxCause], "") + " (truncated)"
	}
	return s
}
