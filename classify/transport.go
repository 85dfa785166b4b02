package classify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/errwire/errwire/errcodes"
)

// Transport is an [http.RoundTripper] that sends a request again when, and only when, that can help,
// and never earlier than the server asked. The zero value is a sound client. It is safe for concurrent use as long as
// its fields do not change.
//
//	client := &http.Client{Transport: &classify.Transport{}}
//
// # What is sent again
//
// What the [Classifier] calls RetryOnce (a plain 500: twice in all), RetryBackoff (as often as MaxAttempts
// says), and RetryChanged if MutateRequest is set. Failures are counted by kind as well as by
// call: 500, 429, 500 ends at the second 500. A request with a body needs GetBody, as [http.NewRequest] sets it. A
// request that may have been executed is sent again only if its method is idempotent (RFC 9110 section
// 9.2.2) or it carries an Idempotency-Key. A request that carries X-Stainless-Retry-Count of 1 or more, or that comes from
// another Transport's second attempt, gets one attempt: somebody else is retrying already.
//
// # How long it waits
//
// As long as the server asked, else 1 s, 2 s, 4 s, in either case plus up to a tenth (at most 1 s) by chance. If the wait asked for is longer than
// MaxWait, or ends after the deadline of the request's context, the call ends at once, with
// the provider's answer, and [Error.RetryAt] says when to come back.
//
// # What the caller gets
//
// The last response, untouched but for X-Should-Retry: false in its header, so that a client
// library on top does not start again; its body is complete. [ErrorOf] gives the judgement behind it, [AttemptsOf] every attempt
// of a call that had more than one. An error only when no response arrived last; it is an *[Error].
//
// Put a Transport inside, not around, what must happen once per attempt, such as signing. A deadline of
// [http.Client.Timeout] spans all attempts and waits.
type Transport struct {
	// Base sends the attempts; nil means [http.DefaultTransport].
	Base http.RoundTripper
	// Classifier judges the failures; nil means the zero Classifier.
	Classifier *Classifier
	// NewBackOff makes the backoff policy of one call, used where the server states no wait; nil
	// means 1 s, 2 s, 4 s and so on. It is asked once before each further attempt, and its Stop ends the call.
	// What it returns needs no locks. It should not jitter downward.
	NewBackOff func() backoff.BackOff
	// MaxAttempts bounds the attempts of a call, the first included; 0 means 4, 1 means no retry.
	MaxAttempts int
	// MaxWait is the longest single wait; 0 means 60 s. A longer one ends the call at once.
	MaxWait time.Duration
	// AttemptTimeout bounds each attempt, from sending to the response's headers; 0 means no bound but the request's context. It
	// does not run while the Transport waits nor while the body is read, so that streams may last. An attempt that ran out
	// of time is a timeout that may have been executed.
	AttemptTimeout time.Duration
	// MutateRequest turns a request whose failure asks for a changed one (RetryChanged) into that
	// one. It gets a clone with a fresh body, which it may change and return; nil, nil says that there is nothing to change, and
	// ends the call. See [LowerMaxTokens] and [SetStream]. nil ends such calls with Decision.Advice.
	MutateRequest func(*http.Request, Decision) (*http.Request, error)
	// IdempotencyKeys adds an Idempotency-Key to requests whose method is not idempotent and that have none: one key
	// per call, the same on every attempt. It is the caller's word that the server honours them. With it, net/http itself
	// sends a request again when a reused connection turns out to be dead; such a repeat is not counted.
	IdempotencyKeys bool
	// ReplayAmbiguous sends requests again although they may have been executed.
	ReplayAmbiguous bool
	// Observer sees the calls that did not succeed at once; nil for none.
	Observer Observer
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var start time.Time
	if t == nil {
		t = &Transport{}
	}
	if t.Observer != nil {
		start = time.Now()
	}
	if t.IdempotencyKeys && !replayable(req) {
		req = keyed(req)
	}
	resp, err := t.send(req)
	if err == nil && resp != nil && resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	c := call{t: t, first: req, current: req}
	return c.run(start, resp, err)
}

