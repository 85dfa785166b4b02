package classify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Stop says why no further attempt was made. Its zero value is StopNone.
type Stop uint8

// The reasons to stop.
const (
	StopNone       Stop = iota // another attempt follows, or none was needed
	StopNever                  // the same request fails again until somebody changes something
	StopVeto                   // the server said X-Should-Retry: false
	StopAttempts               // the call has had all its attempts
	StopClass                  // failures of this class are not worth more attempts: a second 500
	StopWait                   // the wait that the server asked for is longer than MaxWait
	StopDeadline               // the context ends before the wait does
	StopCanceled               // the context ended: cancelled, or past its deadline in the middle of an attempt
	StopUnsafe                 // the work may have begun and the request is not idempotent
	StopBody                   // the request body cannot be sent a second time: GetBody is not set, or failed
	StopUnchanged              // only a changed request can succeed, and nothing changes it
	StopNested                 // another retry loop, around this one or within the operation of Do, decides
	StopBackOff                // the backoff policy said so
	StopMutateHook             // MutateRequest failed
	StopBudget                 // the client has spent its retries: see [Budget]
	StopGate                   // the client's own [Gate] did not let the attempt through
	StopBegun                  // the response had begun, and broke off
)

var stopTexts = [...]struct{ name, text string }{
	StopNone:       {"none", ""},
	StopNever:      {"not_retryable", "sending the same request again cannot help"},
	StopVeto:       {"veto", "the server asked not to retry"},
	StopAttempts:   {"max_attempts", "no attempts are left"},
	StopClass:      {"max_attempts_of_class", "this kind of failure is not worth another attempt"},
	StopWait:       {"retry_after_too_long", "the wait asked for is too long"},
	StopDeadline:   {"deadline", "the deadline comes before the end of the wait"},
	StopCanceled:   {"canceled", "the caller gave up"},
	StopUnsafe:     {"unsafe_replay", "the work may have begun, and the request is neither idempotent nor keyed"},
	StopBody:       {"body_not_replayable", "the request body cannot be sent again: GetBody is not set or failed, and no copy was kept"},
	StopUnchanged:  {"unchanged", "only a changed request can succeed"},
	StopNested:     {"nested", "another retry loop, around this one or within it, decides"},
	StopBackOff:    {"backoff_policy", "the backoff policy ended the call"},
	StopMutateHook: {"mutate_failed", "changing the request failed"},
	StopBudget:     {"retry_budget", "stopped locally: the retry budget of this client is spent"},
	StopGate:       {"gate", "stopped locally: the gate of this client did not let an attempt through"},
	StopBegun:      {"response_begun", "the response had begun, so nothing is sent again"},
}

// String returns the reason in snake_case; "none" for a value out of range.
func (s Stop) String() string {
	if int(s) >= len(stopTexts) {
		return stopTexts[StopNone].name
	}
	return stopTexts[s].name
}

// MarshalText returns what [Stop.String] returns. It never fails.
func (s Stop) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Attempt is one try of a call.
type Attempt struct {
	// N counts from 1.
	N int
	// Waited is the wait before this attempt, as it was chosen; 0 for the first.
	Waited time.Duration
	// WaitFrom is where that wait was read; SourceBackoff for the client's own.
	WaitFrom Source
	// Queued is how long a [Gate] held this attempt, beyond Waited.
	Queued time.Duration
	// Took is the time from sending to the response's headers. It is 0 for the first attempt of a
	// Transport without an Observer, because looking at the clock would cost every call that succeeds.
	Took time.Duration
	// Status is the HTTP status, 0 when no answer arrived.
	Status int
	// Code and RequestID are the provider's, "" where it gave none.
	Code, RequestID string
	// Decision is the judgement; the zero Decision for an attempt that succeeded.
	Decision Decision
	// Err is the transport's error, nil when an answer arrived.
	Err error
}

// Error is a call that failed for good: the last judgement, the reason to stop and the whole
// history. [Transport] returns it as the error of a call that ended without a response, and keeps it
// behind the response of a call that ended with one: see [ErrorOf].
//
// [errors.Is] finds its class (errors.Is(err, [errcodes.ClassBilling])), the transport's error and
// the context's, with the cause of the cancellation where it has one, which may be an Error of another call; [errors.As] finds the *errcodes.Error
// that names its Condition.
//
// A nil *Error says that nothing failed, and its methods work; but as an error it is not nil. Look at it before you return it as one.
type Error struct {
	// Decision is the judgement on the last failure.
	Decision Decision
	// Stop is why no further attempt was made.
	Stop Stop
	// Attempts is the history, in order; empty only when a [Gate] refused the first attempt, or the request's body could not be read for it.
	Attempts []Attempt
	// RetryAt is when the provider said that the request may be sent again; zero when it
	// stated no wait. Set also when the wait was too long to be waited. When a [Gate] refused, it is when to expect a turn.
	RetryAt time.Time
	// Err is the transport's or the context's error, the operation's in [Do], or a [GateError]; nil when a response ended the call.
	Err error

	clientTimeout bool // the deadline is that of http.Client.Timeout
}

