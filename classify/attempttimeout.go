package classify

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// timed makes one attempt that may take no longer than limit, to the end of the response's body.
func (t *Transport) timed(req *http.Request, limit time.Duration) (*http.Response, error) {
	attempt := &attemptContext{Context: req.Context(), end: time.Now().Add(limit)}
	ctx, cancel := context.WithCancelCause(attempt)
	late := &attemptTimeoutError{limit: limit}
	timer := time.AfterFunc(limit, func() { cancel(late) })
	var asked, connected atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) }, GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}
	sent := outgoing(req.WithContext(httptrace.WithClientTrace(ctx, trace))) //nolint:contextcheck // made of the request's own
	resp, err := t.base().RoundTrip(sent)
	if resp != nil && resp.Request == sent {
		resp.Request = req // whose context does not end with the body
	}
	switch {
	case err != nil || resp == nil:
		inTime := timer.Stop() && time.Now().Before(attempt.end) // a dialler may see the end first
		cancel(nil)
		if !inTime && req.Context().Err() == nil {
			ended := &attemptTimeoutError{limit: limit, connecting: asked.Load() && !connected.Load()}
			resp, _ = oneOf(resp, ended)
			return resp, ended
		}
		return resp, err
	case resp.Body == nil || resp.Body == http.NoBody:
		timer.Stop()
		cancel(nil)
		return resp, nil
	case resp.StatusCode == http.StatusSwitchingProtocols:
		// The body is the connection, and has more methods than a body.
		attempt.lift(timer)
		return resp, nil
	case isOfEvents(resp.Header):
		attempt.lift(timer) // it lasts as long as the answer does
	}
	resp.Body = &timedBody{
		rc: resp.Body, timer: timer, parent: req.Context(), ctx: ctx, cancel: cancel, late: late,
		classifier: t.Classifier, n: ResendCount(req.Context()) + 1, status: resp.StatusCode, id: requestID(resp.Header),
	}
	return resp, nil
}

// attemptContext shows the end of the attempt to whoever asks for a deadline, such as a Transport further down: it must not begin a wait that cannot end.
// That it has come says the context made of it.
type attemptContext struct {
	context.Context

	end    time.Time
	lifted atomic.Bool
}

func (c *attemptContext) Deadline() (time.Time, bool) {
	deadline, ok := c.Context.Deadline()
	if !c.lifted.Load() && (!ok || c.end.Before(deadline)) {
		return c.end, true
	}
	return deadline, ok
}

func (c *attemptContext) lift(timer *time.Timer) {
	timer.Stop()
	c.lifted.Store(true)
}

// isOfEvents reports whether the media type is that of a stream of events, whatever its encoding, its parameters and the status.
func isOfEvents(h http.Header) bool {
	media, _, _ := strings.Cut(header(h, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
}

// attemptTimeoutError is the error of an attempt that took longer than AttemptTimeout.
type attemptTimeoutError struct {
	limit      time.Duration
	connecting bool // there was no connection yet, so nothing was sent
}

func (e *attemptTimeoutError) Error() string {
	if e.connecting {
		return "no connection within " + e.limit.String() + ", the time of one attempt"
	}
	return "no complete answer within " + e.limit.String() + ", the time of one attempt"
}

// Timeout is what [net.Error] asks.
func (*attemptTimeoutError) Timeout() bool { return true }

// Temporary is what [net.Error] asks.
func (*attemptTimeoutError) Temporary() bool { return true }

// timedBody is the body of an attempt with a time limit. The limit ends with the body. It may be read ahead while the response is its
// receiver's already, so it does not look at that.
type timedBody struct {
	rc          io.ReadCloser
	timer       *time.Timer
	parent, ctx context.Context
	cancel      context.CancelCauseFunc
	late        *attemptTimeoutError
	classifier  *Classifier
	n           int
	status      int
	id          string    // what the response calls itself
	earlier     []Attempt // those before this one
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	switch {
	case err == nil:
		return n, nil
	case isEOF(err):
		b.timer.Stop()
		b.cancel(nil)
	case context.Cause(b.ctx) == b.late && b.parent.Err() == nil: //nolint:errorlint // this very error
		d := b.classifier.Err(b.late)
		d.RequestID = firstOf(d.RequestID, b.id)
		err = endOf(d, b.late, b.status, b.n, b.earlier)
	}
	return n, err
}

// isEOF reports whether err is the end of a body, and not a connection's error that wraps it.
func isEOF(err error) bool { return err == io.EOF } //nolint:errorlint // io.Reader: the very value

func (b *timedBody) Close() error {
	b.timer.Stop()
	err := b.rc.Close()
	b.cancel(nil)
	return err
}

// brokenOff returns the end, just now, of a call whose response had begun: attempt n, after earlier ones.
func brokenOff(d Decision, err error, resp *http.Response, n int, earlier []Attempt) *Error {
	if d.RequestID == "" {
		d.RequestID = requestID(resp.Header)
	}
	return endOf(d, err, resp.StatusCode, n, earlier)
}

// endOf is brokenOff for a response that is not to be looked at.
func endOf(d Decision, err error, status, n int, earlier []Attempt) *Error {
	a := Attempt{N: n, Status: status, Code: d.Code, RequestID: d.RequestID, Decision: d, Err: err}
	e := &Error{Decision: d, Stop: StopBegun, Err: err}
	if d.Wait > 0 {
		e.RetryAt = time.Now().Add(d.Wait)
	}
	if len(earlier) == n-1 {
		e.Attempts = append(e.Attempts, earlier...)
	}
	e.Attempts = append(e.Attempts, a)
	return e
}

// requestID returns what a response without an error calls itself.
func requestID(h http.Header) string {
	return valid(firstOf(header(h, "X-Request-Id"), header(h, "Request-Id")))
}
