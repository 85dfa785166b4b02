package storm

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/pacing"
)

// tuned stands below a [classify.Transport] and does what its Budget and Gate do, with constants that are not for users to
// set. What it vetoes, the transport does not send again.
type tuned struct {
	base   http.RoundTripper
	judge  classify.Classifier
	budget *pacing.Budget
	gate   *pacing.Gate
}

// call is what the attempts of one call share.
type call struct{ failed time.Time }

type callKey struct{}

// marked stands around the transport and gives each call its own.
type marked struct{ base http.RoundTripper }

func (m marked) RoundTrip(req *http.Request) (*http.Response, error) {
	return m.base.RoundTrip(req.WithContext(context.WithValue(req.Context(), callKey{}, &call{})))
}

const transportAttempts = 4 // of the zero Transport

func (p *tuned) RoundTrip(req *http.Request) (*http.Response, error) {
	call, _ := req.Context().Value(callKey{}).(*call)
	ticket, err := p.gate.Wait(req.Context(), req.URL.Host, call.failed)
	if err != nil {
		return nil, err
	}
	resp, err := p.base.RoundTrip(req)
	outcome, retryable := p.outcome(resp, err)
	if outcome.Kind == pacing.OK {
		p.budget.Deposit()
	} else if call.failed.IsZero() {
		call.failed = time.Now()
	}
	paced := p.gate.Report(req.URL.Host, ticket, outcome) != pacing.Unpaced
	last := classify.ResendCount(req.Context())+1 >= transportAttempts
	if retryable && !paced && !last && !p.budget.Take() && resp != nil {
		resp.Header.Set("X-Should-Retry", "false")
	}
	return resp, err
}

// outcome is what an attempt tells the gate, and whether it is worth another.
func (p *tuned) outcome(resp *http.Response, err error) (pacing.Outcome, bool) {
	if err == nil && resp.StatusCode < http.StatusBadRequest {
		return pacing.Outcome{Kind: pacing.OK}, false
	}
	var d classify.Decision
	if err != nil {
		d = p.judge.Err(err)
	} else {
		d = p.judge.Response(resp)
		err = errors.New(d.Message)
	}
	o := pacing.Outcome{Kind: pacing.OK, Wait: d.Wait, Err: err} // refused for what it is, which takes a server that works
	switch d.Class {
	case errcodes.ClassRateLimited:
		o.Kind = pacing.Slower
	case errcodes.ClassOverloaded, errcodes.ClassServerError:
		o.Kind = pacing.Down
	case errcodes.ClassCanceled, errcodes.ClassTimeout, errcodes.ClassNetwork:
		o.Kind = pacing.Unknown
	default:
	}
	return o, d.Retry != errcodes.RetryNever
}
