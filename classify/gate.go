package classify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/pacing"
)

// Gate decides when an attempt of a [Transport] may leave. It must be safe for concurrent use, and must not change the request.
//
// Both methods are on the path of every call, which is why they take values: a Gate with nothing to do costs two calls.
type Gate interface {
	// Admit waits until the attempt may be sent, at most as long as ctx lasts. If it returns an error nothing is sent, and
	// the call ends with [StopGate]. A *[GateError] says more than another error.
	Admit(ctx context.Context, a Admission) (Pass, error)
	// Report is called once for each attempt that Admit let through, however it ended, with what it brought: when the headers of the answer
	// have arrived, not at the end of its body. It says how a further attempt of the same call is to be made. The one exception is an
	// attempt without a Ticket in which the Transport's Base panicked: that is not reported.
	Report(ctx context.Context, r GateReport) Pace
}

// Admission is an attempt that is about to be sent.
type Admission struct {
	// Request is the request as it will be sent; its body must not be read.
	Request *http.Request
	// FirstFailed is when the first attempt of the call failed; zero for a first attempt.
	FirstFailed time.Time
}

// Pass is the right to send one attempt. The zero Pass is a valid one.
type Pass struct {
	// Ticket is handed back in the [GateReport]; nil is allowed.
	Ticket any
	// Queued is how long the attempt was held.
	Queued time.Duration
}

// GateReport is what an attempt brought.
type GateReport struct {
	// Request is the request as it was sent.
	Request *http.Request
	// Ticket is the one of the attempt's [Pass].
	Ticket any
	// Failure is the attempt; nil when it succeeded.
	Failure *Attempt
}

// sendWith makes the attempt that pass lets through; ctx is that of the call. Its ticket is reported by whoever judges the outcome, and here if
// there is none because Base panicked: a Gate that counts what is in flight must not lose count. Without a ticket there is nothing to
// count, and a Gate with nothing to do does not pay for the defer.
func (t *Transport) sendWith(ctx context.Context, req *http.Request, pass Pass) (*http.Response, error) {
	if pass.Ticket == nil {
		return t.send(req)
	}
	returned := false
	defer func() {
		if !returned {
			t.panicked(ctx, req, pass)
		}
	}()
	resp, err := t.send(req)
	returned = true
	return resp, err
}

// panicked reports the ticket of an attempt of which nothing came back.
func (t *Transport) panicked(ctx context.Context, req *http.Request, pass Pass) {
	d := Decision{Class: errcodes.ClassCanceled, Safety: MaybeExecuted, Rule: "local: panic"}
	t.Gate.Report(ctx, GateReport{Request: req, Ticket: pass.Ticket, Failure: &Attempt{Decision: d}})
}

// Pace says how a further attempt is to be made. Its zero value is Unpaced.
type Pace uint8

const (
	// Unpaced: after the wait, if the [Budget] pays for it.
	Unpaced Pace = iota
	// Paced: after the wait, and then when the Gate lets it through. It spends no budget, because others stand in line whose turn it takes.
	Paced
	// Parked: when the Gate lets it through, which knows the wait. It spends no budget and is none of MaxAttempts: the call
	// waits for the end of an outage.
	Parked
)

var paceNames = [...]string{Unpaced: "unpaced", Paced: "paced", Parked: "parked"}

// String returns the pace in snake_case; "unpaced" for a value out of range.
func (p Pace) String() string {
	if int(p) >= len(paceNames) {
		return paceNames[Unpaced]
	}
	return paceNames[p]
}

// GateError is the error of a call that a Gate did not let through. It is local: nothing was sent. [errors.Is] finds
// the context's error, and [context.DeadlineExceeded] where the turn would have come too late.
type GateError struct {
	// Reason is why: "queue_full", "queue_wait" (the turn would come too late), "closed" (the server is down for longer
	// than callers wait), "deadline" or "canceled".
	Reason string
	// RetryAt is when a turn is to be expected; zero if nobody knows.
	RetryAt time.Time
	// Last is the provider's last refusal, for which calls are held back: the provider's words and request id are in its
	// Decision. nil if there is none.
	Last *Error
	// Err is the cause in detail; its text says that the refusal is local.
	Err error
}

