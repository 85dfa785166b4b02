package classify

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/errwire/errwire/errcodes"
)

// Transport is an [http.RoundTripper] that sends a request again when, and only when, that can help,
// and never earlier than the server asked. The zero value is a sound client. It is safe for concurrent use as long as
// its fields do not change, and must not be copied after first use.
//
//	client := &http.Client{Transport: &classify.Transport{}}
//
// # What is sent again
//
// What the [Classifier] calls RetryOnce (a plain 500: twice in all), RetryBackoff (as often as MaxAttempts
// says), and RetryChanged if MutateRequest is set. Failures are counted by kind as well as by
// call: 500, 429, 500 ends at the second 500. A plain 500 counts together with every 500 before it, also one that is RetryBackoff because it says more; and
// a 500 that states a wait (Retry-After: 1) together with a plain one before it. A stated wait of 0 is none. A request with a body needs GetBody, as [http.NewRequest] sets it, or BufferBody. A
// request that may have been executed is sent again only if its method is idempotent (RFC 9110 section
// 9.2.2) or it carries an Idempotency-Key: one whose connection broke or went silent after it was sent, and one whose answer a registry marks as
// MaybeExecuted, as Runbase's does a 500 and a 504. A request whose own body failed is not sent again. Where that cannot be told, because GetBody and
// ContentLength were set by hand for an [io.NopCloser] around something else than memory or a file, a first attempt without a connection passes for one
// that may have been executed. Any other answer counts as a refusal, so that without such a row a POST goes out again after
// a 500, a 502 or a 504. A request that carries X-Stainless-Retry-Count of 1 or more, or that comes from
// another Transport's second attempt, gets one attempt: somebody else is retrying already. All retries together are
// bounded by Budget. A request that net/http refuses to send for its method, header or URL, such as one with a key that ends in a newline, is a fault of the
// program: nothing was sent, and nothing is tried again.
//
// What nobody here sees: over HTTP/2 an [http.Transport] sends again by itself, within an attempt, a stream that the server refused, that came behind its
// GOAWAY, or that ended with PROTOCOL_ERROR. The last may come behind the work, and yet it goes for every method, without a pause and without an
// end but that of the request's context. With a key and a body the sends are bounded, see IdempotencyKeys; a request without a key, or one without a body, is not
// kept from it.
//
// # How long it waits
//
// As long as the server asked, else 1 s, 2 s, 4 s, in either case plus up to a tenth (at most 1 s) by chance; a request that MutateRequest changed goes
// out at once where no wait is stated. If the wait asked for is longer than
// MaxWait, or ends after the deadline of the request's context, the call ends at once (a body that stalls behind such headers gets half a second), with
// the provider's answer, and [Error.RetryAt] says when to come back. A date in Retry-After is measured against the response's Date, as the clocks
// of the two machines may disagree; without a Date it is ignored.
//
// # What the caller gets
//
// The last response, untouched but for X-Should-Retry: false in its header, so that a client
// library on top does not start again (see below for the exception); its body is complete. [ErrorOf] gives the judgement behind it, [AttemptsOf] every attempt
// of a call that had more than one. An error only when no response arrived last, when the caller gave up while waiting, when a Gate let
// nothing through, or when BufferBody could not read the request's body; it is an *[Error].
//
// What must happen once per attempt, such as signing, belongs inside, in Base; what must happen once per call goes around.
//
// # Under an http.Client
//
// A [http.Client.Timeout] spans all attempts and waits. It is understood like the deadline of a context: a wait that does not fit is not
// begun, and the Error names it. But when it cuts an attempt short, net/http keeps of the Error
// only the text. A deadline in the request's context keeps it whole, and AttemptTimeout bounds one attempt.
//
// # Under a client library
//
// A library that obeys X-Should-Retry, such as openai-go or anthropic-sdk-go, leaves every answer to the Transport. After an attempt without an
// answer it tries again by itself, and says so in X-Stainless-Retry-Count. From then on it is the one that decides: each of its tries gets one attempt, and where
// another could help X-Should-Retry stays what the server said, for up to MaxAttempts tries of the library. With its own retries set to 0 the Transport alone decides.
//
// A loop that knows neither header, such as that of go-retryablehttp or failsafe-go, does not see that the Transport has tried already, and multiplies
// its attempts. One of the two is to retry: turn that loop off, or set MaxAttempts to 1.
type Transport struct {
	// Base sends the attempts; nil means [http.DefaultTransport].
	Base http.RoundTripper
	// Classifier judges the failures; nil means the zero Classifier.
	Classifier *Classifier
	// NewBackOff makes the backoff policy of one call, used where the server states no wait; nil
	// means 1 s, 2 s, 4 s and so on. It is asked once before each further attempt, and its Stop ends the call.
	// What it returns needs no locks. It should not jitter downward.
	NewBackOff func() backoff.BackOff
	// MaxAttempts bounds the attempts of a call, the first included; 0 or less means 4, 1 means no retry.
	MaxAttempts int
	// MaxWait is the longest wait that a server may ask for; 0 or less means 60 s. If it asks for a longer one, the call ends at once. The waits of
	// NewBackOff, and the default's, are cut to it. What chance adds, up to a tenth and at most 1 s, comes on top of either.
	MaxWait time.Duration
	// AttemptTimeout bounds each attempt, from sending to the end of the response's body; 0 or less means no bound but the request's context. Of
	// a response whose media type is text/event-stream it bounds only the time to the headers, whatever its status and encoding. It
	// does not run while the Transport waits. An attempt that ran out of time before its headers is a timeout that may have been
	// executed, and before it had a connection one that was not sent; later, reading the body ends with an *[Error].
	AttemptTimeout time.Duration
	// BufferBody is how many bytes of a request body without GetBody are read into memory before the first attempt, so that the request can be
	// sent again. 0 or less means none, and one attempt. A longer body is sent once, as it comes. A body that fails, or is not as long as
	// ContentLength says, ends the call before anything is sent; so does the end of the context, in the middle of a read if need be: the body is then
	// closed, and its Read should return. AttemptTimeout does not run meanwhile. Trailers that reading the body fills in go out with each attempt.
	BufferBody int64
	// MutateRequest turns a request whose failure asks for a changed one (RetryChanged) into that
	// one. It gets a clone with a fresh body, which it may change in every part and return; nil, nil says that there is nothing to change, and
	// ends the call. See [LowerMaxTokens] and [SetStream]. nil ends such calls with Decision.Advice.
	//
	// Whoever gives it another Body closes the one before, and sets ContentLength and GetBody with it. Without a GetBody of its own a changed
	// body goes out once: the next failure ends the call with StopBody, and the old body is not sent in its place.
	//
	// With IdempotencyKeys a changed request goes out with a fresh key, whatever of it was changed, unless MutateRequest set one or the key is
	// the caller's. That is left alone: where the server holds a key to one body, as most do, MutateRequest must set another one. A changed
	// request whose method is not idempotent and that has no key, because it was made anew or was a GET before, gets one too.
	//
	// Only a row of a registry among the Classifier's can ask for it. Of those of package errcodes that is RunInfra's 504 alone: no other provider
	// documents such a rule, so without a registry that has one MutateRequest is never called. Give a row of another provider the rule with
	// [errcodes.Registry.With].
	MutateRequest func(*http.Request, Decision) (*http.Request, error)
	// IdempotencyKeys adds an Idempotency-Key to requests whose method is not idempotent and that have none, in whatever spelling of the name; a blank one
	// is none. It is one key per call, the same on every attempt up to a request that MutateRequest changed, which gets another. It is the caller's word
	// that the server honours them.
	// A redirect that an [http.Client] follows is a call of its own, with a key of its own.
	//
	// An [http.Transport] sends requests with such a header again by itself, when a connection that was used before turns out to be dead. Whoever
	// added the header, they are kept from that, because nobody would count that attempt or wait before it: they go out with one key, and the header's name in
	// lower case, which is the same to a server (RFC 9110 section 5.1) but not to [http.Header.Get] in a Base of yours. What an
	// [http.Transport] takes for not processed over HTTP/2, a stream that the server refused, that came behind its GOAWAY or that ended with PROTOCOL_ERROR, it goes
	// on to send again within the attempt. Of a request with a key and a body it sends at most 8 streams, the second at once and the others after a pause
	// of 50 ms, 100 ms and so on, plus up to as much by chance; the ninth is an error that may have been executed. A request that got no stream, because the connection was full or dead, does not count.
	IdempotencyKeys bool
	// ReplayAmbiguous sends requests again although they may have been executed.
	ReplayAmbiguous bool
	// StreamErrors ends the body of a 200 response that is a stream of events (text/event-stream) with an *[Error] where an event reports
	// an error, in place of that event, and where the stream ends without its terminal event. These are known:
	//
	//   - data: [DONE], or in its place a finish_reason of every choice or a finishReason of every candidate (Gemini) that had begun, also where they stand in
	//     a response, an output (DashScope), data or a list; those with an index of 255 and more count as one
	//   - message_stop (Anthropic)
	//   - response.completed and response.incomplete (OpenAI Responses), transcript.text.done, speech.audio.done, image_generation.completed and
	//     image_edit.completed
	//   - message-end, and in v1 stream-end (Cohere)
	//   - done (OpenAI Assistants; Replicate, whose events named output and logs are never read as errors)
	//
	// A stream of another form may end anywhere, but not before its first event is whole, nor behind pings alone. At the end of any stream an event that
	// lacks nothing but the empty line behind it counts where it is the terminal one, and where its JSON is whole.
	//
	// A terminal event may report an error as well, and so does a finish_reason of error or timeout, or one that begins with error. Where other choices go on, that one's error
	// waits for the terminal event, or the end of the stream. Of a response that failed, and of an event of more than 64 KiB, only the error itself is judged:
	// never what a model or the caller wrote.
	//
	// Nothing is sent again. Events are handed out whole, as soon as they are; one of more than 64 KiB is handed out as it comes: its first 64 KiB
	// are looked at for an error, and one told further on by a finish_reason or its name stands behind it. A stream with a Content-Encoding is left alone.
	StreamErrors bool
	// Budget bounds the retries of all calls; nil means a [TokenBucket] of this Transport: a fifth of the calls, and 10 at once. [Unlimited]
	// turns it off.
	Budget Budget
	// Gate holds attempts back while the server cannot take them, such as a [Pacer]; nil means that nothing does. A retry that it paces
	// spends no Budget.
	Gate Gate
	// Observer sees the calls that did not succeed at once; nil for none.
	Observer Observer

	own atomic.Value // the *TokenBucket that stands for a nil Budget
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t == nil {
		t = &Transport{}
	}
	ownKey := t.IdempotencyKeys && !replayable(req)
	if ownKey {
		req = keyed(req, "")
	}
	if t.BufferBody > 0 && req.GetBody == nil && hasBody(req) {
		var err error
		if req, err = buffered(req, t.BufferBody); err != nil {
			return t.unread(req, err)
		}
	}
	var pass Pass
	if t.gated() {
		var err error
		if pass, err = t.admit(req); err != nil {
			return t.refused(req, err)
		}
	}
	var start time.Time
	if t.Observer != nil {
		start = time.Now()
	}
	var resp *http.Response
	var err error
	asItIs := false
	switch {
	case pass.Ticket != nil:
		resp, err = t.sendWith(req.Context(), req, pass)
	case t.AttemptTimeout > 0 || resends(req) || mayBeForeign(req) && foreign(req.Body):
		resp, err = t.send(req)
	default:
		asItIs = true
		resp, err = t.base().RoundTrip(req) // what send does then, without its frame
	}
	if err != nil || resp == nil || resp.StatusCode >= http.StatusBadRequest || pass.Queued > 0 {
		c := t.call(req)
		c.ownKey, c.asItIs = ownKey, asItIs
		return c.run(start, pass, resp, err) //nolint:contextcheck // it is that of the request
	}
	if t.Gate != nil || t.Budget != nil || t.own.Load() != nil {
		t.account(req, resp, pass)
	}
	if t.StreamErrors {
		t.watch(req.Context(), resp, nil)
	}
	return resp, nil
}

