package classify

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/errwire/errwire/errcodes"
)

// Policy is how [Do] treats the failures of an operation. The zero value and nil work. It is safe for concurrent use as
// long as its fields do not change, and must not be copied after first use. Share one among the calls of one client: they share its
// budget too.
type Policy struct {
	// Classifier judges the failures; nil means the zero Classifier.
	Classifier *Classifier
	// Signal reads the facts out of an error of the operation, such as an SDK's. Where it is nil, or returns a Signal without Status or one whose
	// status is below 400 and whose body shows no error, the kind of the error decides: see [Do].
	Signal func(error) Signal
	// NewBackOff makes the backoff policy of one call, as in [Transport].
	NewBackOff func() backoff.BackOff
	// MaxAttempts bounds the attempts of a call, the first included; 0 or less means 4, 1 means no retry.
	MaxAttempts int
	// MaxWait is the longest wait that a server may ask for, as in [Transport]; 0 or less means 60 s. If it asks for a longer one, the call ends at once.
	MaxWait time.Duration
	// ReplayAmbiguous says that the operation may be done twice: it is idempotent, or sends one idempotency key
	// with all its attempts. Without it an operation that may have been done is not repeated.
	ReplayAmbiguous bool
	// Budget bounds the retries of all calls with this Policy; nil means a [TokenBucket] of its own, [Unlimited] turns it off.
	Budget Budget
	// Observer sees the calls that did not succeed at once; nil for none.
	Observer Observer

	own atomic.Value // the *TokenBucket that stands for a nil Budget
}

// Signal is what an error says about the response behind it.
type Signal struct {
	// Status is the HTTP status; 0 means that there was no response. It may be below 400 for an error in a stream.
	Status int
	// Header is the response's; nil if it is lost.
	Header http.Header
	// Body is the response's, or its beginning, or the event of a stream; nil if it is lost.
	Body []byte
}