// Error returns the text of Err.
func (r *GateError) Error() string {
	if r.Err == nil {
		return "refused locally, nothing was sent: " + r.Reason
	}
	return r.Err.Error()
}

// Unwrap returns Err.
func (r *GateError) Unwrap() error { return r.Err }

// Pacer is the [Gate] of this package: it sends as fast as the server takes it. It does nothing until the server refuses. Then a
// 429 slows down what leaves, and a 503 with Retry-After holds everything back until then; afterwards the rate grows
// again as long as the server keeps up. Callers wait in order, in a bounded queue.
//
// A retry in a scope in which nobody else stands in line, or in one of many scopes that are refused at once, spends the Transport's Budget.
//
// The zero value is ready to use. It is safe for concurrent use as long as its fields do not change, and must not be
// copied after first use. It needs no closing. A nil *Pacer holds nothing back. Share one among the transports that use the same key.
type Pacer struct {
	// ScopeFor returns what the server limits as one: calls of one scope are held back together. nil means
	// [DefaultScope]. It is called concurrently and must not change the request.
	ScopeFor func(*http.Request) string
	// QueueSize is how many callers of one scope wait at most; 0 means 1,000, negative none.
	QueueSize int
	// MaxWait is how long a first attempt waits at most; 0 means 2 s, negative not at all. A caller whose turn will come later
	// is refused at once.
	MaxWait time.Duration
	// MaxRetryWait is how long a further attempt waits at most, beyond the wait that the server stated; 0 means
	// 60 s. These go first.
	MaxRetryWait time.Duration
	// Park is how long a call waits through an outage, counted from its beginning or its first failure; 0 means
	// not at all: while the server is down, calls are refused or fail at once. One caller a second, and fewer where a caller is alone in its scope, is let through to
	// see. An outage is a 503 with Retry-After, or five failures in a row, time-outs and broken connections among them. Give the calls a deadline of their own, and QueueSize room for all of them.
	Park time.Duration
	// MaxScopes is how many scopes are remembered; 0 means 1,000.
	MaxScopes int

	once sync.Once
	gate pacing.Gate
}

// active reports whether the Pacer holds anything back, or may: it does not before the first failure that asks for it.
func (p *Pacer) active() bool { return p != nil && p.gate.Active() }

// Admit implements [Gate].
func (p *Pacer) Admit(ctx context.Context, a Admission) (Pass, error) {
	if !p.active() {
		return Pass{}, nil
	}
	ticket, err := p.gate.Wait(ctx, p.scope(a.Request), a.FirstFailed)
	if err != nil {
		return Pass{}, refusalOf(err)
	}
	if ticket == (pacing.Ticket{}) {
		return Pass{}, nil // another scope is paced, not this one
	}
	return Pass{Ticket: ticket, Queued: ticket.Queued}, nil
}

// Report implements [Gate].
func (p *Pacer) Report(ctx context.Context, r GateReport) Pace {
	if p == nil || r.Failure == nil && !p.active() {
		return Unpaced
	}
	p.once.Do(func() {
		// Until here the gate was not active, so nobody looked at its fields.
		p.gate.QueueSize, p.gate.MaxWait, p.gate.MaxRetryWait = p.QueueSize, p.MaxWait, p.MaxRetryWait
		p.gate.Park, p.gate.MaxScopes = p.Park, p.MaxScopes
	})
	ticket, _ := r.Ticket.(pacing.Ticket)
	o := outcomeOf(r.Failure)
	if o.Kind == pacing.Unknown && p.Park > 0 && ctx.Err() == nil && looksDown(&r.Failure.Decision) {
		o.Kind = pacing.Down
	}
	switch p.gate.Report(p.scope(r.Request), ticket, o) {
	case pacing.Paced:
		return Paced
	case pacing.Parked:
		return Parked
	case pacing.Unpaced:
	}
	return Unpaced
}

func (p *Pacer) scope(req *http.Request) string {
	if p.ScopeFor != nil {
		return p.ScopeFor(req)
	}
	return DefaultScope(req)
}