// gated reports whether there is a gate that may have something to say. A Pacer that holds nothing back has not, and is not called.
func (t *Transport) gated() bool {
	if t.Gate == nil {
		return false
	}
	p, ok := t.Gate.(*Pacer)
	return !ok || p.active()
}

// admit asks the gate for the first attempt. If the gate panics the request's body is closed, as it is however else RoundTrip ends.
func (t *Transport) admit(req *http.Request) (Pass, error) {
	returned := false
	defer func() {
		if !returned {
			closeBody(req)
		}
	}()
	pass, err := t.Gate.Admit(req.Context(), Admission{Request: req})
	returned = true
	return pass, err
}

// account tells the gate and the budget of a call that succeeded at once.
func (t *Transport) account(req *http.Request, resp *http.Response, pass Pass) {
	bucket, ours := t.Budget.(*TokenBucket)
	if bucket == nil {
		bucket, _ = t.own.Load().(*TokenBucket)
	}
	if (ours || t.Budget == nil) && !t.gated() {
		bucket.Deposit(req.Context(), BudgetDeposit{}) // which calls nobody who could panic
		return
	}
	returned := false
	defer func() {
		if !returned && resp.Body != nil {
			resp.Body.Close() // nobody gets the response
		}
	}()
	if t.Gate != nil {
		t.Gate.Report(req.Context(), GateReport{Request: req, Ticket: pass.Ticket})
	}
	deposit(req.Context(), t.Budget, &t.own)
	returned = true
}

