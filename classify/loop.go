package classify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/pacing"
)

// loop decides what follows from the failures of one call. It sends nothing and waits for nothing. Transport and Do share it.
type loop struct {
	ctx         context.Context // of the call
	request     *http.Request   // nil in Do
	maxAttempts int
	maxWait     time.Duration
	newBackOff  func() backoff.BackOff
	ambiguous   bool // what may have been executed may be executed again
	budget      Budget
	observer    Observer

	schedule  schedule
	attempts  []Attempt
	parked    int // attempts that count for nothing
	waited    time.Duration
	queued    time.Duration
	withdrawn bool // the budget has paid for a retry that was not sent yet
}

// means is what the call could do about a failure.
type means struct {
	nested     bool // a loop further out or further in is retrying
	changeable bool // there is something that changes requests
	replayable bool // it may be executed twice
	repeatable bool // its body can be sent twice
}

// verdict is what follows from a failure: another attempt after wait, or the end.
type verdict struct {
	stop    Stop
	wait    time.Duration // without jitter
	jitter  time.Duration
	from    Source
	retryAt time.Time
	next    *http.Request
	err     error // why there is no next request, or why a wait was cut short
}

// next decides what follows from the failure a, which is the last of l.attempts.
func (l *loop) next(a *Attempt, received time.Time, m means, pace Pace) verdict {
	d := &a.Decision
	if pace == Parked && d.Retry != errcodes.RetryBackoff {
		pace = Paced
	}
	var v verdict
	if d.Wait > 0 {
		v.retryAt = received.Add(d.Wait)
	}
	if pace == Parked && (d.Safety == MaybeExecuted || d.Class == errcodes.ClassTimeout) {
		pace = Paced // it may be this request that takes too long, and not an outage
	}
	if v.stop = l.refusal(a, m, pace); v.stop != StopNone {
		return v
	}
	if pace == Parked {
		l.parked++
		return v // the gate knows how long
	}
	if l.schedule.policy == nil {
		l.schedule = newSchedule(l.ctx, l.newBackOff, l.maxWait)
	}
	pause, ok := l.schedule.next()
	switch {
	case !ok:
		v.stop = StopBackOff
		return v
	case d.Wait > 0:
		v.wait, v.from = d.Wait, d.WaitFrom
	case d.Retry == errcodes.RetryChanged:
		// A changed request is a new one: nothing says that it comes too early.
	default:
		v.wait, v.from = min(pause, l.maxWait), SourceBackoff
	}
	if v.wait > l.maxWait {
		v.stop = StopWait
		return v
	}
	room := math.MaxInt64 - v.wait
	if deadline, ok := l.ctx.Deadline(); ok {
		left := deadline.Sub(received)
		if v.wait >= left {
			v.stop = StopDeadline
			return v
		}
		room = (left - v.wait) / 2
	}
	v.jitter = jitter(v.wait, room)
	if pace == Unpaced {
		if !l.budget.Withdraw(l.ctx, &BudgetWithdrawal{Request: l.request, Attempt: a, Wait: v.wait}) {
			v.stop = StopBudget
			return v
		}
		l.withdrawn = true
	}
	return v
}

// refusal returns why there is no further attempt, whatever the wait; StopNone if there may be one.
func (l *loop) refusal(a *Attempt, m means, pace Pace) Stop {
	d := &a.Decision
	switch {
	case l.ctx.Err() != nil:
		return StopCanceled
	case d.Vetoed && d.Safety == MaybeExecuted && !l.ambiguous && !m.replayable:
		return StopUnsafe
	case d.Vetoed && (d.Rule == ruleVeto || d.Retry != errcodes.RetryNever && d.Retry != errcodes.RetryChanged):
		return StopVeto
	case d.Retry == errcodes.RetryNever:
		return StopNever
	case m.nested:
		return StopNested
	case d.Retry == errcodes.RetryChanged && !m.changeable:
		return StopUnchanged
	case pace != Parked && a.N-l.parked >= l.maxAttempts:
		return StopAttempts
	case l.spent(d):
		return StopClass
	case d.Safety == MaybeExecuted && !l.ambiguous && !m.replayable:
		return StopUnsafe
	case !m.repeatable:
		return StopBody
	}
	return StopNone
}