// outcomeOf says what an attempt tells about the server.
func outcomeOf(a *Attempt) pacing.Outcome {
	if a == nil {
		return pacing.Outcome{Kind: pacing.OK}
	}
	o := pacing.Outcome{Kind: kindOfFailure(&a.Decision), Wait: a.Decision.Wait}
	if o.Kind == pacing.Slower || o.Kind == pacing.Down {
		o.Err = &Error{Decision: a.Decision, Attempts: []Attempt{*a}, Err: a.Err}
	}
	return o
}

// kindOfFailure says what a failure tells about the server.
func kindOfFailure(d *Decision) pacing.Kind {
	switch d.Class {
	case errcodes.ClassRateLimited:
		return pacing.Slower
	case errcodes.ClassOverloaded, errcodes.ClassServerError:
		return pacing.Down
	case errcodes.ClassNetwork:
		if d.Safety == NotSent && d.Retry != errcodes.RetryNever {
			return pacing.Down
		}
		return pacing.Unknown
	case errcodes.ClassCanceled, errcodes.ClassTimeout:
		return pacing.Unknown
	default:
		if d.Safety == NotSent {
			return pacing.Unknown // a fault of the program, which no server has seen
		}
		return pacing.OK // refused for what it is, which takes a server that works
	}
}

// looksDown reports whether a failure, several times in a row and with no success between, shows that the server is down: a gateway that waited
// in vain, a connection that ended without an answer, and an attempt that ran out of its own time. Once it may be the request.
func looksDown(d *Decision) bool {
	switch d.Class {
	case errcodes.ClassTimeout:
		return d.Status != http.StatusRequestTimeout
	case errcodes.ClassNetwork:
		return d.Retry != errcodes.RetryNever
	default:
		return false
	}
}

// refusalOf translates the refusal of the pacing core.
func refusalOf(err error) error {
	r, ok := errors.AsType[*pacing.Refusal](err)
	if !ok {
		return err
	}
	last, _ := errors.AsType[*Error](r.Cause)
	return &GateError{Reason: r.Reason.String(), RetryAt: r.RetryAt, Last: last, Err: err}
}

// DefaultScope returns what most providers limit as one: the host that the request goes to, the key, and the project or model that a header
// names. A Host header of another name is part of it: the servers behind a [net/http/httputil.ReverseProxy] that passes on the one that came in
// are told apart all the same. The key may stand in a header (Authorization, X-Api-Key, Api-Key, X-Goog-Api-Key, Ocp-Apim-Subscription-Key) or in the query (key, api_key,
// api-key, apikey, subscription-key, access_token). It is not in the scope itself: a digest stands for it, the same in every process.
func DefaultScope(req *http.Request) string {
	host, query := "", ""
	if req.URL != nil {
		host, query = req.URL.Host, req.URL.RawQuery
	}
	var b strings.Builder
	b.WriteString(strings.ToLower(host))
	if req.Host != "" && !strings.EqualFold(req.Host, host) {
		b.WriteByte('/')
		b.WriteString(strings.ToLower(cut(req.Host, 256)))
	}
	for _, name := range [...]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"} {
		writeDigest(&b, header(req.Header, name))
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		switch name, value, _ := strings.Cut(pair, "="); strings.ToLower(name) {
		case "key", "api_key", "api-key", "apikey", "subscription-key", "access_token":
			writeDigest(&b, value)
		}
	}
	for _, name := range [...]string{"Openai-Organization", "Openai-Project", "Anthropic-Workspace-Id", "X-Model", "X-Model-Id"} {
		if v := header(req.Header, name); v != "" {
			b.WriteByte(' ')
			b.WriteString(cut(v, 128))
		}
	}
	return b.String()
}

// writeDigest adds what stands for a key, if there is one.
func writeDigest(b *strings.Builder, key string) {
	if key == "" {
		return
	}
	sum := sha256.Sum256([]byte(key))
	b.WriteByte(' ')
	b.WriteString(hex.EncodeToString(sum[:8]))
}
