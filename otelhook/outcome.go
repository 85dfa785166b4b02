package otelhook

import (
	"context"
	"errors"
	"net/http"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// outcome is how a call ended, in the words of the telemetry.
type outcome struct {
	kind      string // outcomeSuccess, outcomeGiveUp, outcomeCancelled
	reason    string // of outcomeGiveUp
	errorType string // of outcomeGiveUp
}

// outcomeOf decides how a call ended that e, nil for a success, tells about. ctxErr is what the request's context says.
//
// A caller who leaves is no error. A deadline that passes is one, and a timeout whatever the last attempt failed with.
func outcomeOf(e *classify.Error, ctxErr error) outcome {
	switch {
	case e == nil:
		return outcome{kind: outcomeSuccess}
	case e.Stop == classify.StopCanceled && (errors.Is(ctxErr, context.DeadlineExceeded) || ctxErr == nil && errors.Is(e.Err, context.DeadlineExceeded)):
		return outcome{outcomeGiveUp, classify.StopDeadline.String(), errcodes.ClassTimeout.String()}
	case e.Stop == classify.StopCanceled, e.Decision.Class == errcodes.ClassCanceled:
		return outcome{kind: outcomeCancelled}
	}
	return outcome{outcomeGiveUp, e.Stop.String(), e.ErrorType()}
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
	switch {
	case ctx.Err() == nil:
		return cl.Err(err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return cl.Err(context.DeadlineExceeded)
	}
	var t interface{ Timeout() bool }
	if errors.As(context.Cause(ctx), &t) && t.Timeout() {
		return cl.Err(context.DeadlineExceeded) // a time limit on one attempt
	}
	return cl.Err(context.Canceled)
}