// spent reports whether this call has had as many failures like d, which is the last of them, as are worth an attempt.
func (l *loop) spent(d *Decision) bool {
	limit, n := d.MaxAttempts, 0
	for i := range l.attempts {
		o := &l.attempts[i].Decision
		if o.Class == d.Class && o.Retry == d.Retry || d.follows(o) {
			n++
			if limit == 0 {
				limit = o.MaxAttempts
			}
		}
	}
	return limit > 0 && n >= limit
}

// follows reports whether d, although it is to be treated in another way than o, is one more failure of the kind of o: a plain 500 behind any other, or
// one that states a wait behind a plain one.
func (d *Decision) follows(o *Decision) bool {
	if o.Status != d.Status || d.Status == 0 {
		return false
	}
	return d.Retry == errcodes.RetryOnce && o.Retry == errcodes.RetryBackoff ||
		d.Retry == errcodes.RetryBackoff && o.Retry == errcodes.RetryOnce && o.Class == d.Class
}

// served accounts for a call that ended with d: the server took it up, whatever it made of it. Of an operation that failed for a reason
// of its own nobody knows.
func (l *loop) served(d *Decision) {
	if kindOfFailure(d) == pacing.OK && d.Rule != opUnknown.rule {
		l.budget.Deposit(l.ctx, BudgetDeposit{})
	}
}

// refund gives back what the budget paid for a retry that is not sent.
func (l *loop) refund() {
	if l.withdrawn {
		l.withdrawn = false
		l.budget.Deposit(l.ctx, BudgetDeposit{Refund: true})
	}
}

// failed returns the end of the call as an error.
func (l *loop) failed(a *Attempt, v *verdict) *Error {
	e := &Error{Decision: a.Decision, Stop: v.stop, Attempts: l.attempts, RetryAt: v.retryAt, Err: a.Err}
	if v.err != nil {
		e.Err = errors.Join(a.Err, v.err)
	}
	if ended := l.ctx.Err(); ended != nil && v.stop == StopCanceled && !errors.Is(e.Err, ended) {
		e.Err = errors.Join(e.Err, ctxError(l.ctx))
	}
	if dl, ok := l.ctx.Deadline(); ok && v.stop == StopCanceled && !time.Now().Before(dl) && !errors.Is(e.Err, context.DeadlineExceeded) {
		// net/http may end the request before the context does, with an error that knows nothing of a deadline.
		e.Err = errors.Join(e.Err, context.DeadlineExceeded)
	}
	e.clientTimeout = l.request != nil && l.request.Cancel != nil && //nolint:staticcheck // http.Client.Timeout sets it
		(v.stop == StopDeadline || v.stop == StopCanceled && errors.Is(e.Err, context.DeadlineExceeded))
	return e
}

func (l *loop) observe(a *Attempt, wait time.Duration, from Source, last bool) {
	if l.observer != nil {
		l.observer.Attempt(l.ctx, &AttemptEvent{Attempt: *a, Wait: wait, WaitFrom: from, Last: last})
	}
}

func (l *loop) done(e *Error) {
	if l.observer != nil {
		l.observer.Done(l.ctx, &DoneEvent{Attempts: l.attempts, Waited: l.waited, Queued: l.queued, Err: e})
	}
}

// plus returns the sum of two waits, the longest duration if that is too long.
func plus(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// sleep waits for d; false if ctx ended or the channel, which may be nil, was closed first.
func sleep(ctx context.Context, canceled <-chan struct{}, d time.Duration) bool {
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
	case <-canceled:
		return false
	}
}

// ctxError returns the error of a wait that was cut short, with its cause.
func ctxError(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		// A request has a second way to be cancelled, which can be a little ahead of its context.
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
		return context.Canceled
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func attemptsOr(n int) int {
	if n <= 0 {
		return defaultMaxAttempts
	}
	return n
}

func waitOr(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultMaxWait
	}
	return d
}