// send makes one attempt.
func (t *Transport) send(req *http.Request) (*http.Response, error) {
	if t.AttemptTimeout <= 0 {
		return t.base().RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	late := &attemptTimeoutError{t.AttemptTimeout}
	timer := time.AfterFunc(t.AttemptTimeout, func() { cancel(late) })
	resp, err := t.base().RoundTrip(req.WithContext(ctx))
	inTime := timer.Stop()
	switch {
	case !inTime && req.Context().Err() == nil:
		// Also a response that came at the very moment: its body is cancelled already.
		resp, _ = oneOf(resp, late)
		return resp, late
	case err != nil || resp == nil:
		cancel(nil)
		return resp, err
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return resp, nil // the body is the connection, and has more methods than a body
	}
	resp.Body = &cancelBody{resp.Body, cancel}
	return resp, nil
}

// attemptTimeoutError is the error of an attempt that took longer than AttemptTimeout.
type attemptTimeoutError struct{ limit time.Duration }

func (e *attemptTimeoutError) Error() string {
	return "no answer within " + e.limit.String() + ", the time of one attempt"
}

// Timeout is what [net.Error] asks.
func (*attemptTimeoutError) Timeout() bool { return true }

// Temporary is what [net.Error] asks.
func (*attemptTimeoutError) Temporary() bool { return true }

// cancelBody frees the context of its attempt when it is closed.
type cancelBody struct {
	io.ReadCloser

	cancel context.CancelCauseFunc
}

func (b *cancelBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// CloseIdleConnections closes the idle connections of Base, as [http.Client.CloseIdleConnections] asks.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t == nil || t.Base == nil {
		return http.DefaultTransport //nolint:forbidigo // the default of every RoundTripper that wraps another
	}
	return t.Base
}

func (t *Transport) maxAttempts() int {
	if t.MaxAttempts <= 0 {
		return defaultMaxAttempts
	}
	return t.MaxAttempts
}

func (t *Transport) maxWait() time.Duration {
	if t.MaxWait <= 0 {
		return defaultMaxWait
	}
	return t.MaxWait
}

// attemptKey finds the number of the attempt in the context of the attempts after the first.
type attemptKey struct{}

// ResendCount returns how many attempts of the same call went before the request with this context: 0 for a
// first attempt and outside of a Transport. It is the value of http.request.resend_count.
func ResendCount(ctx context.Context) int {
	n, _ := ctx.Value(attemptKey{}).(int)
	return n
}

// call is one logical call whose first attempt failed.
type call struct {
	t        *Transport
	first    *http.Request // what the caller sent; never changed
	current  *http.Request // what the next attempt is made of; first, or what MutateRequest made
	attempts []Attempt
	waited   time.Duration
	pacer    pacer
}

// verdict is what follows from a failure: another attempt after wait, or the end.
type verdict struct {
	stop    Stop
	wait    time.Duration // without jitter
	jitter  time.Duration
	from    Source
	retryAt time.Time
	next    *http.Request
	err     error // why MutateRequest failed
}

func (c *call) run(start time.Time, resp *http.Response, err error) (*http.Response, error) {
	ctx := c.first.Context()
	waited, from := time.Duration(0), SourceNone
	for {
		received := time.Now()
		resp, err = oneOf(resp, err)
		a := Attempt{N: len(c.attempts) + 1, Waited: waited, WaitFrom: from, Err: err}
		if !start.IsZero() {
			a.Took = received.Sub(start)
		}
		if err == nil && resp.StatusCode < http.StatusBadRequest {
			return c.succeed(a, resp), nil
		}
		if inner := innerError(resp, err); inner != nil && len(c.attempts) == 0 {
			// A Transport further down has done all this.
			return resp, err
		}
		if err != nil {
			a.Decision = c.t.Classifier.Err(err)
		} else {
			a.Decision = c.t.Classifier.Response(resp)
			a.Status, a.Code, a.RequestID = resp.StatusCode, a.Decision.Code, a.Decision.RequestID
		}
		c.attempts = append(c.attempts, a)

		v := c.next(&a, resp, received)
		if v.stop != StopNone {
			c.observe(&a, 0, SourceNone, true)
			return c.end(&a, resp, &v)
		}
		waited, from = v.wait+v.jitter, v.from
		c.observe(&a, waited, from, false)
		if resp != nil {
			drain(resp.Body)
		}
		if !sleep(c.first, waited-time.Since(received)) {
			closeBody(v.next)
			// Observers know of this attempt already.
			return c.end(&a, nil, &verdict{stop: StopCanceled, retryAt: v.retryAt, err: ctxError(ctx)})
		}
		c.waited += waited
		start = time.Now()
		resp, err = c.t.send(v.next)
	}
}