// Do calls op until it succeeds, cannot succeed, or p or ctx ends it. op gets a context that tells a [Transport] within not to retry on its own
// after the first attempt; [ResendCount] reads the number from it. Turn off the retries of an SDK in op. A nil ctx is [context.Background].
//
// It returns what op returned last. The error is nil or an *[Error] with the history, in which [errors.Is] and [errors.As] find the last
// error of op. What happens to failures, and which waits there are, is as in [Transport]; nothing changes an
// operation, so RetryChanged ends it.
//
// # Around a Transport
//
// One of the two loops retries. A [Transport] within does during the first attempt of op, as it does everywhere, and Do ends with what it concluded. Do
// knows it by the *[Error] in what op returns, such as that of [ErrorOf], or by the response's header in Signal.Header, in which X-Should-Retry: false is
// the Transport's word. An op that hides both makes Do repeat it, with a single request each time. To let Do retry, give the Transport a
// MaxAttempts of 1 and return its *[Error].
//
// # Errors that Policy.Signal does not know
//
// An error that wraps one of a transport is judged as [Classifier.Err] does: a [net.Error] such as the [url.Error] of an http.Client, an errno, io.EOF
// and io.ErrUnexpectedEOF, an error of a context, of TLS or of HTTP/2. Any other ends the call at once, with class unknown: an answer of 200 that cannot be
// decoded would be paid for twice, and an error of a file or of the program stays what it is. The kind alone counts, so a decoder that returns the
// io.ErrUnexpectedEOF of a connection that broke is believed.
//
// A nil *[Error] in an error, as return v, ErrorOf(resp) makes it of a response that succeeded, is such another one: op did return an error. Return nil then.
//
// An error in which [errors.As] finds a *[backoff.PermanentError], as [backoff.Permanent] makes it, ends the call at once, whatever is
// known of it: op has the last word. Its class stays, and what it wraps is found in the Error as usual.
func Do[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error)) (T, error) { //nolint:contextcheck // a new one only where there is none
	if p == nil {
		p = &Policy{}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	var start time.Time
	if p.Observer != nil {
		start = time.Now()
	}
	v, err := op(ctx)
	if err == nil {
		deposit(ctx, p.Budget, &p.own)
		return v, nil
	}
	o := operation{policy: p, loop: p.loop(ctx)}
	for {
		next, end := o.failed(start, err)
		if end != nil {
			return v, end
		}
		start = time.Now()
		if v, err = op(next); err == nil {
			o.succeeded(start)
			return v, nil
		}
	}
}

func (p *Policy) loop(ctx context.Context) loop {
	return loop{
		ctx: ctx, maxAttempts: attemptsOr(p.MaxAttempts), maxWait: waitOr(p.MaxWait), newBackOff: p.NewBackOff,
		ambiguous: p.ReplayAmbiguous, budget: budgetOr(p.Budget, &p.own), observer: p.Observer,
	}
}

// operation is one call of Do that failed.
type operation struct {
	policy *Policy
	loop   loop
	waited time.Duration // before the next attempt
	from   Source
}

// failed takes in a failure. It waits and returns the context of the next attempt, or the end.
func (o *operation) failed(start time.Time, err error) (context.Context, error) {
	l := &o.loop
	received := time.Now()
	a := o.attempt(start, received)
	inner := o.judge(&a, err)
	a.Status, a.Code, a.RequestID = a.Decision.Status, a.Decision.Code, a.Decision.RequestID
	l.attempts = append(l.attempts, a)

	v := l.next(&a, received, means{
		repeatable: true,
		nested:     ResendCount(l.ctx) > 0 || inner != nil && inner.decided(a.N),
	}, Unpaced)
	if inner != nil && v.retryAt.IsZero() {
		v.retryAt = inner.RetryAt // of a Gate, which no Decision states
	}
	if v.stop != StopNone {
		l.observe(&a, 0, SourceNone, true)
		return nil, o.end(&a, &v)
	}
	sent := false
	defer func() {
		if !sent {
			l.refund()
		}
	}()
	o.waited, o.from = v.wait+v.jitter, v.from
	l.observe(&a, o.waited, o.from, false)
	if !sleep(l.ctx, nil, o.waited-time.Since(received)) {
		return nil, o.end(&a, &verdict{stop: StopCanceled, retryAt: v.retryAt, err: ctxError(l.ctx)})
	}
	l.waited = plus(l.waited, o.waited)
	sent, l.withdrawn = true, false
	return context.WithValue(l.ctx, attemptKey{}, a.N), nil
}

func (o *operation) attempt(start, now time.Time) Attempt {
	a := Attempt{N: len(o.loop.attempts) + 1, Waited: o.waited, WaitFrom: o.from}
	if !start.IsZero() {
		a.Took = now.Sub(start)
	}
	return a
}

func (o *operation) end(a *Attempt, v *verdict) error {
	o.loop.served(&a.Decision)
	e := o.loop.failed(a, v)
	o.loop.done(e)
	return e
}

func (o *operation) succeeded(start time.Time) {
	l := &o.loop
	a := o.attempt(start, time.Now())
	l.attempts = append(l.attempts, a)
	l.budget.Deposit(l.ctx, BudgetDeposit{})
	l.observe(&a, 0, SourceNone, true)
	l.done(nil)
}

// judge completes an attempt that failed with err. It returns what a loop within the operation concluded.
func (o *operation) judge(a *Attempt, err error) *Error {
	var ended bool
	if a.Decision, ended, a.Err = byContext(o.loop.ctx, err); ended {
		return nil
	}
	a.Decision = o.policy.judge(err)
	return innerError(nil, err)
}

// judge judges an error of the operation.
func (p *Policy) judge(err error) Decision {
	d := p.facts(err)
	if isPermanent(err) && (d.Retry == errcodes.RetryOnce || d.Retry == errcodes.RetryBackoff) {
		d.Retry, d.MaxAttempts, d.Rule = errcodes.RetryNever, attemptsFor(errcodes.RetryNever), rulePermanent
		if d.Condition == "" && d.Status != 0 {
			d.Advice = adviceFor(d.Class, d.Retry)
		}
	}
	return d
}

// decided reports whether the loop that ended with e, within attempt n of a loop around it, was one that could have gone on and did not. That of a
// Transport with a single attempt could not, nor one that left the decision to the loop around it; and an answer that broke off after it had begun
// is not tried again by whoever reports it.
func (e *Error) decided(n int) bool {
	switch e.Stop {
	case StopBegun:
		return false
	case StopAttempts:
		return len(e.Attempts) != 1
	case StopNested:
		return len(e.Attempts) != 1 || n == 1 // the first attempt shows no loop around it: there is another one between
	default:
		return true
	}
}

// facts judges an error of the operation by what is known of it, whatever the operation wants to follow from that.
func (p *Policy) facts(err error) Decision {
	if p.Signal != nil {
		if s := p.Signal(err); s.Status != 0 {
			if d := p.Classifier.Body(s.Status, s.Header, s.Body); d.Failed() {
				return d
			}
		}
	}
	d := p.Classifier.Err(err)
	if d.Rule == netUnknown.rule && !ofTransport(err) {
		return opUnknown.decision()
	}
	return d
}
