package otelhook

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// outcome is how a call ended, in the words of the telemetry.
type outcome struct {
	kind      string // outcomeSuccess, outcomeGiveUp, outcomeCancelled
	reason    string // of outcomeGiveUp
	errorType string // of outcomeGiveUp
}

// outcomeOf decides how a call ended that e, nil for a success, tells about. callerErr is why the caller waits no longer, as [ended] has it; nil if they do.
//
// A caller who leaves is no error. A deadline that passes is one, and a timeout whatever the last attempt failed with. So is work that was cancelled by
// somebody else, such as the group of parallel requests in an operation of [Do]: the caller is there, and has nothing.
func outcomeOf(e *classify.Error, callerErr error) outcome {
	canceled := e != nil && (e.Stop == classify.StopCanceled || e.Decision.Class == errcodes.ClassCanceled)
	// net/http may end an attempt for the deadline before the context does, with an error that knows nothing of one. There is no time for a wait then.
	unanswered := e != nil && e.Stop == classify.StopDeadline && e.Decision.Status == 0
	switch {
	case e == nil:
		return outcome{kind: outcomeSuccess}
	case (canceled || unanswered) && errors.Is(callerErr, context.DeadlineExceeded),
		e.Stop == classify.StopCanceled && callerErr == nil && errors.Is(e.Err, context.DeadlineExceeded):
		return outcome{outcomeGiveUp, classify.StopDeadline.String(), errcodes.ClassTimeout.String()}
	case canceled && callerErr != nil:
		return outcome{kind: outcomeCancelled}
	case e.Stop == classify.StopCanceled:
		return outcome{outcomeGiveUp, classify.StopNever.String(), e.ErrorType()} // by a Transport further down, whose caller is not ours
	}
	return outcome{outcomeGiveUp, e.Stop.String(), e.ErrorType()}
}

// ended returns why nobody waits any longer for what ctx belongs to; nil if somebody does. The timer behind a deadline may be late, and http.Client.Timeout ends
// requests by a timer of its own.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// errorOf returns the history of a call that ended with resp and err. The error is nil when the call succeeded.
func errorOf(cl *classify.Classifier, err error, resp *http.Response) *classify.Error {
	if err == nil {
		return classify.ErrorOf(resp)
	}
	if e, ok := errors.AsType[*classify.Error](err); ok {
		return e
	}
	return &classify.Error{Decision: cl.Err(err), Stop: classify.StopNever, Err: err}
}

// broken returns the end of a call whose response broke off with err.
func broken(ctx context.Context, cl *classify.Classifier, err error) *classify.Error {
	if e, ok := errors.AsType[*classify.Error](err); ok {
		return e
	}
	return &classify.Error{Decision: judge(ctx, cl, err), Stop: classify.StopBegun, Err: err}
}

// judge returns what a transport error means. The error of a cancelled request is whatever the canceller gave as its cause, so the context is
// asked first.
func judge(ctx context.Context, cl *classify.Classifier, err error) classify.Decision {
	why := ended(ctx)
	switch {
	case why == nil:
		return cl.Err(err)
	case errors.Is(why, context.DeadlineExceeded):
		return cl.Err(context.DeadlineExceeded)
	}
	var t interface{ Timeout() bool }
	if errors.As(context.Cause(ctx), &t) && t.Timeout() {
		return cl.Err(context.DeadlineExceeded) // a time limit on one attempt
	}
	return cl.Err(context.Canceled)
}