// send makes one attempt.
func (t *Transport) send(req *http.Request) (*http.Response, error) {
	if t.AttemptTimeout > 0 {
		return t.timed(req, t.AttemptTimeout)
	}
	out := outgoing(req)
	resp, err := t.base().RoundTrip(out)
	if out != req && resp != nil && resp.Request == out {
		resp.Request = req
	}
	return resp, err
}

// outgoing returns req as it is handed to Base: itself, or a copy.
func outgoing(req *http.Request) *http.Request { return marked(once(req)) }

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

// attemptKey finds the number of the attempt in the context of the attempts after the first.
type attemptKey struct{}

// ResendCount returns how many attempts of the same call went before the request with this context: 0 for a
// first attempt and outside of a Transport. It is the value of http.request.resend_count.
func ResendCount(ctx context.Context) int {
	n, _ := ctx.Value(attemptKey{}).(int)
	return n
}

// call is one logical call that did not succeed at once.
type call struct {
	loop

	t           *Transport
	current     *http.Request // what the next attempt is made of; request, or what MutateRequest made
	firstFailed time.Time
	held        *http.Response // to be closed if a hook panics
	upcoming    *http.Request  // the same
	ownKey      bool           // the request got its Idempotency-Key here
	asItIs      bool           // the first attempt was sent without a look at its body
}