// Error returns status, code, message and request id of the provider, and why the client stopped.
func (e *Error) Error() string {
	if e == nil {
		return "classify: a nil *Error, which says that nothing failed, was used as an error"
	}
	d := &e.Decision
	var b strings.Builder
	b.WriteString("classify: ")
	b.WriteString(d.Class.String())
	var facts []string
	if d.Status != 0 {
		facts = append(facts, "status "+strconv.Itoa(d.Status))
	}
	if d.Code != "" {
		facts = append(facts, "code "+quote(d.Code))
	}
	if d.Type != "" && d.Type != d.Code {
		facts = append(facts, "type "+quote(d.Type))
	}
	if d.RequestID != "" {
		facts = append(facts, "request id "+quote(d.RequestID))
	}
	if len(facts) > 0 {
		b.WriteString(" (" + strings.Join(facts, ", ") + ")")
	}
	if d.Message != "" {
		b.WriteString(": " + quote(d.Message))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if n := len(e.Attempts); n > 1 {
		fmt.Fprintf(&b, "; %d attempts", n)
	}
	if text := e.stopText(); text != "" {
		b.WriteString("; " + text)
	}
	if !e.RetryAt.IsZero() && (e.Stop == StopWait || e.Stop == StopDeadline || e.Stop == StopBudget || e.Stop == StopGate) {
		b.WriteString("; try again at " + e.RetryAt.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// maxQuoted bounds what a stranger can put into a log line.
const maxQuoted = 512

// quote returns s quoted and cut to maxQuoted bytes.
func quote(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "..."
	}
	return strconv.Quote(s)
}

// stopText says why the client stopped. The deadline of a client's Timeout is named, because it
// spans all attempts and waits, which is seldom meant.
func (e *Error) stopText() string {
	if int(e.Stop) >= len(stopTexts) {
		return ""
	}
	text := stopTexts[e.Stop].text
	if e.Stop == StopCanceled && errors.Is(e.Err, context.DeadlineExceeded) {
		text = "the deadline has passed"
	}
	if e.clientTimeout {
		text += " (it is http.Client.Timeout, which spans all attempts and waits)"
	}
	return text
}

// Unwrap returns the transport's or context's error and, where a registry knows the condition,
// an *errcodes.Error that names it.
func (e *Error) Unwrap() []error {
	if e == nil {
		return nil
	}
	var errs []error
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	if e.Decision.Condition != "" {
		errs = append(errs, &errcodes.Error{
			Code: e.Decision.Condition, Message: e.Decision.Message,
			Param: e.Decision.Param, RetryAfter: e.Decision.Wait,
		})
	}
	return errs
}

// Is reports whether target is the class of the last failure. A call that stopped because its
// deadline was nearer than the wait is also [context.DeadlineExceeded].
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	if class, ok := target.(errcodes.Class); ok {
		return class == e.Decision.Class
	}
	return target == context.DeadlineExceeded && e.Stop == StopDeadline
}

// Upstream returns the class of the last failure, and how long it is until RetryAt, 0 for none. A server that returns e from a handler of package middleware is asked for it there: e is
// the answer to a call that the server made, so its own callers learn that a server behind it failed, and nothing that stands in e.
func (e *Error) Upstream() (class errcodes.Class, wait time.Duration) {
	if e == nil {
		return errcodes.ClassUnknown, 0
	}
	if !e.RetryAt.IsZero() {
		wait = max(0, time.Until(e.RetryAt))
	}
	return e.Decision.Class, wait
}

// ErrorType returns the class in snake_case: a value of low cardinality for the attribute error.type.
func (e *Error) ErrorType() string {
	class, _ := e.Upstream()
	return class.String()
}

// Timeout reports whether the call ran out of time. net/http asks for it.
func (e *Error) Timeout() bool {
	if e == nil {
		return false
	}
	if e.Stop == StopDeadline {
		return true
	}
	var t net.Error
	return e.Err != nil && (errors.Is(e.Err, context.DeadlineExceeded) || errors.As(e.Err, &t) && t.Timeout())
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	return e != nil && (e.Decision.Retry == errcodes.RetryBackoff || e.Decision.Retry == errcodes.RetryOnce)
}

// historyKey finds the history of a call in the context of a response's request, where wrappers around the body and shallow copies of the
// response leave it alone. Further requests may be made with that context: the history is that of the response with its header.
type historyKey struct{}

// history is what stands under historyKey. Each response has its own.
type history struct {
	attempts []Attempt
	err      *Error
	header   http.Header // the very map
}

func historyOf(resp *http.Response) *history {
	if resp == nil || resp.Request == nil {
		return nil
	}
	h, _ := resp.Request.Context().Value(historyKey{}).(*history)
	if h == nil || reflect.ValueOf(h.header).Pointer() != reflect.ValueOf(resp.Header).Pointer() {
		return nil
	}
	return h
}

// ErrorOf returns the judgement and the history behind a response that a [Transport] gave up on. It
// returns nil for nil, for a response that succeeded, and for one that no Transport made, or whose Header was replaced since. It is a pointer, and not
// an error: compare it with nil before you return it as one.
func ErrorOf(resp *http.Response) *Error {
	if h := historyOf(resp); h != nil {
		return h.err
	}
	return nil
}

// AttemptsOf returns every attempt behind a response of a [Transport], the last one included, whether or
// not it succeeded in the end. It returns nil for a response that came at the first attempt without
// a failure and without being held by a [Gate], and for one that no Transport made, or whose Header was replaced since. The caller owns the slice.
func AttemptsOf(resp *http.Response) []Attempt {
	if h := historyOf(resp); h != nil {
		return slices.Clone(h.attempts)
	}
	return nil
}