// oneOf holds a base to the contract of RoundTripper: a response or an error.
func oneOf(resp *http.Response, err error) (*http.Response, error) {
	switch {
	case err != nil:
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		return nil, err
	case resp == nil:
		return nil, errors.New("classify: the base RoundTripper returned neither a response nor an error")
	}
	return resp, nil
}

// innerError returns what a Transport further down concluded.
func innerError(resp *http.Response, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return ErrorOf(resp)
}

// next decides what follows from the failure a. It sends nothing and waits for nothing.
func (c *call) next(a *Attempt, resp *http.Response, received time.Time) verdict {
	d := &a.Decision
	var v verdict
	if d.Wait > 0 {
		v.retryAt = received.Add(d.Wait)
	}
	if v.stop = c.refusal(a, resp); v.stop != StopNone {
		return v
	}
	if c.pacer.policy == nil {
		c.pacer = newPacer(c.first.Context(), c.t.NewBackOff, c.t.maxWait())
	}
	pause, ok := c.pacer.next()
	switch {
	case !ok:
		v.stop = StopBackOff
		return v
	case d.Wait > 0:
		v.wait, v.from = d.Wait, d.WaitFrom
	case d.Retry == errcodes.RetryChanged:
		// A changed request is a new one: nothing says that it comes too early.
	default:
		v.wait, v.from = min(pause, c.t.maxWait()), SourceBackoff
	}
	if v.wait > c.t.maxWait() {
		v.stop = StopWait
		return v
	}
	v.jitter = jitter(v.wait)
	if deadline, ok := c.first.Context().Deadline(); ok {
		left := deadline.Sub(received)
		if v.wait >= left {
			v.stop = StopDeadline
			return v
		}
		v.jitter = min(v.jitter, (left-v.wait)/2)
	}
	v.next, v.stop, v.err = c.again(a)
	return v
}

// refusal returns why there is no further attempt, whatever the wait; StopNone if there may be one.
func (c *call) refusal(a *Attempt, resp *http.Response) Stop {
	d := &a.Decision
	switch {
	case c.first.Context().Err() != nil:
		return StopCanceled
	case d.Vetoed && d.Safety == MaybeExecuted && !replayable(c.current):
		return StopUnsafe
	case d.Vetoed && (d.Rule == ruleVeto || d.Retry != errcodes.RetryNever && d.Retry != errcodes.RetryChanged):
		return StopVeto
	case d.Retry == errcodes.RetryNever, resp == nil && !sendable(c.current):
		return StopNever
	case nested(c.first) || innerError(resp, a.Err) != nil:
		return StopNested
	case d.Retry == errcodes.RetryChanged && c.t.MutateRequest == nil:
		return StopUnchanged
	case a.N >= c.t.maxAttempts():
		return StopAttempts
	case d.MaxAttempts > 0 && c.failures(d) >= d.MaxAttempts:
		return StopClass
	case d.Safety == MaybeExecuted && !c.t.ReplayAmbiguous && !replayable(c.current):
		return StopUnsafe
	case hasBody(c.current) && c.current.GetBody == nil:
		return StopBody
	}
	return StopNone
}

// failures counts the attempts of this call that failed like d.
func (c *call) failures(d *Decision) int {
	n := 0
	for i := range c.attempts {
		if o := &c.attempts[i].Decision; o.Class == d.Class && o.Retry == d.Retry {
			n++
		}
	}
	return n
}