func (t *Transport) call(req *http.Request) *call {
	return &call{t: t, current: req, loop: loop{
		ctx: req.Context(), request: req, maxAttempts: attemptsOr(t.MaxAttempts), maxWait: waitOr(t.MaxWait), newBackOff: t.NewBackOff,
		ambiguous: t.ReplayAmbiguous, budget: budgetOr(t.Budget, &t.own), observer: t.Observer,
	}}
}

// refused ends a call whose first attempt the gate did not let through.
func (t *Transport) refused(req *http.Request, err error) (*http.Response, error) {
	closeBody(req)
	c := t.call(req)
	v := c.refusedBy(err)
	e := c.failed(&Attempt{Decision: gateDecision(err)}, &v)
	c.done(e)
	return nil, e
}

// unread ends a call whose request body could not be read.
func (t *Transport) unread(req *http.Request, err error) (*http.Response, error) {
	c := t.call(req)
	a, v := Attempt{Err: err}, verdict{stop: StopNever}
	ended := c.ctx.Err()
	if ended == nil && isClosed(req.Cancel) { //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
		ended = ctxError(c.ctx)
	}
	var caused bool
	switch a.Decision, caused, a.Err = byContext(c.ctx, err); {
	case caused:
	case ended != nil:
		// A body that ends with the call, such as that of a server's request whose client has left, says so in words of its own.
		k := kindOf(ended)
		a.Decision, a.Err = k.decision(), besides(ended, err)
	default:
		a.Decision = localBody.decision()
	}
	a.Decision.Safety = NotSent
	if ended != nil {
		v.stop = StopCanceled
	}
	e := c.failed(&a, &v)
	c.done(e)
	return nil, e
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// localBody is the kind of a request whose body the caller's reader did not give.
var localBody = netKind{"local: request body", errcodes.ClassUnknown, errcodes.RetryNever, NotSent, "The request's body could not be read: its error says why."}

// refusedBy is what follows from a refusal of the gate.
func (c *call) refusedBy(err error) verdict {
	v := verdict{stop: StopGate, err: err}
	if r, ok := errors.AsType[*GateError](err); ok {
		v.retryAt = r.RetryAt
	}
	if c.ctx.Err() != nil {
		v.stop, v.err = StopCanceled, errors.Join(ctxError(c.ctx), err)
	}
	return v
}

// gateDecision is the judgement on a request that was not sent.
func gateDecision(err error) Decision {
	d := Decision{Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff, Safety: NotSent, Rule: ruleGate}
	if r, ok := errors.AsType[*GateError](err); ok && r.Last != nil {
		d.Class = r.Last.Decision.Class
	}
	d.Advice = adviceFor(d.Class, d.Retry)
	return d
}

const ruleGate = "local: gate"

// run goes on after the first attempt, which started at start if anybody wants to know.
func (c *call) run(start time.Time, pass Pass, resp *http.Response, err error) (*http.Response, error) {
	returned := false
	defer func() {
		if !returned {
			c.abandon()
		}
	}()
	sent, waited, from := c.request, time.Duration(0), SourceNone
	for {
		received := time.Now()
		resp, err = oneOf(resp, err)
		c.held, c.upcoming, c.withdrawn = resp, nil, false
		c.queued += pass.Queued
		a := Attempt{N: len(c.attempts) + 1, Waited: waited, WaitFrom: from, Queued: pass.Queued, Err: err}
		if !start.IsZero() {
			a.Took = received.Sub(start)
		}
		if err == nil && resp.StatusCode < http.StatusBadRequest {
			c.report(sent, pass, nil)
			c.succeed(a, resp)
			returned = true
			return resp, nil
		}
		inner := c.judge(&a, resp)
		pace := c.report(sent, pass, &a)
		if inner != nil && len(c.attempts) == 0 {
			// A Transport further down has done all this.
			c.served(&a.Decision)
			if pass.Queued > 0 {
				resp, err = c.takeOver(&a, resp, inner)
			}
			returned = true
			return handedOut(resp), err
		}
		c.attempts = append(c.attempts, a)
		if c.firstFailed.IsZero() {
			c.firstFailed = received
		}

		v := c.next(&a, received, c.means(&a.Decision, inner), pace)
		if v.stop == StopNone {
			v.next, v.stop, v.err = c.again(&a)
			c.upcoming = v.next
		}
		if v.stop != StopNone {
			c.refund()
			c.observe(&a, 0, SourceNone, true)
			resp, err = c.end(&a, resp, &v)
			returned = true
			return resp, err
		}
		waited, from = v.wait+v.jitter, v.from
		c.observe(&a, waited, from, false)
		if resp != nil {
			drain(resp.Body)
		}
		var stopped *verdict
		if pass, stopped = c.wait(&v, waited-time.Since(received)); stopped != nil {
			// Observers know of this attempt already.
			closeBody(v.next)
			c.refund()
			if stopped.stop == StopCanceled {
				resp = nil
			}
			resp, err = c.end(&a, drained(resp), stopped)
			returned = true
			return resp, err
		}
		c.waited = plus(c.waited, waited)
		sent = v.next
		start = time.Now()
		resp, err = c.t.sendWith(c.ctx, v.next, pass)
	}
}

// abandon frees what a call holds when a hook panics.
func (c *call) abandon() {
	if c.held != nil && c.held.Body != nil {
		c.held.Body.Close()
	}
	closeBody(c.upcoming)
	c.refund()
}

// judge completes an attempt that failed. It returns what a Transport further down concluded.
func (c *call) judge(a *Attempt, resp *http.Response) *Error {
	if a.Err == nil {
		inner := innerError(resp, nil)
		a.Decision = c.judgeResponse(resp, inner)
		a.Status, a.Code, a.RequestID = resp.StatusCode, a.Decision.Code, a.Decision.RequestID
		return inner
	}
	var ended bool
	if a.Decision, ended, a.Err = byContext(c.ctx, a.Err); ended {
		return nil
	}
	if ofBody(a.Err) {
		if a.Decision = localBody.decision(); c.ctx.Err() != nil {
			k := kindOf(c.ctx.Err()) // which the body obeys
			a.Decision, a.Err = k.decision(), besides(c.ctx.Err(), a.Err)
		}
		a.Decision.Safety = MaybeExecuted // what came before it was sent
		return nil
	}
	if a.Decision = c.t.Classifier.Err(a.Err); a.Decision.Rule == netUnknown.rule && c.ctx.Err() != nil {
		// A base that puts the end of the context in words of its own.
		k := kindOf(c.ctx.Err())
		a.Decision, a.Err = k.decision(), besides(c.ctx.Err(), a.Err)
	} else if k, ok := proxyKind(c.t.base(), c.current, a.Err); ok {
		a.Decision = k.decision()
	} else if refusedUnsent(c.t.base(), c.current, a.Decision.Rule, a.Err) {
		a.Decision = netMisuse.decision()
	} else if a.Decision.Rule == netUnknown.rule && !addressed(c.current) {
		a.Decision.Retry, a.Decision.MaxAttempts = errcodes.RetryNever, attemptsFor(errcodes.RetryNever) // of a base that completes it, or passes it on: who knows what was sent?
	}
	if a.Decision.Rule == netScheme.rule {
		a.Err = besides(http.ErrSchemeMismatch, a.Err) // an http.Client does not find the TLS error to make it of
	}
	inner := innerError(nil, a.Err)
	if inner == nil && a.Decision.Safety == NotSent && c.asItIs && len(c.attempts) == 0 && unsure(c.current.Body) {
		a.Decision.Safety = MaybeExecuted // it may be the body that had no connection
	}
	return inner
}

// patience is how long the call waits for an error body: hardly, when the headers alone state a wait that it will not wait.
func (c *call) patience(h http.Header) time.Duration {
	wait, _ := parseRetryAfter(h, parseDate(header(h, "Date")))
	if deadline, ok := c.ctx.Deadline(); wait > c.maxWait || ok && wait >= time.Until(deadline) {
		return drainTimeout
	}
	return math.MaxInt64
}

// judgeResponse judges a response. A veto that a Transport further down has set, for libraries, is none of the server's.
func (c *call) judgeResponse(resp *http.Response, inner *Error) Decision {
	patience := c.patience(resp.Header)
	if inner == nil || inner.Decision.Vetoed || resp.Header.Get("X-Should-Retry") != "false" {
		return c.t.Classifier.within(patience, resp)
	}
	given := resp.Header
	resp.Header = given.Clone()
	resp.Header.Del("X-Should-Retry")
	d := c.t.Classifier.within(patience, resp)
	resp.Header = given // the very map, by which the history is found
	return d
}

// report tells the gate what an attempt brought.
func (c *call) report(sent *http.Request, pass Pass, failure *Attempt) Pace {
	if c.t.Gate == nil {
		return Unpaced
	}
	return c.t.Gate.Report(c.ctx, GateReport{Request: sent, Ticket: pass.Ticket, Failure: failure})
}

// wait waits for d, and then for the gate. It returns how the call ends if that does not come about.
func (c *call) wait(v *verdict, d time.Duration) (Pass, *verdict) {
	if !sleep(c.ctx, c.request.Cancel, d) { //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
		return Pass{}, &verdict{stop: StopCanceled, retryAt: v.retryAt, err: ctxError(c.ctx)}
	}
	if c.t.Gate == nil {
		return Pass{}, nil
	}
	pass, err := c.t.Gate.Admit(c.ctx, Admission{Request: v.next, FirstFailed: c.firstFailed})
	if err == nil {
		return pass, nil
	}
	refused := c.refusedBy(err)
	return Pass{}, &refused
}

// means returns what this call could do about a failure.
func (c *call) means(d *Decision, inner *Error) means {
	return means{
		nested:     nested(c.request) || inner != nil && inner.decided(len(c.attempts)),
		changeable: c.t.MutateRequest != nil,
		// A changed request of a key of our own gets a fresh one, which does not keep the work from being done twice.
		replayable: replayable(c.current) && (!c.ownKey || d.Retry != errcodes.RetryChanged),
		repeatable: !hasBody(c.current) || c.current.GetBody != nil,
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

var errNoBody = errors.New("classify: GetBody of the request returned neither a body nor an error")

// again makes the request of the next attempt.
func (c *call) again(a *Attempt) (*http.Request, Stop, error) {
	ctx := context.WithValue(c.ctx, attemptKey{}, a.N)
	var req *http.Request
	if a.Decision.Retry == errcodes.RetryChanged {
		req = c.current.Clone(ctx) // MutateRequest may change whatever hangs on it
		if req.Header == nil {
			req.Header = make(http.Header)
		}
	} else {
		req = c.current.WithContext(ctx)
		req.Header = c.current.Header.Clone()
	}
	if hasBody(c.current) {
		body, err := c.current.GetBody()
		if err == nil && body == nil {
			err = errNoBody
		}
		if err != nil {
			return nil, StopBody, err
		}
		req.Body = body
	}
	if a.Decision.Retry != errcodes.RetryChanged {
		return req, StopNone, nil
	}
	unchanged := c.current.GetBody
	given := func() (io.ReadCloser, error) { return unchanged() }
	if unchanged != nil {
		req.GetBody = given
	}
	body := req.Body
	c.upcoming = req // to be closed if the hook panics
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
		if !sameBody(changed.Body, req.Body) {
			closeBody(req)
		}
		if ResendCount(changed.Context()) != a.N {
			changed = changed.WithContext(ctx)
		}
	}
	if !sameBody(changed.Body, body) && sameFunc(changed.GetBody, given) {
		if changed != req {
			changed = changed.WithContext(changed.Context())
		}
		changed.GetBody = nil // it gives the old body, whatever is in the new one
	}
	stale := ""
	if c.ownKey {
		stale = c.current.Header.Get("Idempotency-Key")
	}
	if c.t.IdempotencyKeys && (!replayable(changed) || stale != "" && changed.Header.Get("Idempotency-Key") == stale) {
		// One of ours goes with the request that it was made for: a server may refuse it for another, or answer with the old work. And a hook may
		// have lost the key, or made a request that needs one of one that did not.
		c.ownKey = true
		changed = keyed(changed, stale)
	}
	c.current = changed
	return changed, StopNone, nil
}

// sameBody reports whether a and b are one. Of bodies that cannot be compared, such as a struct with a slice, the type decides.
func sameBody(a, b io.ReadCloser) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if v, w := reflect.ValueOf(a), reflect.ValueOf(b); !v.Comparable() || !w.Comparable() {
		return v.Type() == w.Type()
	}
	return a == b
}

// sameFunc reports whether f comes of the function literal that g comes of.
func sameFunc(f, g func() (io.ReadCloser, error)) bool {
	return f != nil && reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer()
}

// succeed hands out a response that came after failures, with the history behind it.
func (c *call) succeed(a Attempt, resp *http.Response) {
	a.Status, a.RequestID = resp.StatusCode, requestID(resp.Header)
	if h := historyOf(resp); h != nil && len(c.attempts) == 0 {
		c.attempts = heldBefore(h.attempts, a.Queued) // of a Transport further down
	} else {
		c.attempts = append(c.attempts, a)
	}
	c.budget.Deposit(c.ctx, BudgetDeposit{})
	c.observe(&a, 0, SourceNone, true)
	c.done(nil)
	earlier := c.attempts[:len(c.attempts)-1]
	if b, ok := resp.Body.(*timedBody); ok {
		b.earlier = earlier
	}
	c.attach(resp, nil)
	if c.t.StreamErrors {
		c.t.watch(c.ctx, resp, earlier)
	}
}

// takeOver ends a call whose only attempt was held by the gate with what a Transport further down concluded.
func (c *call) takeOver(a *Attempt, resp *http.Response, inner *Error) (*http.Response, error) {
	e := *inner
	e.Attempts = heldBefore(inner.Attempts, a.Queued)
	if resp == nil && a.Err != error(inner) { //nolint:errorlint // who stands between has something to add
		e.Err = a.Err
	}
	c.attempts = e.Attempts
	c.observe(a, 0, SourceNone, true)
	c.done(&e)
	if resp == nil {
		return nil, &e
	}
	c.attach(resp, &e)
	return resp, nil
}

// heldBefore returns attempts of which the first was held for that much longer.
func heldBefore(attempts []Attempt, queued time.Duration) []Attempt {
	attempts = slices.Clone(attempts)
	if len(attempts) > 0 {
		attempts[0].Queued += queued
	}
	return attempts
}

// end ends a call that failed: with the response if there is one, else with an error.
func (c *call) end(a *Attempt, resp *http.Response, v *verdict) (*http.Response, error) {
	c.served(&a.Decision)
	e := c.failed(a, v)
	c.done(e)
	if resp == nil {
		return nil, e
	}
	resp = handedOut(resp)
	c.attach(resp, e)
	if !c.leaves(&a.Decision, v) {
		resp.Header.Set("X-Should-Retry", "false")
	}
	return resp, nil
}

// leaves reports whether the client library around this call is to decide: what it sends is a retry of its own, and that alone is why the
// Transport makes one attempt of it. A veto would keep both from sending it again. It stands all the same where the request is not to be sent again
// by anybody, where the attempts of both are as many as those of a call, and where there is a further loop, which would multiply those of the library.
func (c *call) leaves(d *Decision, v *verdict) bool {
	return v.stop == StopNested && ResendCount(c.ctx) == 0 && 1+libraryRetries(c.request) < c.maxAttempts && d.Retry != errcodes.RetryChanged &&
		(d.Safety != MaybeExecuted || c.ambiguous || replayable(c.current))
}

// attach makes resp lead to the history. It changes resp itself, because net/http goes on to write into it: trailers come behind the body. See
// handedOut for the body that somebody reads already.
func (c *call) attach(resp *http.Response, e *Error) {
	req := resp.Request
	if req == nil {
		req = c.current
	}
	ctx := req.Context()
	if n := ResendCount(c.ctx); n != ResendCount(ctx) {
		ctx = context.WithValue(ctx, attemptKey{}, n) // who makes a further request of it begins anew
	}
	if resp.Header = resp.Header.Clone(); resp.Header == nil { // a base may keep its own
		resp.Header = make(http.Header, 1)
	}
	h := &history{attempts: c.attempts, err: e, header: resp.Header}
	resp.Request = req.WithContext(context.WithValue(ctx, historyKey{}, h))
}

// nested reports whether a retry loop around this call is at its second attempt or beyond.
func nested(req *http.Request) bool {
	return ResendCount(req.Context()) > 0 || libraryRetries(req) > 0
}

// libraryRetries returns how often the client library that made the request sent it before, as it says; 0 where it says nothing.
func libraryRetries(req *http.Request) int {
	n, err := strconv.Atoi(req.Header.Get("X-Stainless-Retry-Count"))
	if err != nil {
		return 0
	}
	return max(n, 0)
}