// again makes the request of the next attempt.
func (c *call) again(a *Attempt) (*http.Request, Stop, error) {
	ctx := context.WithValue(c.first.Context(), attemptKey{}, a.N)
	req := c.current.WithContext(ctx)
	req.Header = c.current.Header.Clone()
	if hasBody(c.current) {
		body, err := c.current.GetBody()
		if err != nil {
			return nil, StopBody, err
		}
		req.Body = body
	}
	if a.Decision.Retry != errcodes.RetryChanged {
		return req, StopNone, nil
	}
	changed, err := c.t.MutateRequest(req, a.Decision)
	switch {
	case err != nil:
		closeBody(req)
		return nil, StopMutateHook, err
	case changed == nil:
		closeBody(req)
		return nil, StopUnchanged, nil
	}
	if changed != req {
		if changed.Body != req.Body {
			closeBody(req)
		}
		if ResendCount(changed.Context()) != a.N {
			changed = changed.WithContext(ctx)
		}
	}
	c.current = changed
	return changed, StopNone, nil
}

// succeed hands out a response that came after failures, with the history behind it.
func (c *call) succeed(a Attempt, resp *http.Response) *http.Response {
	a.Status = resp.StatusCode
	a.RequestID = resp.Header.Get("X-Request-Id")
	if a.RequestID == "" {
		a.RequestID = resp.Header.Get("Request-Id")
	}
	c.attempts = append(c.attempts, a)
	c.observe(&a, 0, SourceNone, true)
	c.done(nil)
	return c.attach(resp, nil)
}

// end ends a call that failed: with the response if there is one, else with an error.
func (c *call) end(a *Attempt, resp *http.Response, v *verdict) (*http.Response, error) {
	e := &Error{Decision: a.Decision, Stop: v.stop, Attempts: c.attempts, RetryAt: v.retryAt, Err: a.Err}
	if v.err != nil {
		e.Err = errors.Join(a.Err, v.err)
	}
	c.done(e)
	if resp == nil {
		return nil, e
	}
	resp = c.attach(resp, e)
	resp.Header = resp.Header.Clone()
	if resp.Header == nil {
		resp.Header = make(http.Header, 1)
	}
	resp.Header.Set("X-Should-Retry", "false")
	return resp, nil
}

// attach returns a shallow copy of resp that leads to the history.
func (c *call) attach(resp *http.Response, e *Error) *http.Response {
	req := resp.Request
	if req == nil {
		req = c.current
	}
	r := *resp
	r.Request = req.WithContext(context.WithValue(req.Context(), historyKey{}, &history{attempts: c.attempts, err: e}))
	return &r
}

func (c *call) observe(a *Attempt, wait time.Duration, from Source, last bool) {
	if c.t.Observer != nil {
		c.t.Observer.Attempt(c.first.Context(), &AttemptEvent{Attempt: *a, Wait: wait, WaitFrom: from, Last: last})
	}
}

func (c *call) done(e *Error) {
	if c.t.Observer != nil {
		c.t.Observer.Done(c.first.Context(), &DoneEvent{Attempts: c.attempts, Waited: c.waited, Err: e})
	}
}

// sleep waits for d; false if the request was cancelled first.
func sleep(req *http.Request, d time.Duration) bool {
	ctx := req.Context()
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-req.Cancel: //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
		return false
	}
}

// ctxError returns the error of a wait that was cut short, with its cause.
func ctxError(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return context.Canceled
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// nested reports whether a retry loop around this call is at its second attempt or beyond.
func nested(req *http.Request) bool {
	if ResendCount(req.Context()) > 0 {
		return true
	}
	n, err := strconv.Atoi(req.Header.Get("X-Stainless-Retry-Count"))
	return err == nil && n > 0
}

// replayable reports whether the request may be executed twice: RFC 9110 section 9.2.2, or a key.
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

// sendable reports whether the request could ever have been sent over HTTP.
func sendable(req *http.Request) bool {
	return req.URL != nil && req.URL.Host != "" && (req.URL.Scheme == "http" || req.URL.Scheme == "https")
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeBody(req *http.Request) {
	if req != nil && req.Body != nil {
		req.Body.Close()
	}
}

// keyed returns a copy of req with a fresh Idempotency-Key.
func keyed(req *http.Request) *http.Request {
	r := req.WithContext(req.Context())
	r.Header = req.Header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header, 1)
	}
	r.Header.Set("Idempotency-Key", rand.Text())
	return r
}
